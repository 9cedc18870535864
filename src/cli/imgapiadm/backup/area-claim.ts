import { hostname } from 'node:os';
import type Logger from 'bunyan';
import { systemClock } from '../../../base/clock.js';
import { findForeignOwner, markOwner, type MarkedOwner } from '../../../maintenance/owner-marker.js';
import { TaskScheduler } from '../../../maintenance/tasks.js';
import type { ObjectStore } from '../../../remotes/object-store.js';

const REFRESH_MS = 3_600_000;
const RETRY_MS = 300_000;

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

function foreignError({ host, instance, time }: MarkedOwner): Error {
    return new Error(
        `another host uses this Manta area: ${host ?? 'unknown'}, instance ${instance ?? 'unknown'}, ` +
            `last seen ${time ?? 'unknown'}; its backup would be mixed with this one (--force does not help; ` +
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
    readonly #lost = new AbortController();
    #refreshing: TaskScheduler | undefined;

    constructor(options: AreaClaimOptions) {
        this.#options = options;
        this.signal = AbortSignal.any([options.signal, this.#lost.signal]);
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
        const owner = await this.#tryMark();
        if (owner !== undefined) {
            throw foreignError(owner);
        }
        const { refreshMs = REFRESH_MS } = this.#options;
        const task = {
            name: 'owner marker',
            firstAfterMs: refreshMs,
            everyMs: refreshMs,
            retryMs: RETRY_MS,
            run: () => this.#refresh(),
        };
        this.#refreshing = new TaskScheduler({ tasks: [task], log: this.#options.log });
        this.#refreshing.start();
    }

    /** The marker stays until it is too old. */
    async end(): Promise<void> {
        await this.#refreshing?.stop();
    }

    async #refresh(): Promise<void> {
        const owner = await this.#tryMark();
        if (owner !== undefined) {
            this.#lost.abort(foreignError(owner));
        }
    }

    #tryMark(): Promise<MarkedOwner | undefined> {
        const { objects, rootDir, instance, log } = this.#options;
        return markOwner({
            objects,
            rootDir,
            instance,
            host: hostname(),
            clock: systemClock,
            signal: this.signal,
            onReplace: (owner) =>
                log.warn(
                    { owner, path: rootDir },
                    'the marker of the Manta area was not refreshed for long, or says nothing: taken over',
                ),
        });
    }
}
