import type { Test } from 'tap';
import { causeNamed, MorayClient } from '../doubles/moray/client.js';
import type { MorayObject } from '../doubles/moray/objects.js';
import type { DatacenterOptions, MorayPlace } from './datacenter.js';
import { startMoray } from './moray-databases.js';
import { eventually } from './server-process.js';

const BUCKET = 'imgapi_images';
/** How long a server may take to make its bucket. */
const BUCKET_LIMIT_MS = 10_000;

/** Whether a call fails because there is no such thing. @throws what else is wrong */
async function isMissing(name: string, call: Promise<unknown>): Promise<boolean> {
    try {
        await call;
        return false;
    } catch (error) {
        if (causeNamed(error, name) !== null) return true;
        throw error;
    }
}

/** Starts a Moray for the records of a datacenter; it ends after the servers. */
export async function startMorayPlace(t: Test): Promise<MorayPlace> {
    const double = await startMoray(t);
    const client = await MorayClient.connect(double.port);
    t.teardown(() => client.close());
    const hasBucket = async (): Promise<boolean> =>
        !(await isMissing('BucketNotFoundError', client.call('getBucket', BUCKET)));
    let bucket: Promise<unknown> | undefined;
    return {
        host: '127.0.0.1',
        port: double.port,
        put: async (uuid, raw) => {
            await (bucket ??= eventually('the bucket of images', BUCKET_LIMIT_MS, hasBucket));
            await client.put(BUCKET, uuid, raw);
        },
        read: async (uuid) => {
            const call: Promise<MorayObject> = client.get(BUCKET, uuid, { noCache: true });
            if (await isMissing('ObjectNotFoundError', call)) return undefined;
            const { value, _etag: etag } = await call;
            return JSON.stringify({ value, etag });
        },
    };
}

/** What to start a datacenter with for each database it can have, by the name of the database. */
export const DATABASES: Readonly<Record<string, (t: Test) => Promise<DatacenterOptions>>> = {
    local: () => Promise.resolve({}),
    moray: async (t) => ({ moray: await startMorayPlace(t) }),
};
