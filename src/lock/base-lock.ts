import type Logger from 'bunyan';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.js';
import { Complaints } from '../base/complaints.js';
import type { BaseDirectories } from '../base/config-types.js';
import { createWhole, makeDirectory, removeIfPresent, writeSynced } from '../base/durable-files.js';
import { systemErrorCode } from '../base/errors.js';
import { LivenessSocket, probeSocket } from './liveness-socket.js';
import { lockText, ownRecord, readLockFile, type LockFile, type LockRecord } from './lock-record.js';
import { judgeLock } from './staleness.js';
import { removeExactly, withTakeGuard } from './take-guard.js';

/** How often things are done, ms. */
export interface LockTiming {
    /** Renewal of a held lock's mtime and look for another owner. */
    readonly refreshMs: number;
    /** Attempts of a process that waits for the lock. */
    readonly retryMs: number;
}

const TIMING: LockTiming = { refreshMs: 5000, retryMs: 1000 };

/** What a {@link BaseLock} is made of. */
export interface BaseLockOptions {
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly clock: Clock;
    /** Name and version of the program, for whoever reads the lock file. */
    readonly app: string;
    /** What may be done by one process only: its files are `run/<name>.lock` and so on; default: `imgapi`. */
    readonly name?: string;
    readonly timing?: Partial<LockTiming>;
}

/** A lock that is held. */
interface Held {
    readonly text: string;
    readonly socket: LivenessSocket | undefined;
}

/**
 * The lock of a base directory: at most one process holds it, and it passes to another within two
 * seconds of a crash or a release (operations 4.7).
 *
 * The lock file is `run/imgapi.lock`; `run/imgapi.sock` accepts connections as long as the holder
 * lives; `run/imgapi.lock.take` lets one process at a time try.
 */
export class BaseLock {
    readonly #lockPath: string;
    readonly #socketPath: string;
    readonly #guardPath: string;
    readonly #directory: string;
    readonly #log: Logger;
    readonly #clock: Clock;
    readonly #app: string;
    readonly #timing: LockTiming;
    readonly #complaints: Complaints;
    readonly #lostCallbacks: (() => void)[] = [];
    #held: Held | undefined;
    #foreign = false;
    #refreshTimer: NodeJS.Timeout | undefined;
    #retryTimer: NodeJS.Timeout | undefined;
    #waiting: (() => Promise<void>) | undefined;
    /** The running `onAcquired`. */
    #taking: Promise<void> = Promise.resolve();
    /** The running step; steps of one lock never overlap. */
    #step: Promise<unknown> = Promise.resolve();

    constructor(options: BaseLockOptions) {
        const { name = 'imgapi' } = options;
        this.#directory = options.directories.run;
        this.#lockPath = join(this.#directory, `${name}.lock`);
        this.#socketPath = join(this.#directory, `${name}.sock`);
        this.#guardPath = `${this.#lockPath}.take`;
        this.#log = options.log.child({ component: 'lock' });
        this.#clock = options.clock;
        this.#app = options.app;
        this.#timing = { ...TIMING, ...options.timing };
        this.#complaints = new Complaints(options.clock);
    }

    /** Whether this process holds the lock. */
    get held(): boolean {
        return this.#held !== undefined;
    }

    /** Whether the lock is another machine's, which is never taken without an operator. */
    get foreign(): boolean {
        return this.#foreign;
    }

    /** Has `callback` called once if another owner is found in the lock while this process holds it. */
    onLost(callback: () => void): void {
        this.#lostCallbacks.push(callback);
    }

