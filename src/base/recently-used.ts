/**
 * A bounded number of values by key: when there are too many, those go first that were used longest
 * ago.
 */
export class RecentlyUsed<T> {
    readonly #limit: number;
    readonly #sizeOf: (value: T) => number;
    /** The order is that of use. */
    readonly #values = new Map<string, T>();
    #size = 0;

    /**
     * @param limit most that the values may count together
     * @param sizeOf what a value counts, always the same; default: 1
     */
    constructor(limit: number, sizeOf: (value: T) => number = () => 1) {
        this.#limit = limit;
        this.#sizeOf = sizeOf;
    }

    /** What is kept; looking does not count as a use. */
    get(key: string): T | undefined {
        return this.#values.get(key);
    }

    /**
     * Keeps a value, in the place of one that has its key, as the one used last.
     *
     * @returns what had to go for it, which may be itself
     */
    set(key: string, value: T): readonly T[] {
        this.delete(key);
        this.#values.set(key, value);
        this.#size += this.#sizeOf(value);
        const gone: T[] = [];
        for (const [oldest, kept] of this.#values) {
            if (this.#size <= this.#limit) {
                break;
            }
            this.delete(oldest);
            gone.push(kept);
        }
        return gone;
    }

    delete(key: string): void {
        const value = this.#values.get(key);
        if (value !== undefined && this.#values.delete(key)) {
            this.#size -= this.#sizeOf(value);
        }
    }

    clear(): void {
        this.#values.clear();
        this.#size = 0;
    }

    /** All values, the one used longest ago first. */
    values(): Iterable<T> {
        return this.#values.values();
    }
}
