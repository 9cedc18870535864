import { crc32 } from 'node:zlib';
import type { Test } from 'tap';
import { causeNamed, MorayClient } from '../client.js';
import { MorayDouble } from '../moray-double.js';
import type { Store } from '../store.js';

/** Makes an empty store. */
export type OpenStore = () => Promise<Store>;

/** The bucket of every bench. */
export const BUCKET = 'things';
export const INDEX = {
    name: { type: 'string' },
    urn: { type: 'string', unique: true },
    size: { type: 'number' },
    public: { type: 'boolean' },
    address: { type: 'ip' },
    tags: { type: '[string]' },
    sizes: { type: '[number]' },
};

/** A double with one bucket, and a client of it. */
export interface Bench {
    readonly double: MorayDouble;
    readonly client: MorayClient;
}

/** Fails unless the promise is rejected with an error of this name; gives that error. */
export async function refusal(
    t: Test,
    promise: Promise<unknown>,
    name: string,
): Promise<Error & { readonly context?: object }> {
    const error: unknown = await promise.then(
        () => new Error('no error'),
        (reason: unknown) => reason,
    );
    const cause = causeNamed(error, name);
    t.ok(cause, `${name}, got: ${String(error)}`);
    return cause ?? new Error('none');
}

/** Etag that an object with this value has. */
export const etagOf = (value: object): string => crc32(JSON.stringify(value)).toString(16).padStart(8, '0');
export const keysOf = (objects: readonly { readonly key: string }[]): readonly string[] =>
    objects.map(({ key }) => key);

/** Starts a double of its own for a test. */
export async function bench(t: Test, openStore: OpenStore): Promise<Bench> {
    const double = await MorayDouble.start({ store: await openStore() });
    t.teardown(() => double.stop());
    const client = await MorayClient.connect(double.port);
    t.teardown(() => client.close());
    await client.call('createBucket', BUCKET, { index: INDEX }, {});
    return { double, client };
}
