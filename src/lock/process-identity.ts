import { readFile } from 'node:fs/promises';
import { systemErrorCode } from '../base/errors.js';

/** What the machine tells about a process. */
export interface ProcessState {
    /** Clock ticks since boot at which it started; absent where there is no /proc. */
    readonly startTime?: number;
}

async function readProc(path: string): Promise<string | undefined> {
    try {
        return await readFile(path, 'utf8');
    } catch {
        return undefined;
    }
}

/** Id of this boot of the machine; absent where there is no /proc (operations 4.7). */
export async function readBootId(): Promise<string | undefined> {
    return (await readProc('/proc/sys/kernel/random/boot_id'))?.trim();
}

function exists(pid: number): boolean {
    try {
        process.kill(pid, 0);
        return true;
    } catch (error) {
        // Another user's process may not be signalled, but it is there.
        return systemErrorCode(error) !== 'ESRCH';
    }
}

/** Looks for a process; `undefined`: it is gone. One that only waits to be reaped is gone. */
export async function processState(pid: number): Promise<ProcessState | undefined> {
    if (!Number.isSafeInteger(pid) || pid <= 0 || !exists(pid)) {
        return undefined;
    }
    const stat = await readProc(`/proc/${pid}/stat`);
    if (stat === undefined) {
        return exists(pid) ? {} : undefined;
    }
    // The name, second field, is in parentheses and may hold anything; the third is the state.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') {
        return undefined;
    }
    const startTime = Number(fields[19]);
    return Number.isSafeInteger(startTime) ? { startTime } : {};
}
