import { open, mkdir, rm } from 'node:fs/promises';
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { type Distribution, distributionOf } from './distribution.js';

/** What a result has to be read with. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly system: string;
  readonly node: string;
  /** Runnable processes over the last minute, before the run: an idle machine is near 0. */
  readonly load_1m: number;
  /** Appending 8 KiB and waiting until the disk has them: a 202 cannot come before one of these. */
  readonly disk_sync: Distribution;
}

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
    load_1m: Math.round((loadavg()[0] ?? 0) * 100) / 100,
    disk_sync: await measureDiskSync(directory),
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
