import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { MantaObjects } from '#lib/remotes/manta/manta-objects.js';
import type { ObjectStore } from '#lib/remotes/object-store.js';
import type { MantaClient } from '../doubles/manta/client.js';
import type { MantaDouble } from '../doubles/manta/manta-double.js';
import { mantaClient, startManta, type MantaPlace } from './manta-place.js';

/** A Manta with the area of a server in it, and what a server reaches it by. */
export interface MantaArea extends MantaPlace {
    readonly double: MantaDouble;
    /** The server's own client. */
    readonly objects: MantaObjects;
    readonly rootDir: string;
    /** The library, for the other side. */
    readonly client: MantaClient;
    /** Puts an object below `rootDir`, making its directories. */
    readonly put: (path: string, text: string | Buffer) => Promise<void>;
    /** What an object below `rootDir` says. */
    readonly read: (path: string) => Promise<string>;
}

/** Starts a Manta for a test of what uses an area of it. */
export async function startMantaArea(
    t: Test,
    { callTimeoutMs }: { readonly callTimeoutMs?: number } = {},
): Promise<MantaArea> {
    const place = await startManta(t);
    const rootDir = `${place.root}/imgapi`;
    const objects = new MantaObjects({
        manta: { ...place.config, baseDir: 'imgapi', rootDir },
        key: readFileSync(place.key.file, 'utf8'),
        maxSockets: 20,
        userAgent: 'test',
        ...(callTimeoutMs === undefined ? {} : { limits: { call: callTimeoutMs } }),
    });
    t.teardown(() => objects.close());
    const client = mantaClient(t, place.config);
    return {
        ...place,
        objects,
        rootDir,
        client,
        put: async (path, text) => {
            const full = `${rootDir}/${path}`;
            await client.call('mkdirp', full.slice(0, full.lastIndexOf('/')));
            await client.put(full, Buffer.from(text));
        },
        read: async (path) => (await client.read(`${rootDir}/${path}`)).toString(),
    };
}

/** A store that does some things otherwise. */
export function altered(store: ObjectStore, changes: Partial<ObjectStore>): ObjectStore {
    return new Proxy(store, {
        get: (target, name: keyof ObjectStore) => {
            if (name in changes) return changes[name];
            const own: unknown = Reflect.get(target, name);
            return typeof own === 'function' ? (own.bind(target) as unknown) : own;
        },
    });
}
