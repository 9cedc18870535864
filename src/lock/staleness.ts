import type { LockFile, LockRecord } from './lock-record.js';
import { probeSocket } from './liveness-socket.js';
import { processState } from './process-identity.js';

/** What can be done with a lock that was found. */
export type Verdict =
    /** Its owner is gone: it may be taken. */
    | 'stale'
    /** Its owner is alive, or may be. */
    | 'alive'
    /** Another machine's: only an operator may remove it. */
    | 'foreign';

/** Age from which a file that is no lock record cannot be one in the making, ms. */
const UNREADABLE_AFTER_MS = 10_000;

/** Whether the process that wrote a record, on this machine and in this boot, has ended. */
export async function ownerIsGone(record: LockRecord): Promise<boolean> {
    const state = await processState(record.pid);
    return (
        state === undefined ||
        (record.startTime !== undefined &&
            state.startTime !== undefined &&
            record.startTime !== state.startTime)
    );
}

async function judgeUnreadable(lock: LockFile, socketPath: string, now: number): Promise<Verdict> {
    const old = Math.abs(now - lock.mtimeMs) > UNREADABLE_AFTER_MS;
    return old && (await probeSocket(socketPath)) !== 'alive' ? 'stale' : 'alive';
}

/**
 * Judges a lock by the rules of operations 4.7. What remains in doubt counts as alive or foreign:
 * two holders are worse than none.
 *
 * @param self describes this process
 * @param now ms since the epoch
 */
export async function judgeLock(
    lock: LockFile,
    self: LockRecord,
    socketPath: string,
    now: number,
): Promise<Verdict> {
    const { record } = lock;
    if (record === undefined) {
        return await judgeUnreadable(lock, socketPath, now);
    }
    const sameHost = record.host === self.host;
    const sameBoot = record.bootId !== undefined && record.bootId === self.bootId;
    if (sameHost && !sameBoot && record.bootId !== undefined && self.bootId !== undefined) {
        return 'stale';
    }
    if (!sameHost && !sameBoot) {
        return 'foreign';
    }
    const liveness = await probeSocket(socketPath);
    if (liveness === 'alive') {
        return 'alive';
    }
    if (!sameHost) {
        // A container on this machine: its process ids are not ours, only the socket can tell.
        return liveness === 'silent' ? 'stale' : 'foreign';
    }
    return (await ownerIsGone(record)) ? 'stale' : 'alive';
}
