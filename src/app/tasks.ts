import type Logger from 'bunyan';
import type { KeyFiles } from '../auth/key-files.js';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../base/config-types.js';
import { recoverUploads } from '../images/recover-uploads.js';
import { rollBackAbandonedClones } from '../images/recover-clones.js';
import { settleAbandonedExports } from '../images/recover-exports.js';
import { removeAbandonedImports } from '../images/recover-imports.js';
import { OWNER_TASK } from '../maintenance/keep-owner.js';
import { purgePlaceholders } from '../maintenance/purge.js';
import { findRecord } from '../maintenance/record-exists.js';
import type { MarkedOwner } from '../maintenance/owner-marker.js';
import { sweep } from '../maintenance/sweep.js';
import { type BackgroundTask, TaskScheduler } from '../maintenance/tasks.js';
import { isBeingMade } from '../jobs/being-made.js';
import type { Backends } from './backends.js';
import type { Jobs } from './jobs.js';
import { KEY_MIRROR_TASK, MantaTasks } from './manta-tasks.js';

/** What the tasks of a server work on. */
export interface ServerTasksOptions {
    readonly backends: Backends;
    readonly jobs: Jobs;
    readonly directories: BaseDirectories;
    readonly config: ConfigSource;
    /** Absent: nobody signs. */
    readonly keys: KeyFiles | undefined;
    readonly clock: Clock;
    readonly log: Logger;
}

/** What became of copying the keys in Manta: another process does that, which cannot be asked to. */
export type KeySync = 'done' | 'failed' | 'elsewhere';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** The background tasks that only the holder of the lock runs (operations 1.9). */
export class ServerTasks {
    readonly #options: ServerTasksOptions;
    readonly #manta: MantaTasks;
    #tasks: TaskScheduler | undefined;
    #purged = 0;

    constructor(options: ServerTasksOptions) {
        this.#options = options;
        this.#manta = new MantaTasks(options);
    }

    /** Expired placeholders deleted since the start of the process. */
    get placeholdersPurged(): number {
        return this.#purged;
    }

    /** Looks who else uses the Manta area; absent: nobody looks. */
    get foreignOwner(): (() => MarkedOwner | undefined) | undefined {
        const { owner } = this.#manta;
        return owner && (() => owner.foreign);
    }

    /** Copies the keys in Manta and puts them in force. Nothing to copy counts as done. Never rejects. */
    async syncKeys(): Promise<KeySync> {
        if (this.#manta.mirror === undefined) {
            return 'done';
        }
        const isDone = await this.#tasks?.now(KEY_MIRROR_TASK);
        return isDone === undefined ? 'elsewhere' : isDone ? 'done' : 'failed';
    }

    /** Looks at once at what an operator may have changed in Manta. */
    lookAtManta(): void {
        void this.#tasks?.now(KEY_MIRROR_TASK);
        void this.#tasks?.now(OWNER_TASK);
    }

    /** Sets the timers, once. */
    start(): void {
        if (this.#tasks === undefined) {
            this.#tasks = new TaskScheduler({ tasks: this.table(), log: this.#options.log });
            this.#tasks.start();
        }
    }

    /** Resolves when the running tasks have ended. */
    async stop(): Promise<void> {
        await this.#tasks?.stop();
        this.#tasks = undefined;
    }

    /** What runs, and when. */
    table(): readonly BackgroundTask[] {
        return [...this.#settling(), ...this.#cleaning(), ...this.#manta.table()];
    }

    /** Brings in order what a crash or an outage has cut off. */
    #settling(): readonly BackgroundTask[] {
        const { backends, log } = this.#options;
        const { journal, exports } = backends.images;
        const tasks: BackgroundTask[] = [
            {
                name: 'pending deletes',
                firstAfterMs: SECOND,
                everyMs: 5 * MINUTE,
                run: (signal) => journal.pass(signal),
            },
            {
                // Often: until then an image is without the file that was to be replaced.
                name: 'interrupted uploads',
                firstAfterMs: SECOND,
                everyMs: MINUTE,
                run: (signal) => recoverUploads(backends.images, log, { signal }),
            },
            {
                name: 'interrupted clones',
                firstAfterMs: SECOND,
                everyMs: 5 * MINUTE,
                run: (signal) => rollBackAbandonedClones(backends.images, log, signal),
            },
            {
                name: 'interrupted imports',
                firstAfterMs: SECOND,
                everyMs: 5 * MINUTE,
                run: (signal) => removeAbandonedImports(backends.images, log, signal),
            },
        ];
        if (exports !== undefined) {
            tasks.push({
                name: 'interrupted exports',
                firstAfterMs: SECOND,
                everyMs: 5 * MINUTE,
                run: (signal) => settleAbandonedExports(exports, log, signal),
            });
        }
        return tasks;
    }

    /** Removes what is too old. */
    #cleaning(): readonly BackgroundTask[] {
        const { backends, jobs, directories, clock, log } = this.#options;
        const { layers, images } = backends;
        const { database, storages, journal, imageQueue } = images;
        const { services, local } = jobs;
        const storage = backends.localStorage;
        const isLiveJob = (uuid: string): boolean => local.isLive(uuid);
        const tasks: BackgroundTask[] = [
            {
                name: 'sweep',
                firstAfterMs: SECOND,
                everyMs: DAY,
                run: (signal) =>
                    sweep(
                        { directories, database, storage, imageQueue, isLiveJob, layers, clock, log },
                        signal,
                    ),
            },
            {
                // Each job that ends sees to it, too.
                name: 'job retention',
                firstAfterMs: DAY,
                everyMs: DAY,
                run: () => local.removeOld(),
            },
            {
                name: 'placeholder purge',
                firstAfterMs: MINUTE,
                everyMs: 30 * MINUTE,
                run: async (signal) => {
                    this.#purged += await purgePlaceholders(
                        {
                            database,
                            storages,
                            journal,
                            imageQueue,
                            isBeingMade: (uuid, during) => isBeingMade(services, uuid, during),
                            clock,
                            log,
                        },
                        signal,
                    );
                },
            },
        ];
        // Only where the archive stays: what is on its way to Manta is nobody's to remove.
        if (!this.#manta.pushesArchive) {
            tasks.push({
                name: 'archive retention',
                firstAfterMs: MINUTE,
                everyMs: DAY,
                run: (signal) => this.#removeOldArchive(signal),
            });
        }
        return tasks;
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
