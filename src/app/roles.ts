import type Logger from 'bunyan';
import { isNoRoom } from '../base/errors.js';
import type { ProcessRole } from '../http/services.js';
import type { BaseLock } from '../lock/base-lock.js';

/** What happens when this process becomes the one that writes. */
export interface RoleActions {
    /** Reads the data; called once, at the start. */
    load(): Promise<void>;
    /** Brings the database up to date and lets it write; rejects when it cannot. */
    becomeWriter(): Promise<void>;
    /** Settles what a crash has left half done, before anything else is written; not called where every process writes. */
    settle(): Promise<void>;
    /** Takes over the jobs that the holder before has left. */
    openJobs(): Promise<void>;
    /** Starts the background tasks only the holder of the lock runs. */
    startTasks(): void;
    /** Ends them, and resolves when no change of the data is under way any more; none follows. */
    endWriting(): Promise<void>;
    /** The lock was taken by another process, or becoming the writer failed: the process must end. */
    fail(error: Error): void;
}

/** What the roles are decided with. */
export interface RolesOptions {
    readonly lock: BaseLock;
    readonly actions: RoleActions;
    /** Whether processes without the lock write as well: with a database that all of them share. */
    readonly writers: 'all' | 'holder';
    readonly log: Logger;
}

/** Decides which process of a base directory writes and runs background tasks (operations 4.7). */
export class Roles implements ProcessRole {
    readonly #lock: BaseLock;
    readonly #actions: RoleActions;
    readonly #everyProcessWrites: boolean;
    readonly #log: Logger;
    #writing = false;
    #draining = false;
    /** The lock is given up, or about to be: this process never writes again. */
    #retired = false;

    constructor(options: RolesOptions) {
        this.#lock = options.lock;
        this.#actions = options.actions;
        this.#everyProcessWrites = options.writers === 'all';
        this.#log = options.log;
    }

    /** Takes the lock and loads, or becomes a reader that takes over when the holder ends. */
    async start(): Promise<void> {
        this.#lock.onLost(() =>
            this.#actions.fail(new Error('run/imgapi.lock was taken by another process')),
        );
        const taken = await this.#takeLock();
        if (taken === 'taken') {
            // Before loading, so that what a crash has left is put right first and read once.
            await this.#actions.becomeWriter();
            await this.#actions.load();
            await this.#startWriting();
            return;
        }
        await this.#actions.load();
        this.#writing = this.#everyProcessWrites && !this.#retired;
        if (taken === 'refused') {
            this.#log.info(
                this.#everyProcessWrites
                    ? 'another process holds the lock: it runs the background tasks'
                    : 'another process holds the lock: this one is a reader',
            );
        }
        this.#lock.waitForTakeover(async () => {
            try {
                await this.#actions.becomeWriter();
                await this.#startWriting();
                this.#log.info(
                    this.#everyProcessWrites
                        ? 'lock taken over: this process runs the background tasks now'
                        : 'lock taken over: this process is the writer now',
                );
            } catch (error) {
                this.#actions.fail(error instanceof Error ? error : new Error(String(error)));
            }
        });
    }

    /** A full disk is no reason not to serve what is there: the lock is tried for again later. */
    async #takeLock(): Promise<'taken' | 'refused' | 'no room'> {
        try {
            return (await this.#lock.tryAcquire()) ? 'taken' : 'refused';
        } catch (err) {
            if (!isNoRoom(err)) {
                throw err;
            }
            this.#log.error(
                { err },
                this.#everyProcessWrites
                    ? 'the disk is full, the lock cannot be taken: no background tasks here until it can'
                    : 'the disk is full, the lock cannot be taken: reading only until it can',
            );
            return 'no room';
        }
    }

    async #startWriting(): Promise<void> {
        if (!this.#everyProcessWrites) {
            await this.#actions.settle();
        }
        if (!this.#retired) {
            await this.#actions.openJobs();
        }
        if (!this.#retired) {
            this.#writing = true;
            this.#actions.startTasks();
        }
    }

    isWriter(): boolean {
        return this.#writing;
    }

    isHolder(): boolean {
        return this.#lock.held;
    }

    isDraining(): boolean {
        return this.#draining;
    }

    /** From now on the process says that it is on its way out. */
    startDraining(): void {
        this.#draining = true;
    }

    /**
     * Gives the lock away, so that a reader takes over. Writes are refused from this moment on; those
     * under way end before the lock is free, so that there are never two writers.
     */
    async release(): Promise<void> {
        this.#retired = true;
        this.#writing = false;
        await this.#actions.endWriting();
        await this.#lock.release();
    }
}
