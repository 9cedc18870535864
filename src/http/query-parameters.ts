import { invalidParameter } from '../base/errors.js';

/**
 * The query string of a request (http-api 1.2): standard percent and plus decoding, keys taken
 * literally, an empty value equal to an absent one unless asked for with {@link QueryParameters.raw}.
 */
export class QueryParameters {
    readonly #values = new Map<string, string[]>();

    /** @param search the part of the request target behind `?`, without it */
    constructor(search: string) {
        // The question mark keeps one that belongs to the first key from being dropped.
        for (const [key, value] of new URLSearchParams(`?${search}`)) {
            const values = this.#values.get(key);
            if (values === undefined) {
                this.#values.set(key, [value]);
            } else {
                values.push(value);
            }
        }
    }

    /** Whether the parameter occurs, with or without a value. */
    has(name: string): boolean {
        return this.#values.has(name);
    }

    /** Value of a scalar even when it is empty; `undefined` when absent. @throws 422 when it is repeated */
    raw(name: string): string | undefined {
        const values = this.#values.get(name);
        if (values !== undefined && values.length > 1) {
            throw invalidParameter(`invalid "${name}": parameter given multiple times`, [
                { field: name, code: 'Invalid' },
            ]);
        }
        return values?.[0];
    }

    /** Value of a scalar; `undefined` when absent or empty. @throws 422 when it is repeated */
    get(name: string): string | undefined {
        const value = this.raw(name);
        return value === '' ? undefined : value;
    }

    /** All values of a parameter that may repeat, in order, empty ones too. */
    all(name: string): readonly string[] {
        return this.#values.get(name) ?? [];
    }

    /**
     * Value of a boolean parameter; `undefined` when absent.
     *
     * @param emptyIsAbsent whether an empty value counts as absent instead of being refused
     * @throws 422 when it is repeated or neither `true` nor `false` (http-api 1.2)
     */
    boolean(name: string, emptyIsAbsent = false): boolean | undefined {
        const value = this.raw(name);
        if (value === undefined || (value === '' && emptyIsAbsent)) {
            return undefined;
        }
        if (value !== 'true' && value !== 'false') {
            throw invalidParameter(
                `invalid value for "${name}" param: ${JSON.stringify(value)} is not a boolean`,
                [{ field: name, code: 'Invalid' }],
            );
        }
        return value === 'true';
    }

    /**
     * The scalars whose names start with `prefix`, as [rest of the name, value], in order.
     *
     * @throws 422 when one of them is repeated (http-api D7)
     */
    startingWith(prefix: string): readonly (readonly [string, string])[] {
        return [...this.#values.keys()]
            .filter((name) => name.startsWith(prefix))
            .map((name) => [name.slice(prefix.length), this.raw(name) ?? '']);
    }

    /** All names and values, for the audit record. */
    toObject(): Readonly<Record<string, string | readonly string[]>> {
        return Object.fromEntries(
            [...this.#values.entries()].map(([key, values]) => [
                key,
                values.length === 1 ? (values[0] ?? '') : values,
            ]),
        );
    }
}
