import { readdirSync, readFileSync } from 'node:fs';

/** The kernel's unit in /proc, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time of a process and of its children, ended ones included, in microseconds. Linux only. */
export function cpuUs(pid: number): number {
  const ofChildren = childrenOf(pid).reduce((sum, child) => sum + ticksOf(child, 2), 0);
  return ((ticksOf(pid, 4) + ofChildren) / TICKS_PER_SECOND) * 1e6;
}

/** The most memory that a process has had resident, in bytes; for one with children, the largest of them. */
export function peakRssBytes(pid: number): number {
  return Math.max(...[pid, ...childrenOf(pid)].map(peakOf));
}

/** Of user, system, and those two of children that have ended. */
function ticksOf(pid: number, fields: 2 | 4): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold blanks.
    const values = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return values.slice(11, 11 + fields).reduce((sum, value) => sum + Number(value), 0);
  } catch {
    return 0;
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => parentOf(other) === pid);
}

/** Null when there is no such process. */
export function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}

function peakOf(pid: number): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** CPU time of a process's one thread, by the nanosecond, in microseconds. Linux only. */
export function threadCpuUs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1_000;
}
