import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories } from '../base/config-types.js';
import { isUuid } from '../base/uuid.js';
import type { CloneIntent, CloneJournal, NotedClones, PendingClone } from './clone-journal.js';
import { type OwnedIntent, OwnedIntents } from './owned-intents.js';

function isPendingClone(value: unknown): value is PendingClone {
    const { uuid, stor } = (value ?? {}) as Partial<Record<keyof PendingClone, unknown>>;
    return isUuid(uuid) && typeof stor === 'string';
}

function isIntent(value: object): value is CloneIntent {
    const { clones } = value as Partial<Record<keyof CloneIntent, unknown>>;
    return Array.isArray(clones) && clones.length > 0 && clones.every(isPendingClone);
}

/** Uuid of the last clone, under which an intent is kept. */
function keyOf({ clones }: CloneIntent): string {
    const last = clones.at(-1);
    if (last === undefined) {
        throw new TypeError('an intent has at least one clone');
    }
    return last.uuid;
}

function notedClones(owned: OwnedIntent<CloneIntent>): NotedClones {
    return {
        clones: owned.intent.clones,
        drop: () => owned.drop(),
        release: () => owned.release(),
    };
}

/** Journal in `run/clones/<uuid of the last clone>.<random>.json`, one file a request. */
export class FileCloneJournal implements CloneJournal {
    readonly #intents: OwnedIntents<CloneIntent>;

    constructor(options: {
        readonly directories: BaseDirectories;
        readonly log: Logger;
        readonly clock: Clock;
    }) {
        const { directories, log, clock } = options;
        this.#intents = new OwnedIntents({
            directory: directories.clones,
            what: 'clone intent',
            isIntent,
            keyOf,
            log,
            clock,
        });
    }

    async note(clones: readonly PendingClone[]): Promise<NotedClones> {
        return notedClones(await this.#intents.note({ clones }));
    }

    async abandoned(): Promise<readonly NotedClones[]> {
        return (await this.#intents.abandoned()).map(notedClones);
    }
}
