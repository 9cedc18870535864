import { hostname } from 'node:os';
import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import { processState } from '../lock/process-identity.js';
import { IntentFiles, type NotedIntent } from './intent-files.js';

/** Age at which what another machine's process did not finish counts as abandoned, milliseconds. */
const STALE_MS = 86_400_000;

/** Whose an intent is. */
interface Owner {
    readonly host: string;
    readonly pid: number;
    /** Clock ticks since boot; absent where there is no /proc. */
    readonly startTime?: number;
    /** Milliseconds since the epoch. */
    readonly at: number;
    /** Whether its process works on it no more, although it lives. */
    readonly released?: boolean;
}

/** An intent that is on stable storage, and this process's to settle. */
export interface OwnedIntent<T> {
    /** As it was noted last. */
    readonly intent: T;
    /** Notes how far it is, durably. */
    replace(intent: T): Promise<void>;
    /** What it was for is settled: forgets it, durably. */
    drop(): Promise<void>;
    /**
     * It could not be settled: leaves it to {@link OwnedIntents.abandoned}, of whichever process runs that.
     *
     * @throws the file system's error; then this process, or the next one, finds it
     */
    release(): Promise<void>;
}

/** What {@link OwnedIntents} need. */
export interface OwnedIntentsOptions<T> {
    readonly directory: string;
    /** Name of one intent, for the log. */
    readonly what: string;
    readonly isIntent: (value: object) => value is T & object;
    /** A uuid that no other intent has, and that stays the same when it is replaced. */
    readonly keyOf: (intent: T) => string;
    readonly log: Logger;
    readonly clock: Clock;
}

function isOwner(value: object): value is Owner {
    const { host, pid, startTime, at, released } = value as Partial<Record<keyof Owner, unknown>>;
    return (
        typeof host === 'string' &&
        typeof pid === 'number' &&
        (startTime === undefined || typeof startTime === 'number') &&
        typeof at === 'number' &&
        (released === undefined || typeof released === 'boolean')
    );
}

/**
 * Intents that belong to the process that noted them for as long as it lives, as files
 * `<directory>/<key>.<random>.json`. Several processes may share the directory.
 */
export class OwnedIntents<T extends object> {
    readonly #options: OwnedIntentsOptions<T>;
    readonly #files: IntentFiles<T & Owner>;
    /** What this process is working on. */
    readonly #held = new Set<string>();

    constructor(options: OwnedIntentsOptions<T>) {
        const { directory, what, isIntent } = options;
        this.#options = options;
        this.#files = new IntentFiles<T & Owner>({
            directory,
            what,
            isIntent: (value): value is T & Owner =>
                typeof value === 'object' && value !== null && isIntent(value) && isOwner(value),
            log: options.log.child({ component: 'journal' }, true),
        });
    }

    /** Notes an intent before anything is changed. @throws the file system's error */
    async note(intent: T): Promise<OwnedIntent<T>> {
        const startTime = (await processState(process.pid))?.startTime;
        const owner: Owner = {
            host: hostname(),
            pid: process.pid,
            ...(startTime === undefined ? {} : { startTime }),
            at: this.#options.clock.now(),
        };
        const key = this.#options.keyOf(intent);
        this.#held.add(key);
        try {
            return this.#owned(await this.#files.note(key, { ...intent, ...owner }));
        } catch (error) {
            this.#held.delete(key);
            throw error;
        }
    }

    /** What nobody is working on any more. */
    async abandoned(): Promise<readonly OwnedIntent<T>[]> {
        return (await this.#pending(true)).map((noted) => this.#owned(noted));
    }

    /** What this process or another one is working on. */
    async active(): Promise<readonly T[]> {
        return (await this.#pending(false)).map(({ intent }) => intent);
    }

    async #pending(isAbandoned: boolean): Promise<readonly NotedIntent<T & Owner>[]> {
        const found: NotedIntent<T & Owner>[] = [];
        for (const noted of await this.#files.pending()) {
            if ((await this.#isAbandoned(noted.intent)) === isAbandoned) {
                found.push(noted);
            }
        }
        return found;
    }

    /** An intent is left alone while its process lives. */
    async #isAbandoned(intent: T & Owner): Promise<boolean> {
        const { host, pid, startTime, at, released } = intent;
        if (this.#held.has(this.#options.keyOf(intent))) {
            return false;
        }
        if (released === true) {
            return true;
        }
        if (host !== hostname()) {
            return this.#options.clock.now() - at > STALE_MS;
        }
        const state = pid === process.pid ? undefined : await processState(pid);
        return state === undefined || state.startTime !== startTime;
    }

    #owned(noted: NotedIntent<T & Owner>): OwnedIntent<T> {
        let current = noted.intent;
        const letGo = (): void => {
            this.#held.delete(this.#options.keyOf(current));
        };
        return {
            get intent() {
                return current;
            },
            replace: async (intent) => {
                const next = { ...current, ...intent };
                await noted.replace(next);
                current = next;
            },
            release: () => noted.replace({ ...current, released: true }).finally(letGo),
            drop: () => noted.drop().finally(letGo),
        };
    }
}
