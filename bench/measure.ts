import { readFileSync } from 'node:fs';

/** Clock ticks a second of /proc: fixed on Linux. */
const TICKS_PER_SECOND = 100;

/** Middle value; the lower one of two. */
export function median(values: readonly number[]): number {
    return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}

/** Value that `share` of the values do not exceed. */
export function percentile(values: readonly number[], share: number): number {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** CPU time a process has used so far, milliseconds, resolution 10 ms. */
export function cpuMs(pid: number): number {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** A line of /proc/PID/status in MiB: `VmRSS` (now) or `VmHWM` (most ever). */
export function memoryMiB(pid: number, field: 'VmRSS' | 'VmHWM'): number {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(
        readFileSync(`/proc/${pid}/status`, 'utf8'),
    );
    return Number(line?.[1] ?? Number.NaN) / 1024;
}

/** Runs `work` `count` times one after another; milliseconds each took. */
export async function timeEach(count: number, work: () => Promise<unknown>): Promise<number[]> {
    const times: number[] = [];
    for (let run = 0; run < count; run += 1) {
        const start = process.hrtime.bigint();
        await work();
        times.push(Number(process.hrtime.bigint() - start) / 1e6);
    }
    return times;
}

/** How long some work took, seconds. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
    const start = process.hrtime.bigint();
    await work();
    return Number(process.hrtime.bigint() - start) / 1e9;
}

/** Prints a line of the report. */
export function report(what: string, figure: string): void {
    process.stdout.write(`${what.padEnd(58)} ${figure}\n`);
}
