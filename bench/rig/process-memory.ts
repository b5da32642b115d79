import { readFile, writeFile } from 'node:fs/promises';

/** Resident memory of a process in bytes, now and at most since it began; null where there is no `/proc` to ask. */
export async function processMemory(
  pid: number,
): Promise<{ readonly nowBytes: number; readonly peakBytes: number } | null> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => null);
  if (status === null) return null;
  const bytesOf = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1_024;
  return { nowBytes: bytesOf('VmRSS'), peakBytes: bytesOf('VmHWM') };
}

/** Lets the peak begin anew at what is resident now (proc(5), clear_refs), where that can be done. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => undefined);
}
