import { open, mkdir, rm } from 'node:fs/promises';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, type Distribution, distributionOf } from './distribution.js';

/** What a result has to be read with. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly system: string;
  readonly node: string;
  /** Part of all cores that other work takes, just before the run. */
  readonly busy_percent: number;
  /** Appending 8 KiB and waiting until the disk has them: a 202 cannot come before one of these. */
  readonly disk_sync: Distribution;
}

/** Long enough to see work that comes and goes. */
const BUSY_SAMPLE_MS = 2_000;

const SYNC_COUNT = 100;
/** A page of PostgreSQL's log. */
const SYNC_BYTES = 8 * 1024;

/** @param directory on the disk that the data will be on; made when it is not there */
export async function describeMachine(directory: string): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gib: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    busy_percent: await measureBusyPercent(),
    disk_sync: await measureDiskSync(directory),
  };
}

/** Above this the machine does not count as idle: on two cores, a fifth of one. */
const BUSY_PERCENT_MAX = 10;

/** What the first lines of a run say. */
export function tellMachine({ cpu, cores, busy_percent: busy, disk_sync: sync }: Machine): string[] {
  return [
    `${cores} cores of ${cpu}, ${busy}% busy with other work; a disk sync takes ${describe(sync)}`,
    ...(busy > BUSY_PERCENT_MAX
      ? ['this machine is not idle: the figures say what it does besides, too']
      : []),
  ];
}

async function measureBusyPercent(): Promise<number> {
  const before = cpuTimes();
  await delay(BUSY_SAMPLE_MS);
  const after = cpuTimes();
  const busy = 1 - (after.idleMs - before.idleMs) / (after.allMs - before.allMs);
  return Math.round(busy * 100);
}

function cpuTimes(): { idleMs: number; allMs: number } {
  const times = cpus().map((cpu) => cpu.times);
  return {
    idleMs: times.reduce((sum, { idle }) => sum + idle, 0),
    allMs: times.reduce((sum, { user, nice, sys, irq, idle }) => sum + user + nice + sys + irq + idle, 0),
  };
}

async function measureDiskSync(directory: string): Promise<Distribution> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, `sync-${process.pid}`);
  const file = await open(path, 'wx');
  try {
    const page = Buffer.alloc(SYNC_BYTES, 1);
    const samplesMs: number[] = [];
    for (let index = 0; index < SYNC_COUNT; index += 1) {
      const startedMs = performance.now();
      await file.write(page);
      await file.datasync();
      samplesMs.push(performance.now() - startedMs);
    }
    return distributionOf(samplesMs);
  } finally {
    await file.close();
    await rm(path);
  }
}
