import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { Test } from 'tap';
import type { MantaLimits } from '#lib/remotes/manta/manta-connection.js';
import { readMantaKey } from '#lib/remotes/manta/manta-key.js';
import { MantaObjects } from '#lib/remotes/manta/manta-objects.js';
import type { ObjectUpload } from '#lib/remotes/object-store.js';
import type { MantaDouble } from '../doubles/manta/manta-double.js';
import { makeMantaKey } from './manta-keys.js';
import { startManta, type MantaConfig, type MantaPlace, type MantaPlaceOptions } from './manta-place.js';

/** How most objects here are stored. */
export const OCTETS = { contentType: 'application/octet-stream' };
/** What an outage is called. */
export const DOWN = { code: 'StorageIsDown', status: 503 };
/** Short enough for a test to wait, long enough for a busy machine. */
export const LIMITS: MantaLimits = { connect: 1000, call: 1500, headers: 1500, stall: 1000 };

/** What Manta, or what takes itself for it, refuses. */
export function refused(status: number): { readonly name: string; readonly status: number } {
    return { name: 'ObjectStoreError', status };
}

/** How a server's part in calls to Manta is bounded. */
export interface ObjectsOptions {
    readonly maxSockets?: number;
    readonly limits?: Partial<MantaLimits>;
}

/** The product's way to a Manta; closed when the test ends. */
export async function openObjects(
    t: Test,
    config: MantaConfig,
    { maxSockets = 10, limits = {} }: ObjectsOptions = {},
): Promise<MantaObjects> {
    const rootDir = `/${config.user}/stor/imgapi`;
    const objects = new MantaObjects({
        manta: { ...config, baseDir: 'imgapi', rootDir },
        key: await readMantaKey(config),
        maxSockets,
        userAgent: 'IMGAPI/test',
        limits,
    });
    t.teardown(() => objects.close());
    return objects;
}

/** A Manta and the product's way to it. */
export interface ObjectsBench extends MantaPlace {
    readonly double: MantaDouble;
    readonly objects: MantaObjects;
}

/** Starts a Manta for a test of what calls it. */
export async function objectsBench(
    t: Test,
    options: MantaPlaceOptions & ObjectsOptions = {},
): Promise<ObjectsBench> {
    const { maxSockets, limits, ...rest } = options;
    const place = await startManta(t, rest);
    const bounds = { ...(maxSockets !== undefined && { maxSockets }), ...(limits && { limits }) };
    return { ...place, objects: await openObjects(t, place.config, bounds) };
}

/** The product's way to a server that answers as it is told, which Manta does not. */
export async function openStrange(
    t: Test,
    listener: RequestListener,
    options: ObjectsOptions = {},
): Promise<MantaObjects> {
    const server = createServer(listener);
    server.on('checkContinue', listener);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
        server.closeAllConnections();
        server.close();
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const { file: key, fingerprint: keyId } = makeMantaKey(t.testdir({}), 'ecdsa');
    return openObjects(t, { url: `http://127.0.0.1:${address.port}`, user: 'admin', key, keyId }, options);
}

/** Puts an object; tells its path. */
export async function store(area: ObjectsBench, name: string, bytes: Buffer): Promise<string> {
    const path = `${area.root}/${name}`;
    await area.objects.put(path, bytes, { contentType: 'text/plain' });
    return path;
}

/** Ends an upload with these bytes. */
export async function uploaded(upload: ObjectUpload, bytes: Buffer, step: number): Promise<unknown> {
    for (let at = 0; at < bytes.length; at += step) await upload.write(bytes.subarray(at, at + step));
    return upload.end();
}

/** Names of what is in a directory. */
export async function names(objects: MantaObjects, path: string): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const { name } of objects.list(path)) found.push(name);
    return found;
}

/** Everything works, and within the time of one call: nothing keeps a connection that is needed. */
export async function requireWorking(t: Test, area: ObjectsBench): Promise<void> {
    const path = await store(area, 'works', Buffer.from('works'));
    t.equal((await area.objects.read(path, 100))?.bytes.toString(), 'works');
    const [one, two] = await Promise.all(
        ['one', 'two'].map((name) => area.objects.upload(`${area.root}/${name}`, OCTETS)),
    );
    await Promise.all([uploaded(one!, Buffer.from('1'), 1), uploaded(two!, Buffer.from('2'), 1)]);
    t.equal((await area.objects.stat(`${area.root}/two`))?.size, 1);
}
