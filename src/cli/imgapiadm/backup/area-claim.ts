import { hostname } from 'node:os';
import type Logger from 'bunyan';
import { systemClock } from '../../../base/clock.js';
import { OwnerKeeper } from '../../../maintenance/keep-owner.js';
import { findForeignOwner, foreignOwnerText, type MarkedOwner } from '../../../maintenance/owner-marker.js';
import { TaskScheduler } from '../../../maintenance/tasks.js';
import type { ObjectStore } from '../../../remotes/object-store.js';

/** What an {@link AreaClaim} is made from. */
export interface AreaClaimOptions {
    readonly objects: ObjectStore;
    /** `manta.rootDir` of the configuration. */
    readonly rootDir: string;
    /** What tells this installation from others. */
    readonly instance: string;
    readonly signal: AbortSignal;
    readonly log: Logger;
    /** How often the marker is refreshed, milliseconds; default: as by a server, every hour. */
    readonly refreshMs?: number;
}

function foreignError(owner: MarkedOwner): Error {
    return new Error(
        `${foreignOwnerText(owner)}; its backup would be mixed with this one (--force does not help; ` +
            'two hours after it was last seen it counts as gone)',
    );
}

/**
 * Keeps a Manta area marked as this installation's while a backup is under way, also where no server does:
 * of two that begin at the same time only one gets it (operations 4.7).
 */
export class AreaClaim {
    /** Aborted when the run is to end, also because the area is another's by now. */
    readonly signal: AbortSignal;
    readonly #options: AreaClaimOptions;
    readonly #keeper: OwnerKeeper;
    readonly #lost = new AbortController();
    #refreshing: TaskScheduler | undefined;

    constructor(options: AreaClaimOptions) {
        const { instance, signal } = options;
        this.#options = options;
        this.#keeper = new OwnerKeeper({
            ...options,
            host: hostname(),
            instance: () => Promise.resolve(instance),
            clock: systemClock,
        });
        this.signal = AbortSignal.any([signal, this.#lost.signal]);
    }

    /** Changes nothing. @throws Error when somebody else is at work there */
    async check(): Promise<void> {
        const { objects, rootDir, instance } = this.#options;
        const owner = await findForeignOwner(objects, rootDir, instance);
        if (owner !== undefined) {
            throw foreignError(owner);
        }
    }

    /** Marks the area, and goes on doing so. @throws Error when somebody else is at work there */
    async take(): Promise<void> {
        await this.#keeper.refresh(this.signal);
        const { foreign } = this.#keeper;
        if (foreign !== undefined) {
            throw foreignError(foreign);
        }
        const task = this.#keeper.task();
        const { refreshMs = task.everyMs, log } = this.#options;
        const run = (signal: AbortSignal): Promise<void> => this.#refresh(signal);
        this.#refreshing = new TaskScheduler({
            tasks: [{ ...task, firstAfterMs: refreshMs, everyMs: refreshMs, run }],
            log,
        });
        this.#refreshing.start();
    }

    /** The marker stays until it is too old. */
    async end(): Promise<void> {
        await this.#refreshing?.stop();
    }

    async #refresh(signal: AbortSignal): Promise<void> {
        await this.#keeper.refresh(signal);
        const { foreign } = this.#keeper;
        if (foreign !== undefined) {
            this.#lost.abort(foreignError(foreign));
        }
    }
}
