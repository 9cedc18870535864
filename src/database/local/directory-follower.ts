import { watch, type FSWatcher } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type Logger from 'bunyan';
import { forEachParallel } from '../../base/parallel.js';

/** Time between two looks at the directory, milliseconds: half the lag that is allowed (backends C4). */
const POLL_MS = 1_000;
/** More changes than this between two looks, and notices may have been lost. */
const MAX_NOTICES = 4_096;
/** Most files read again at the same time. */
const PARALLEL_READS = 64;
/** A directory changed this shortly before it was read may change again without a newer time, milliseconds. */
const TIME_RESOLUTION_MS = 50;

/** What a follower watches and whom it tells. */
export interface DirectoryFollowerOptions {
    readonly directory: string;
    readonly log: Logger;
    /** The uuid a file name stands for; `undefined`: the file does not matter. */
    readonly uuidOf: (name: string) => string | undefined;
    /** One file has appeared, changed or gone. */
    readonly onChange: (uuid: string) => Promise<void>;
    /** Any file may have. */
    readonly onScan: () => Promise<void>;
    /** Whether the system's notices are used; without them only the directory's time is looked at. */
    readonly useNotices: boolean;
}

/**
 * Follows the changes another process makes to a directory of files: by the system's notices, and by
 * looking at the directory's time every second for where those do not come (operations 4.7,
 * coherence). Work that fails is done again at the next look.
 */
export class DirectoryFollower {
    readonly #options: DirectoryFollowerOptions;
    #watcher: FSWatcher | undefined;
    #timer: NodeJS.Timeout | undefined;
    #changed = new Set<string>();
    /** Files to try again at the next look. */
    readonly #failed = new Set<string>();
    #scanWanted = false;
    #notices = 0;
    #seen = { time: 0, at: 0 };
    #work: Promise<void> | undefined;
    #stopped = false;
    #hasWarned = false;
    #ready = false;

    constructor(options: DirectoryFollowerOptions) {
        this.#options = options;
    }

    /** Begins to note changes; nothing is reported before {@link report}. */
    async start(): Promise<void> {
        this.#watch();
        await this.#look();
        this.#scanWanted = false;
    }

    /** Begins to report, first what was noted since {@link start}. */
    report(): void {
        this.#ready = true;
        this.#wake();
        this.#schedule();
    }

    /** Ends all watching; resolves when no report is under way. */
    async stop(): Promise<void> {
        this.#stopped = true;
        this.#watcher?.close();
        clearTimeout(this.#timer);
        await this.#work;
    }

    #watch(): void {
        const { directory, log, uuidOf, useNotices } = this.#options;
        if (!useNotices) {
            return;
        }
        try {
            const watcher = watch(directory, { persistent: false }, (_event, name) => {
                const uuid = name === null ? undefined : uuidOf(name);
                this.#notices += 1;
                if (uuid !== undefined) {
                    this.#changed.add(uuid);
                    this.#wake();
                }
            });
            watcher.on('error', (error) => {
                log.warn({ err: error }, 'lost the watch on a directory');
                watcher.close();
                this.#watcher = undefined;
            });
            this.#watcher = watcher;
        } catch (error) {
            if (!this.#hasWarned) {
                log.warn({ err: error }, 'cannot watch a directory; looking at its time instead');
            }
            this.#hasWarned = true;
        }
    }

    #schedule(): void {
        this.#timer = setTimeout(() => {
            void this.#tick();
        }, POLL_MS).unref();
    }

    async #tick(): Promise<void> {
        try {
            if (this.#watcher === undefined && this.#options.useNotices) {
                this.#watch();
                this.#scanWanted ||= this.#watcher !== undefined;
            }
            await this.#look();
            this.#retry();
            await this.#work;
        } catch (error) {
            this.#options.log.error({ err: error }, 'cannot look at a directory');
        }
        if (!this.#stopped) {
            this.#schedule();
        }
    }

    /** Wants a scan if the directory has changed without as many notices as that takes. */
    async #look(): Promise<void> {
        const at = Date.now();
        const { mtimeMs: time } = await stat(this.#options.directory);
        // A notice of what the time shows may be waiting behind the answer to stat.
        await nextTurn();
        const hasChanged = time !== this.#seen.time || this.#seen.at - time < TIME_RESOLUTION_MS;
        const isNoticed = this.#notices > 0 && this.#notices <= MAX_NOTICES;
        if (this.#notices > MAX_NOTICES || (hasChanged && !isNoticed)) {
            this.#scanWanted = true;
        }
        this.#notices = 0;
        this.#seen = { time, at };
    }

    #retry(): void {
        for (const uuid of this.#failed) {
            this.#changed.add(uuid);
        }
        this.#failed.clear();
        this.#wake();
    }

    #wake(): void {
        if (!this.#ready || this.#stopped || this.#work !== undefined) {
            return;
        }
        if (this.#changed.size > 0 || this.#scanWanted) {
            this.#work = this.#report().finally(() => {
                this.#work = undefined;
            });
        }
    }

    /** Reports until there is nothing left, or something fails. */
    async #report(): Promise<void> {
        try {
            while (!this.#stopped && (this.#changed.size > 0 || this.#scanWanted)) {
                await this.#reportOnce();
            }
        } catch (error) {
            this.#options.log.error({ err: error }, 'cannot follow a directory; trying again');
        }
    }

    async #reportOnce(): Promise<void> {
        const changed = this.#changed;
        this.#changed = new Set();
        if (this.#scanWanted || changed.size > MAX_NOTICES) {
            this.#scanWanted = false;
            try {
                await this.#options.onScan();
            } catch (error) {
                this.#scanWanted = true;
                throw error;
            }
            return;
        }
        await forEachParallel(changed, PARALLEL_READS, async (uuid) => {
            try {
                await this.#options.onChange(uuid);
            } catch (error) {
                this.#options.log.error({ err: error, uuid }, 'cannot follow a file; trying again');
                this.#failed.add(uuid);
            }
        });
    }
}
