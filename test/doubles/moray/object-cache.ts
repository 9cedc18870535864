import type { MorayObject } from './objects.js';

const MAX_OBJECTS = 1000;

/**
 * What getObject remembers for callers that do not say `noCache`. It learns of the changes that pass
 * through this server, and of no others, as with several Moray processes on one PostgreSQL.
 */
export class ObjectCache {
    readonly #objects = new Map<string, MorayObject>();
    #reads = 0;

    /** How often getObject was called without `noCache`. */
    get reads(): number {
        return this.#reads;
    }

    get(bucket: string, key: string): MorayObject | undefined {
        this.#reads++;
        return this.#objects.get(`${bucket}/${key}`);
    }

    put(object: MorayObject): void {
        const [oldest] = this.#objects.keys();
        if (this.#objects.size >= MAX_OBJECTS && oldest !== undefined) this.#objects.delete(oldest);
        this.#objects.set(`${object.bucket}/${object.key}`, object);
    }

    drop(bucket: string, key: string): void {
        this.#objects.delete(`${bucket}/${key}`);
    }

    clear(): void {
        this.#objects.clear();
    }
}
