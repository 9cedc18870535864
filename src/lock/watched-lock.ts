import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories } from '../base/config-types.js';
import { makeDirectory } from '../base/durable-files.js';
import { probeSocket } from './liveness-socket.js';
import { lockText, ownRecord, readLockFile, type LockFile } from './lock-record.js';
import { judgeLock, type Verdict } from './staleness.js';
import { removeExactly, withTakeGuard } from './take-guard.js';

/** What is found where the lock of a base directory is. */
export interface LockState {
    readonly path: string;
    /** Absent: there is no lock file. */
    readonly lock?: LockFile;
    /** Of the lock; without a file: whether a holder still listens, which makes the file again. */
    readonly verdict: Verdict | 'none';
}

/** What became of an order to remove a lock. */
export type Removal =
    | 'removed'
    /** There was none. */
    | 'none'
    /** Its holder is seen alive. */
    | 'alive'
    /** Somebody else takes or replaces it at this moment. */
    | 'busy';

/** What a {@link WatchedLock} is made of. */
export interface WatchedLockOptions {
    readonly directories: Pick<BaseDirectories, 'run'>;
    readonly clock: Clock;
    /** Name and version of the program. */
    readonly app: string;
    /** How long another machine's lock is watched for a sign of life, ms; default: more than two renewals. */
    readonly watchMs?: number;
}

const WATCH_MS = 12_000;
const LOOK_INTERVAL_MS = 250;

/** The lock of a base directory as an operator sees it from outside (operations 4.7). */
export class WatchedLock {
    readonly #options: WatchedLockOptions;
    readonly #path: string;
    readonly #socketPath: string;

    constructor(options: WatchedLockOptions) {
        this.#options = options;
        this.#path = join(options.directories.run, 'imgapi.lock');
        this.#socketPath = join(options.directories.run, 'imgapi.sock');
    }

    /** Looks at the lock and judges it as a server would. */
    async look(): Promise<LockState> {
        const { app, clock } = this.#options;
        const path = this.#path;
        const lock = await readLockFile(path);
        if (lock === undefined) {
            return { path, verdict: (await probeSocket(this.#socketPath)) === 'alive' ? 'alive' : 'none' };
        }
        const self = await ownRecord(app, clock);
        return { path, lock, verdict: await judgeLock(lock, self, this.#socketPath, clock.now()) };
    }

    /**
     * Removes the lock unless its holder is seen alive. Of a holder on another machine the only sign is that
     * it renews its lock, so that is waited for.
     *
     * @throws the file system's error, and the signal's reason
     */
    async remove(signal: AbortSignal): Promise<Removal> {
        const { verdict, lock } = await this.look();
        if (verdict === 'none' || verdict === 'alive' || lock === undefined) {
            return verdict === 'none' ? 'none' : 'alive';
        }
        if (verdict === 'foreign' && (await this.#isRenewed(lock, signal))) {
            return 'alive';
        }
        const { app, clock, directories } = this.#options;
        await makeDirectory(directories.run);
        const text = lockText(await ownRecord(app, clock));
        const removed = await withTakeGuard(`${this.#path}.take`, text, clock.now(), async () => {
            const now = await this.look();
            return now.verdict === verdict && now.lock?.text === lock.text
                ? await removeExactly(this.#path, lock.text)
                : false;
        });
        return removed === true ? 'removed' : 'busy';
    }

    /** Whether anybody touches or replaces the lock while it is watched. */
    async #isRenewed({ text, mtimeMs }: LockFile, signal: AbortSignal): Promise<boolean> {
        const end = performance.now() + (this.#options.watchMs ?? WATCH_MS);
        while (performance.now() < end) {
            await delay(LOOK_INTERVAL_MS, undefined, { signal });
            const found = await readLockFile(this.#path);
            if (found !== undefined && (found.text !== text || found.mtimeMs !== mtimeMs)) {
                return true;
            }
        }
        return false;
    }
}
