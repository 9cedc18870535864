import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import { untilAborted } from '../base/until-aborted.js';
import type { ObjectStore } from '../remotes/object-store.js';
import { markOwner, type MarkedOwner } from './owner-marker.js';
import type { BackgroundTask } from './tasks.js';

/** Name of the task that marks the area as this installation's. */
export const OWNER_TASK = 'owner marker';

const REFRESH_MS = 3_600_000;
const RETRY_MS = 300_000;

/** What an {@link OwnerKeeper} is made from. */
export interface OwnerKeeperOptions {
    readonly objects: ObjectStore;
    /** `manta.rootDir` of the configuration. */
    readonly rootDir: string;
    readonly host: string;
    /** What tells this installation from others. */
    readonly instance: () => Promise<string>;
    readonly clock: Clock;
    readonly log: Logger;
}

/** Keeps a Manta area marked as this installation's, and knows when it is another's (operations 4.7). */
export class OwnerKeeper {
    readonly #options: OwnerKeeperOptions;
    readonly #log: Logger;
    #foreign: MarkedOwner | undefined;

    constructor(options: OwnerKeeperOptions) {
        this.#options = options;
        this.#log = options.log.child({ component: 'owner' }, true);
    }

    /** Who else was at work in the area at the last look; `undefined`: nobody. */
    get foreign(): MarkedOwner | undefined {
        return this.#foreign;
    }

    /** The row for a scheduler: the area is marked at once, and every hour. */
    task(): BackgroundTask {
        return {
            name: OWNER_TASK,
            firstAfterMs: 0,
            everyMs: REFRESH_MS,
            retryMs: RETRY_MS,
            run: (signal) => this.refresh(signal),
        };
    }

    /** Refreshes the marker, unless it is another's. @throws as {@link ObjectStore} says */
    async refresh(signal: AbortSignal): Promise<void> {
        const { objects, rootDir, host, clock } = this.#options;
        const instance = await this.#options.instance();
        this.#foreign = await untilAborted(
            signal,
            markOwner({
                objects,
                rootDir,
                instance,
                host,
                clock,
                signal,
                onReplace: (owner) =>
                    this.#log.warn(
                        { owner, path: rootDir },
                        'the marker of the Manta area was not refreshed for long, or says nothing: taken over',
                    ),
            }),
        );
        if (this.#foreign !== undefined) {
            this.#log.error(
                { owner: this.#foreign, instance, path: rootDir },
                'another host uses this Manta area: one of the two must be stopped; no backup is made from here',
            );
        }
    }
}
