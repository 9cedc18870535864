// Two servers of a datacenter on one Moray, with lists kept for two seconds (backends 14, 17 #6):
// lists of the other server may be that old, and nothing else may be old at all.
import t from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { startDatacenter } from '../helpers/datacenter.js';
import { HttpClient } from '../helpers/http-client.js';
import { createImage, publishImage, USERS } from '../helpers/images.js';
import { expectError } from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';

const { vader, luke } = USERS;
const LIFESPAN_MS = 2000;
const BUCKET = 'imgapi_images';

const moray = await MorayDouble.start();
t.teardown(() => moray.stop());
const { servers, client, metricsPort } = await startDatacenter(t, {
    config: { listCacheTtlMs: LIFESPAN_MS },
    images: [],
    processes: 2,
    moray: {
        host: '127.0.0.1',
        port: moray.port,
        put: async (uuid, raw) => {
            await moray.putRaw(BUCKET, uuid, raw);
        },
        read: async () => undefined,
    },
});
const [, secondServer] = servers;
if (secondServer === undefined) throw new Error('there is one server only');
const other = new HttpClient(secondServer.port);

// They start before they have reached Moray.
for (const one of [client, other]) {
    await eventually('Moray to be reached', 20_000, async () => (await one.get('/images')).status === 200);
}

function searches(): number {
    return moray.rpcCounts['findObjects'] ?? 0;
}

/** Waits until a list of the first server is answered from memory, which it is not when the machine is slow. */
async function warm(path: string): Promise<void> {
    await eventually('a list from memory', 20_000, async () => {
        await client.get(path);
        const before = searches();
        await client.get(path);
        return searches() === before;
    });
}

await t.test('a change is seen at once where it was made, and soon by the other', async (t) => {
    const uuid = await publishImage(client, { name: 'first' });
    await warm('/images');
    t.strictSame((await client.get('/images')).uuids, [uuid]);

    const second = await publishImage(other, { name: 'second' });
    const acknowledged = performance.now();
    t.strictSame((await other.get('/images')).uuids, [uuid, second], 'where it was made');
    t.equal((await client.get(`/images/${second}`)).status, 200, 'a single image is never old');
    let lastOld = acknowledged;
    await eventually('the list to become new', 20_000, async () => {
        const asked = performance.now();
        const { uuids } = await client.get('/images');
        if (uuids.length === 1) lastOld = asked;
        return uuids.length === 2;
    });
    t.ok(lastOld - acknowledged < LIFESPAN_MS, `old for ${lastOld - acknowledged} ms`);

    await warm('/images?name=second');
    const renamed = await client.post(`/images/${second}?action=update`, { name: 'third' });
    t.equal(renamed.status, 200);
    t.strictSame((await client.get('/images?name=second')).uuids, [], 'a change made here');
    t.strictSame((await client.get('/images?name=third')).uuids, [second]);
    await warm('/images');
    t.equal((await client.delete(`/images/${second}`)).status, 204);
    t.strictSame((await client.get('/images')).uuids, [uuid], 'a deletion');
});

await t.test('accounts do not share lists, and changes do not use them', async (t) => {
    const origin = await publishImage(client, { name: 'private', owner: vader });
    const mine = `/images?name=private&account=${vader}`;
    await warm(mine);
    t.strictSame((await client.get(`/images?name=private&account=${luke}`)).uuids, []);
    t.strictSame((await client.get(mine)).uuids, [origin]);

    await warm('/images?name=private');
    const child = await createImage(other, { name: 'child', owner: vader, origin });
    const refused = await client.delete(`/images/${origin}`);
    expectError(
        t,
        refused,
        {
            status: 422,
            code: 'ImageHasDependentImages',
            message: `image "${origin}" has 1 dependent incremental image(s): ${child}`,
        },
        'the image the other server has just made counts',
    );
});

await t.test('the time can be changed while the server runs; the cache is counted', async (t) => {
    await warm('/images');
    const metrics = await new HttpClient(metricsPort).get('/metrics');
    t.match(metrics.text, /imgapi_cache_requests_total\{[^}]*cache="lists"[^}]*result="hit"[^}]*\} [1-9]/);
    t.match(metrics.text, /imgapi_cache_requests_total\{[^}]*cache="lists"[^}]*result="miss"[^}]*\} [1-9]/);

    const [first] = servers;
    first?.writeConfig({ listCacheTtlMs: 0 });
    first?.signal('SIGHUP');
    await first?.waitForLog(({ msg }) => msg === 'configuration reloaded');
    for (let round = 0; round < 3; round += 1) {
        const uuid = await publishImage(other, { name: `round-${round}` });
        t.ok((await client.get('/images')).uuids.includes(uuid), 'seen at once');
    }
});
