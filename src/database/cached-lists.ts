import type { ConfigSource } from '../base/config-types.js';
import { Tally } from '../base/tally.js';
import type { RawImage } from '../manifest/types.js';
import type { Change, Database, DeleteOptions, MoveChange, StoredImage } from './database.js';
import type { Query } from './query.js';

/** A list as it was found. */
interface KeptList {
    readonly images: readonly StoredImage[];
    /** When the search began, ms of {@link CachedListsOptions.now}. */
    readonly since: number;
}

/** What {@link CachedLists} are made from. */
export interface CachedListsOptions {
    readonly database: Database;
    /** `listCacheTtlMs` counts as it is at each search; 0 keeps nothing. */
    readonly config: ConfigSource;
    /** Milliseconds that never go back; default: `performance.now`. */
    readonly now?: () => number;
}

const MAX_LISTS = 1000;
/** Most images of all lists together; an image counts once for each list it is in. */
const MAX_IMAGES = 20_000;
/** Searches with longer keys are not kept, UTF-16 units. */
const MAX_KEY_LENGTH = 4096;

/** What a list depends on; `undefined` when it may not be kept. */
function keyOf(query: Query): string | undefined {
    const { anyOf, order, marker, limit, cacheFor } = query;
    if (cacheFor === undefined) {
        return undefined;
    }
    const key = JSON.stringify([cacheFor, order, limit, marker, anyOf]);
    return key.length > MAX_KEY_LENGTH ? undefined : key;
}

/**
 * A database whose lists may be up to `listCacheTtlMs` old, as seen from other processes (backends 14,
 * C1-C6). Everything but lists for readers goes straight through.
 *
 * A change made here, be it refused or not, empties the cache before it begins and before it is
 * answered, and no search that began before that is kept: so whoever reads after the answer sees it.
 */
export class CachedLists implements Database {
    /** How often a list was asked for: in the cache `lists`, a `hit` or a `miss`. */
    readonly requests = new Tally<'cache' | 'result'>();
    readonly #database: Database;
    readonly #config: ConfigSource;
    readonly #now: () => number;
    /** By what they depend on, oldest entry first. */
    readonly #lists = new Map<string, KeptList>();
    #images = 0;
    /** Number of times that all lists became old. */
    #generation = 0;

    constructor(options: CachedListsOptions) {
        this.#database = options.database;
        this.#config = options.config;
        this.#now = options.now ?? (() => performance.now());
    }

    /** Lists and images kept at the moment. */
    get size(): { readonly lists: number; readonly images: number } {
        return { lists: this.#lists.size, images: this.#images };
    }

    /** Forgets every list, also those being read at the moment. */
    clear(): void {
        this.#generation += 1;
        this.#lists.clear();
        this.#images = 0;
    }

    setup(): Promise<void> {
        return this.#database.setup();
    }

    get(uuid: string): Promise<StoredImage> {
        return this.#database.get(uuid);
    }

    async search(query: Query): Promise<readonly StoredImage[]> {
        const lifespan = this.#config.current.listCacheTtlMs;
        this.#dropOlderThan(lifespan);
        const key = lifespan > 0 ? keyOf(query) : undefined;
        if (key === undefined) {
            return this.#database.search(query);
        }
        query.signal?.throwIfAborted();
        const kept = this.#lists.get(key);
        if (kept !== undefined && this.#now() - kept.since < lifespan) {
            this.requests.add({ cache: 'lists', result: 'hit' });
            return kept.images;
        }
        this.requests.add({ cache: 'lists', result: 'miss' });
        return this.#read(key, query);
    }

    create(raw: RawImage): Promise<StoredImage> {
        return this.#changing(() => this.#database.create(raw));
    }

    update(uuid: string, change: Change, seen?: StoredImage): Promise<StoredImage> {
        return this.#changing(() => this.#database.update(uuid, change, seen));
    }

    move(oldUuid: string, newUuid: string, change: MoveChange, seen?: StoredImage): Promise<StoredImage> {
        return this.#changing(() => this.#database.move(oldUuid, newUuid, change, seen));
    }

    del(uuid: string, options?: DeleteOptions): Promise<void> {
        return this.#changing(() => this.#database.del(uuid, options));
    }

    ping(): Promise<void> {
        return this.#database.ping();
    }

    async close(): Promise<void> {
        await this.#database.close();
        this.clear();
    }

    /** A failed change may have happened nevertheless, e.g. when the connection broke before the answer. */
    async #changing<T>(change: () => Promise<T>): Promise<T> {
        this.clear();
        try {
            return await change();
        } finally {
            this.clear();
        }
    }

    async #read(key: string, query: Query): Promise<readonly StoredImage[]> {
        const generation = this.#generation;
        const since = this.#now();
        const images = await this.#database.search(query);
        if (generation === this.#generation) {
            this.#keep(key, { images, since });
        }
        return images;
    }

    #keep(key: string, list: KeptList): void {
        const present = this.#lists.get(key);
        if (list.images.length > MAX_IMAGES || (present !== undefined && present.since > list.since)) {
            return;
        }
        this.#drop(key);
        this.#lists.set(key, list);
        this.#images += list.images.length;
        for (const oldest of this.#lists.keys()) {
            if (this.#lists.size <= MAX_LISTS && this.#images <= MAX_IMAGES) {
                return;
            }
            this.#drop(oldest);
        }
    }

    /** Takes the entries that are too old off the front; others behind them go when they are asked for or replaced. */
    #dropOlderThan(lifespan: number): void {
        for (const [key, { since }] of this.#lists) {
            if (this.#now() - since < lifespan) {
                return;
            }
            this.#drop(key);
        }
    }

    #drop(key: string): void {
        const list = this.#lists.get(key);
        if (list !== undefined) {
            this.#lists.delete(key);
            this.#images -= list.images.length;
        }
    }
}