    /**
     * Takes the lock if nobody has it. Does not wait for another holder.
     *
     * @returns whether this process holds it now
     * @throws the file system's error
     */
    async tryAcquire(): Promise<boolean> {
        return await this.#alone(async () => {
            if (this.#held === undefined) {
                await makeDirectory(this.#directory);
                this.#held = await this.#acquire();
                if (this.#held !== undefined) {
                    this.#log.info('lock taken');
                    this.#scheduleRefresh();
                }
            }
            return this.#held !== undefined;
        });
    }

    /**
     * Tries to take the lock every second until that succeeds or {@link release} is called, then
     * runs `onAcquired` once. When that fails, the lock is given up and tried for again.
     * `onAcquired` must not call {@link release}, which waits for it.
     */
    waitForTakeover(onAcquired: () => Promise<void>): void {
        this.#waiting = onAcquired;
        this.#scheduleRetry();
    }

    /** Stops waiting, and gives the lock up if it is held; a running `onAcquired` is waited for. */
    async release(): Promise<void> {
        this.#waiting = undefined;
        clearTimeout(this.#retryTimer);
        await this.#taking.catch(() => undefined);
        await this.#alone(() => this.#giveUp());
    }

    /** Runs a step when the one before has ended, however it ended. */
    async #alone<T>(step: () => Promise<T>): Promise<T> {
        const turn = this.#step.then(step, step);
        this.#step = turn.catch(() => undefined);
        return await turn;
    }

    #scheduleRefresh(): void {
        clearTimeout(this.#refreshTimer);
        this.#refreshTimer = setTimeout(() => void this.#refresh(), this.#timing.refreshMs).unref();
    }

    #scheduleRetry(): void {
        clearTimeout(this.#retryTimer);
        this.#retryTimer = setTimeout(() => void this.#retry(), this.#timing.retryMs).unref();
    }

    /** Logs an obstacle once a minute. */
    #complain(message: string, fields: object): void {
        if (this.#complaints.isDue(message)) {
            this.#log.error(fields, message);
        }
    }

    /** Whether the lock file, as it is now, stands in the way. */
    async #isBlocked(found: LockFile | undefined, self: LockRecord): Promise<boolean> {
        if (found === undefined) {
            this.#foreign = false;
            // A holder whose file was removed makes it again; until then its socket speaks for it.
            return (await probeSocket(this.#socketPath)) === 'alive';
        }
        const verdict = await judgeLock(found, self, this.#socketPath, this.#clock.now());
        this.#foreign = verdict === 'foreign';
        if (this.#foreign) {
            this.#complain(
                'the lock is held by another machine: if no server there uses this directory, stop all here and remove run/imgapi.lock',
                {
                    holder: found.record,
                },
            );
        }
        return verdict !== 'stale';
    }

    async #acquire(): Promise<Held | undefined> {
        const self = await ownRecord(this.#app, this.#clock);
        if (await this.#isBlocked(await readLockFile(this.#lockPath), self)) {
            return undefined;
        }
        const text = lockText(self);
        return await withTakeGuard(this.#guardPath, text, this.#clock.now(), async () => {
            const found = await readLockFile(this.#lockPath);
            if (await this.#isBlocked(found, self)) {
                return undefined;
            }
            if (found !== undefined) {
                this.#log.warn({ holder: found.record }, 'removing the lock of a process that is gone');
                if (!(await removeExactly(this.#lockPath, found.text))) {
                    return undefined;
                }
            }
            return await this.#place(text);
        });
    }

    /** Makes the lock file; `false` when there is one. */
    #create(text: string): Promise<boolean> {
        return createWhole(this.#lockPath, (temporary) => writeSynced(temporary, text));
    }

    /** Listens first, so that a lock file with a silent socket is always one left behind. */
    async #place(text: string): Promise<Held | undefined> {
        const socket = await LivenessSocket.open(this.#socketPath);
        let placed = false;
        try {
            placed = await this.#create(text);
        } finally {
            if (!placed) {
                await socket?.close();
            }
        }
        return placed ? { text, socket } : undefined;
    }

    async #retry(): Promise<void> {
        const onAcquired = this.#waiting;
        if (onAcquired === undefined) {
            return;
        }
        try {
            if (await this.tryAcquire()) {
                // Else a release came meanwhile, and gives the lock up next.
                if (this.#waiting !== undefined) {
                    this.#taking = onAcquired();
                    await this.#taking;
                    this.#waiting = undefined;
                }
                return;
            }
        } catch (error) {
            this.#complain('cannot take the lock over', { err: error });
            await this.#alone(() => this.#giveUp()).catch((failure: unknown) => {
                this.#complain('cannot give the lock up', { err: failure });
            });
        }
        if (this.#waiting !== undefined) {
            this.#scheduleRetry();
        }
    }

    async #refresh(): Promise<void> {
        const kept = await this.#alone(() => this.#keep()).catch((error: unknown) => {
            this.#complain('cannot renew the lock', { err: error });
            return true;
        });
        if (kept && this.#held !== undefined) {
            this.#scheduleRefresh();
        }
    }

    /** Renews the held lock; `false` when it is another's now. */
    async #keep(): Promise<boolean> {
        const held = this.#held;
        if (held === undefined) {
            return false;
        }
        if ((await this.#touch(held.text)) || (await this.#create(held.text))) {
            return true;
        }
        const owner = (await readLockFile(this.#lockPath))?.record;
        this.#log.fatal({ owner }, 'the lock has another owner');
        this.#held = undefined;
        this.#lostCallbacks.splice(0).forEach((callback) => callback());
        await held.socket?.close();
        return false;
    }

    /** Renews the mtime through a handle, so that what is renewed is what was read. */
    async #touch(text: string): Promise<boolean> {
        let handle;
        try {
            handle = await open(this.#lockPath, 'r+');
        } catch (error) {
            if (systemErrorCode(error) === 'ENOENT') {
                return false;
            }
            throw error;
        }
        try {
            if ((await handle.readFile('utf8')) !== text) {
                return false;
            }
            const now = new Date(this.#clock.now());
            await handle.utimes(now, now);
            return true;
        } finally {
            await handle.close();
        }
    }

    /** Removes the lock first: while the socket still accepts nobody can mistake it for stale. */
    async #giveUp(): Promise<void> {
        clearTimeout(this.#refreshTimer);
        const held = this.#held;
        if (held === undefined) {
            return;
        }
        const found = await readLockFile(this.#lockPath);
        if (found?.text === held.text) {
            await removeIfPresent(this.#lockPath);
        }
        this.#held = undefined;
        await held.socket?.close();
        this.#log.info('lock released');
    }
}
