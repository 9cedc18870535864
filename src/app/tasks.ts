import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../base/config-types.js';
import { recoverUploads } from '../images/recover-uploads.js';
import { rollBackAbandonedClones } from '../images/recover-clones.js';
import { settleAbandonedExports } from '../images/recover-exports.js';
import { purgePlaceholders } from '../maintenance/purge.js';
import { findRecord } from '../maintenance/record-exists.js';
import { sweep } from '../maintenance/sweep.js';
import { type BackgroundTask, TaskScheduler } from '../maintenance/tasks.js';
import type { Backends } from './backends.js';

/** What the tasks of a server work on. */
export interface ServerTasksOptions {
    readonly backends: Backends;
    readonly directories: BaseDirectories;
    readonly config: ConfigSource;
    readonly clock: Clock;
    readonly log: Logger;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** The background tasks that only the holder of the lock runs (operations 1.9). */
export class ServerTasks {
    readonly #options: ServerTasksOptions;
    #tasks: TaskScheduler | undefined;
    #purged = 0;

    constructor(options: ServerTasksOptions) {
        this.#options = options;
    }

    /** Expired placeholders deleted since the start of the process. */
    get placeholdersPurged(): number {
        return this.#purged;
    }

    /** Sets the timers, once. */
    start(): void {
        if (this.#tasks === undefined) {
            this.#tasks = new TaskScheduler({ tasks: this.#table(), log: this.#options.log });
            this.#tasks.start();
        }
    }

    /** Resolves when the running tasks have ended. */
    async stop(): Promise<void> {
        await this.#tasks?.stop();
        this.#tasks = undefined;
    }

    #table(): readonly BackgroundTask[] {
        const { backends, directories, clock, log } = this.#options;
        const { database, storages, journal, imageQueue, exports } = backends.images;
        return [
            {
                name: 'pending deletes',
                firstAfterMs: SECOND,
                everyMs: 5 * MINUTE,
                run: (signal) => journal.pass(signal),
            },
            // Where all processes write, none waits for this before it serves.
            ...(backends.database.writers === 'all'
                ? [
                      {
                          name: 'interrupted uploads',
                          firstAfterMs: SECOND,
                          everyMs: 5 * MINUTE,
                          run: () => recoverUploads(backends.images, log),
                      },
                  ]
                : []),
            {
                name: 'interrupted clones',
                firstAfterMs: SECOND,
                everyMs: 5 * MINUTE,
                run: (signal) => rollBackAbandonedClones(backends.images, log, signal),
            },
            ...(exports === undefined
                ? []
                : [
                      {
                          name: 'interrupted exports',
                          firstAfterMs: SECOND,
                          everyMs: 5 * MINUTE,
                          run: (signal: AbortSignal) => settleAbandonedExports(exports, log, signal),
                      },
                  ]),
            {
                name: 'sweep',
                firstAfterMs: SECOND,
                everyMs: DAY,
                run: (signal) =>
                    sweep(
                        { directories, database, storage: backends.localStorage, imageQueue, clock, log },
                        signal,
                    ),
            },
            {
                name: 'placeholder purge',
                firstAfterMs: MINUTE,
                everyMs: 30 * MINUTE,
                run: async (signal) => {
                    this.#purged += await purgePlaceholders(
                        { database, storages, journal, imageQueue, clock, log },
                        signal,
                    );
                },
            },
            {
                name: 'archive retention',
                firstAfterMs: MINUTE,
                everyMs: DAY,
                run: (signal) => this.#removeOldArchive(signal),
            },
        ];
    }

    async #removeOldArchive(signal: AbortSignal): Promise<void> {
        const { backends, clock, config, log } = this.#options;
        const retentionDays = config.current.archiveRetentionDays;
        if (retentionDays === undefined) {
            return;
        }
        const removed = await backends.archive.removeOld({
            now: clock.now(),
            retentionDays,
            mayExist: async (uuid) => (await findRecord(backends.images.database, uuid)) !== 'absent',
            signal,
        });
        log.info({ removed }, 'archive retention');
    }
}
