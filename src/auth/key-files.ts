import type Logger from 'bunyan';
import type { BaseDirectories, ConfigSource } from '../base/config-types.js';
import type { KeyStore } from './auth.js';
import { keyDirectories, listKeyFiles, readKeys, type KeyMap } from './key-sources.js';

/** Time between two looks at the key directories, milliseconds (backends 12). */
const POLL_INTERVAL_MS = 2000;

/** Public keys from the config and from files (backends 12); with `authType: none` it knows nobody. */
export class KeyFiles implements KeyStore {
    readonly #directories: BaseDirectories;
    readonly #config: ConfigSource;
    readonly #log: Logger;
    readonly #pollIntervalMs: number;
    #keys: KeyMap = new Map();
    /** Key files as they were when the map in force was read. */
    #stamp: string | undefined;
    #lastFailure: string | undefined;
    #running: Promise<void> = Promise.resolve();
    #next: Promise<void> | undefined;
    #timer: NodeJS.Timeout | undefined;
    #watching = false;

    constructor(options: {
        readonly directories: BaseDirectories;
        readonly config: ConfigSource;
        readonly log: Logger;
        readonly pollIntervalMs?: number;
    }) {
        this.#directories = options.directories;
        this.#config = options.config;
        this.#log = options.log.child({ component: 'authkeys' }, true);
        this.#pollIntervalMs = options.pollIntervalMs ?? POLL_INTERVAL_MS;
    }

    keysOf(user: string): readonly string[] {
        return this.#keys.get(user) ?? [];
    }

    counts(): Readonly<Record<string, number>> {
        return Object.fromEntries([...this.#keys].map(([user, lines]) => [user, lines.length]));
    }

    /**
     * Reads all sources anew and replaces the map in one step. Calls that come while one is running
     * share the next run, which sees everything they saw. Never rejects: when a source cannot be
     * read, the map stays as it is and the log says why.
     */
    load(): Promise<void> {
        this.#next ??= this.#running.then(() => {
            this.#next = undefined;
            this.#running = this.#read(true);
            return this.#running;
        });
        return this.#next;
    }

    /** Looks at the key directories every two seconds and loads what changed, until {@link close}. */
    watch(): void {
        if (!this.#watching) {
            this.#watching = true;
            this.#schedule();
        }
    }

    /** Stops watching. */
    close(): void {
        this.#watching = false;
        clearTimeout(this.#timer);
    }

    #schedule(): void {
        if (!this.#watching) {
            return;
        }
        this.#timer = setTimeout(() => {
            void this.#poll().finally(() => this.#schedule());
        }, this.#pollIntervalMs);
        this.#timer.unref();
    }

    async #poll(): Promise<void> {
        if (this.#next === undefined) {
            this.#running = this.#running.then(() => this.#read(false));
        }
        await this.#running;
    }

    async #read(evenIfUnchanged: boolean): Promise<void> {
        const { authType, authKeys } = this.#config.current;
        if (authType !== 'signature') {
            this.#replace(new Map(), '');
            return;
        }
        try {
            const files = await listKeyFiles(keyDirectories(this.#directories, this.#config.current));
            const stamp = files.map((file) => file.stamp).join('\n');
            if (evenIfUnchanged || stamp !== this.#stamp) {
                this.#replace(await readKeys(authKeys, files), stamp);
            }
            this.#lastFailure = undefined;
        } catch (err) {
            this.#reportFailure(err, evenIfUnchanged);
        }
    }

    /** An error that stays is reported once, not at every look; an asked-for load always answers. */
    #reportFailure(err: unknown, always: boolean): void {
        const text = String(err);
        if (always || text !== this.#lastFailure) {
            this.#log.error({ err }, 'auth keys cannot be read, the keys in force stay');
        }
        this.#lastFailure = text;
    }

    #replace(keys: KeyMap, stamp: string): void {
        const differs = JSON.stringify([...keys]) !== JSON.stringify([...this.#keys]);
        this.#keys = keys;
        this.#stamp = stamp;
        if (differs) {
            this.#log.info({ authKeys: this.counts() }, 'auth keys loaded');
        }
        // The start has a warning of its own, which also covers a load that failed.
        if (keys.size === 0 && differs && this.#config.current.authType === 'signature') {
            this.#log.warn('authType=signature but no keys loaded');
        }
    }
}
