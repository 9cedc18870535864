import { hostname } from 'node:os';
import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories } from '../base/config-types.js';
import { isUuid } from '../base/uuid.js';
import { processState } from '../lock/process-identity.js';
import type { CloneIntent, CloneJournal, NotedClones, PendingClone } from './clone-journal.js';
import { IntentFiles, type NotedIntent } from './intent-files.js';

/** Age at which what another machine's process did not finish counts as abandoned, milliseconds. */
const STALE_MS = 86_400_000;

/** A file of the journal: the clones, and whose they are. */
interface OwnedIntent extends CloneIntent {
    readonly host: string;
    readonly pid: number;
    /** Clock ticks since boot; absent where there is no /proc. */
    readonly startTime?: number;
    /** Milliseconds since the epoch. */
    readonly at: number;
    /** Whether its process works on it no more, although it lives. */
    readonly released?: boolean;
}

function isPendingClone(value: unknown): value is PendingClone {
    const { uuid, stor } = (value ?? {}) as Partial<Record<keyof PendingClone, unknown>>;
    return isUuid(uuid) && typeof stor === 'string';
}

function isIntent(value: unknown): value is OwnedIntent {
    const { clones, host, pid, startTime, at, released } = (value ?? {}) as Partial<
        Record<keyof OwnedIntent, unknown>
    >;
    return (
        Array.isArray(clones) &&
        clones.length > 0 &&
        clones.every(isPendingClone) &&
        typeof host === 'string' &&
        typeof pid === 'number' &&
        (startTime === undefined || typeof startTime === 'number') &&
        typeof at === 'number' &&
        (released === undefined || typeof released === 'boolean')
    );
}

/** Uuid of the last clone, under which an intent is kept. */
function keyOf({ clones }: CloneIntent): string {
    const last = clones.at(-1);
    if (last === undefined) {
        throw new TypeError('an intent has at least one clone');
    }
    return last.uuid;
}

/** Journal in `run/clones/<uuid of the last clone>.<random>.json`, one file a request. */
export class FileCloneJournal implements CloneJournal {
    readonly #files: IntentFiles<OwnedIntent>;
    readonly #clock: Clock;
    /** What this process is working on, by the uuid of the last clone. */
    readonly #held = new Set<string>();

    constructor(options: {
        readonly directories: BaseDirectories;
        readonly log: Logger;
        readonly clock: Clock;
    }) {
        this.#clock = options.clock;
        this.#files = new IntentFiles({
            directory: options.directories.clones,
            what: 'clone intent',
            isIntent,
            log: options.log.child({ component: 'journal' }, true),
        });
    }

    async note(clones: readonly PendingClone[]): Promise<NotedClones> {
        const startTime = (await processState(process.pid))?.startTime;
        const key = keyOf({ clones });
        this.#held.add(key);
        try {
            const noted = await this.#files.note(key, {
                clones,
                host: hostname(),
                pid: process.pid,
                ...(startTime === undefined ? {} : { startTime }),
                at: this.#clock.now(),
            });
            return this.#noted(noted);
        } catch (error) {
            this.#held.delete(key);
            throw error;
        }
    }

    async abandoned(): Promise<readonly NotedClones[]> {
        const found: NotedClones[] = [];
        for (const noted of await this.#files.pending()) {
            if (!this.#held.has(keyOf(noted.intent)) && (await this.#isAbandoned(noted.intent))) {
                found.push(this.#noted(noted));
            }
        }
        return found;
    }

    /** Several processes may share the directory: an entry is left alone while its process lives. */
    async #isAbandoned({ host, pid, startTime, at, released }: OwnedIntent): Promise<boolean> {
        if (released === true) {
            return true;
        }
        if (host !== hostname()) {
            return this.#clock.now() - at > STALE_MS;
        }
        const state = pid === process.pid ? undefined : await processState(pid);
        return state === undefined || state.startTime !== startTime;
    }

    #noted(noted: NotedIntent<OwnedIntent>): NotedClones {
        const { intent } = noted;
        const letGo = (): void => {
            this.#held.delete(keyOf(intent));
        };
        return {
            clones: intent.clones,
            release: () => noted.replace({ ...intent, released: true }).finally(letGo),
            drop: () => noted.drop().finally(letGo),
        };
    }
}
