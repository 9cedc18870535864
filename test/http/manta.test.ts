// Image files and icons in Manta, over HTTP (backends 6, 8, 9; http-api 1.17, 3.8-3.12, 3.15, 3.21).
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { startDatacenter } from '../helpers/datacenter.js';
import { HttpClient } from '../helpers/http-client.js';
import { createImage, md5Base64, PNG, sha1Hex, USERS } from '../helpers/images.js';
import { mantaPlace, startManta } from '../helpers/manta-place.js';
import { expectError } from '../helpers/rows.js';
import { eventually, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';

const { luke, vader, sdc: admin } = USERS;
const BOTH = ['local', 'manta'] as const;
const manta = await startManta(t);
const { double } = manta;
const dc = await startDatacenter(t, {
    images: [],
    config: { adminUuid: admin, storageTypes: BOTH, manta: manta.config },
});
const { client } = dc;
const AREA = `${manta.root}/imgapi/testdc/images`;

/** Paths of what belongs to an image in Manta, below its directory. */
function inManta(uuid: string): readonly string[] {
    const directory = `${AREA}/${uuid.slice(0, 3)}/${uuid}/`;
    return double
        .objects(AREA)
        .filter((path) => path.startsWith(directory))
        .map((path) => path.slice(directory.length));
}

/** Uploads a file with its length known, and tells in which storage it is. */
async function upload(on: HttpClient, uuid: string, bytes: Buffer, query = ''): Promise<unknown> {
    const answer = await on.put(`/images/${uuid}/file?compression=none${query}`, bytes);
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return storageOf(on, uuid);
}

async function storageOf(on: HttpClient, uuid: string): Promise<unknown> {
    const { document } = await on.get(`/images/${uuid}?inclAdminFields=true`);
    return (document['files'] as readonly { readonly stor?: unknown }[])[0]?.stor;
}

async function activate(uuid: string): Promise<void> {
    const { status, text } = await client.post(`/images/${uuid}?action=activate`);
    if (status !== 200) throw new Error(text);
}

/** Nothing is in Manta for an image, and nothing is to be done for any. */
async function requireNothing(t: Test, uuid: string): Promise<void> {
    t.strictSame(inManta(uuid), []);
    await eventually('the directory to go', 5000, () => {
        return double.entry(`${AREA}/${uuid.slice(0, 3)}/${uuid}`) === undefined;
    });
}

await t.test('a file, from its upload to its end', async (t) => {
    const uuid = await createImage(client, { owner: luke });
    const [first, second] = [randomBytes(3_000_000), randomBytes(2_500_001)];
    t.equal(await upload(client, uuid, first), 'manta');
    t.strictSame(inManta(uuid), ['file0']);
    t.match(double.requests({ kind: 'put' }).at(-1)?.headers, { 'content-length': '3000000' });
    const path = `/images/${uuid}/file`;
    const chunked = await client.put(
        `${path}?compression=none&sha1=${sha1Hex(second)}`,
        Readable.from([second.subarray(0, 1_000_000), second.subarray(1_000_000)]),
    );
    t.match(chunked.document['files'], [{ size: second.length, sha1: sha1Hex(second) }], 'replaced');
    t.equal(double.requests({ kind: 'put' }).at(-1)?.headers['content-length'], undefined);
    t.strictSame(inManta(uuid), ['file0']);
    await activate(uuid);

    const whole = await client.get(path);
    t.ok(whole.body.equals(second));
    t.equal(whole.header('content-md5'), md5Base64(second));
    const part = await client.get(path, { headers: { range: 'bytes=1000-2499999' } });
    t.equal(part.status, 206);
    t.equal(part.header('content-range'), 'bytes 1000-2499999/2500001');
    t.ok(part.body.equals(second.subarray(1000, 2_500_000)));
    t.equal(double.requests({ kind: 'get' }).at(-1)?.headers.range, 'bytes=1000-2499999');
    const last = await client.get(path, { headers: { range: 'bytes=-7' } });
    t.ok(last.body.equals(second.subarray(-7)));
    t.equal((await client.get(path, { headers: { range: 'bytes=2500001-' } })).status, 416);
    const head = await client.request('HEAD', path);
    t.strictSame([head.status, head.header('content-length')], [200, '2500001']);
    const etag = whole.header('etag') ?? '';
    t.equal((await client.get(path, { headers: { 'if-none-match': etag } })).status, 304);

    t.equal((await client.delete(`/images/${uuid}`)).status, 204);
    await requireNothing(t, uuid);
});

await t.test('a wrong upload leaves what was there', async (t) => {
    const uuid = await createImage(client, { owner: luke });
    const first = randomBytes(100_000);
    await upload(client, uuid, first);
    const wrong = await client.put(
        `/images/${uuid}/file?compression=none&sha1=${sha1Hex(first)}`,
        randomBytes(100_000),
    );
    t.equal(wrong.status, 400);
    t.strictSame(inManta(uuid), ['file0']);
    t.ok((await client.get(`/images/${uuid}/file`)).body.equals(first));
    const end = double.inject({ wrongMd5: true }, { kind: 'put' });
    const changed = await client.put(`/images/${uuid}/file?compression=none`, randomBytes(100_000));
    t.equal(changed.status, 500);
    t.match(changed.error.message, /^error receiving image file: stored Content-MD5 is "/);
    end();
    t.strictSame(inManta(uuid), ['file0']);
    t.ok((await client.get(`/images/${uuid}/file`)).body.equals(first));
    await client.delete(`/images/${uuid}`);
});

await t.test('icons, each file with a storage of its own', async (t) => {
    const uuid = await createImage(client, { owner: luke });
    const path = `/images/${uuid}/icon`;
    const options = { headers: { 'content-type': 'image/png' } };
    t.equal(await upload(client, uuid, randomBytes(1000), '&storage=local'), 'local');
    t.equal((await client.put(path, PNG, options)).status, 200);
    t.strictSame(inManta(uuid), ['icon']);
    const icon = await client.get(path);
    t.strictSame([icon.status, icon.header('content-type')], [200, 'image/png']);
    t.ok(icon.body.equals(PNG));
    t.equal((await client.put(`${path}?storage=local`, PNG, options)).status, 200);
    await eventually('the icon to be local only', 5000, () => inManta(uuid).length === 0);
    t.ok((await client.get(path)).body.equals(PNG));
    t.equal((await client.put(path, PNG, options)).status, 200);
    t.equal((await client.delete(path)).status, 200);
    await requireNothing(t, uuid);
    t.equal((await client.get(path)).status, 404);
    t.equal((await client.get(`/images/${uuid}/file`)).body.length, 1000);
    await client.delete(`/images/${uuid}`);
});

await t.test('clones, by a link and by their bytes', async (t) => {
    const bytes = randomBytes(1_000_000);
    for (const links of [true, false]) {
        double.snaplinks = links;
        const uuid = await createImage(client, { owner: vader, acl: [luke] });
        await upload(client, uuid, bytes);
        await activate(uuid);
        double.clearRequests();
        const clone = await client.post(`/images/${uuid}/clone?account=${luke}`);
        t.equal(clone.status, 200);
        const copy = String(clone.document['uuid']);
        const copied = double.requests({ kind: 'put' }).filter(({ path }) => path.startsWith(AREA));
        t.equal(copied.length, links ? 0 : 1);
        if (!links)
            t.match(copied[0]?.headers, { 'content-md5': md5Base64(bytes), 'content-length': '1000000' });
        t.equal(await storageOf(client, copy), 'manta');
        t.equal((await client.delete(`/images/${uuid}`)).status, 204);
        t.ok((await client.get(`/images/${copy}/file`)).body.equals(bytes));
        await requireNothing(t, uuid);
        await client.delete(`/images/${copy}`);
        await requireNothing(t, copy);
    }
    double.snaplinks = true;
});

await t.test('an image gets another uuid', async (t) => {
    const uuid = await createImage(client, { owner: luke });
    const bytes = randomBytes(100_000);
    await upload(client, uuid, bytes);
    const icon = await client.put(`/images/${uuid}/icon`, PNG, { headers: { 'content-type': 'image/png' } });
    t.equal(icon.status, 200);
    const other = newUuid();
    t.equal((await client.post(`/images/${uuid}?action=update`, { uuid: other })).status, 200);
    t.strictSame(inManta(other), ['file0', 'icon']);
    t.ok((await client.get(`/images/${other}/file`)).body.equals(bytes));
    t.ok((await client.get(`/images/${other}/icon`)).body.equals(PNG));
    t.equal((await client.get(`/images/${uuid}/file`)).status, 404);
    await requireNothing(t, uuid);
    await client.delete(`/images/${other}`);
});

/** Which storage a server picks, by owner and parameter. */
async function requireChoice(
    t: Test,
    on: HttpClient,
    rows: readonly (readonly [owner: string, storage: string, expected: string])[],
): Promise<void> {
    for (const [owner, storage, expected] of rows) {
        const uuid = await createImage(on, { owner });
        const query = storage === '' ? '' : `&storage=${storage}`;
        const who = owner === admin ? 'admin' : 'user';
        t.equal(await upload(on, uuid, randomBytes(100), query), expected, `${who} ${storage}`);
        t.equal((await on.get(`/images/${uuid}/file`)).body.length, 100);
        await on.delete(`/images/${uuid}`);
    }
}

await t.test('which storage is chosen (backends 9)', async (t) => {
    await requireChoice(t, client, [
        [luke, '', 'manta'],
        [admin, '', 'manta'],
        [admin, 'manta', 'manta'],
        [luke, 'local', 'local'],
    ]);
    const remote = { ...manta.config, remote: true };
    const distant = await startDatacenter(t, {
        images: [],
        config: { adminUuid: admin, storageTypes: BOTH, manta: remote },
    });
    await requireChoice(t, distant.client, [
        [luke, '', 'manta'],
        [admin, '', 'local'],
        [admin, 'manta', 'manta'],
        [admin, 'local', 'local'],
    ]);
    const only = await startDatacenter(t, {
        images: [],
        config: { adminUuid: admin, storageTypes: ['manta'], manta: remote },
    });
    await requireChoice(t, only.client, [
        [luke, '', 'manta'],
        [admin, '', 'local'],
        [luke, 'local', 'local'],
    ]);
    const none = await startDatacenter(t, { images: [], config: { manta: manta.config } });
    await requireChoice(t, none.client, [
        [luke, '', 'local'],
        [luke, 'manta', 'local'],
    ]);
});

await t.test('a storage that a record names and no longer is configured', async (t) => {
    const baseDir = temporaryDirectory();
    t.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    const config = { authType: 'none', manta: manta.config };
    const first = await ServerProcess.start({ baseDir, config: { ...config, storageTypes: BOTH } });
    const uuid = await createImage(new HttpClient(first.port));
    const path = `/images/${uuid}/file?compression=none`;
    t.equal((await new HttpClient(first.port).put(path, randomBytes(100))).status, 200);
    t.equal((await first.stop()).code, 0);
    const second = await ServerProcess.start({ baseDir, config: { ...config, storageTypes: ['local'] } });
    const on = new HttpClient(second.port);
    t.equal((await on.get(`/images/${uuid}`)).status, 200);
    expectError(
        t,
        await on.get(`/images/${uuid}/file`),
        { status: 503, code: 'StorageUnsupported', message: 'storage type is unsupported' },
        'its file',
    );
    t.equal((await second.stop()).code, 0);
});

await t.test('a server that is killed with an upload in Manta, and the next one', async (t) => {
    const baseDir = temporaryDirectory();
    t.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    const config = { authType: 'none', storageTypes: BOTH, manta: { ...manta.config, baseDir: 'other' } };
    const first = await ServerProcess.start({ baseDir, config });
    const on = new HttpClient(first.port);
    const uuid = await createImage(on);
    const hold = double.hold({ kind: 'link' });
    const uploading = on.put(`/images/${uuid}/file?compression=none`, randomBytes(300_000));
    await hold.arrived();
    await Promise.all([first.kill(), t.rejects(uploading)]);
    hold.drop();
    double.clearFaults();
    const area = `${manta.root}/other/images`;
    t.equal(double.objects(area).length, 1, 'the temporary object');
    const second = await ServerProcess.start({ baseDir, config });
    await eventually('the temporary object to go', 10_000, () => double.objects(area).length === 0);
    const later = new HttpClient(second.port);
    t.equal((await later.put(`/images/${uuid}/file?compression=none`, randomBytes(100))).status, 200);
    t.equal((await second.stop()).code, 0);
});

await t.test('a key that cannot be used', async (t) => {
    const { directory, configFor, key } = mantaPlace(t, { kind: 'ecdsa' });
    const usable = configFor(manta.double.url);
    const nonsense = join(directory, 'nonsense');
    writeFileSync(nonsense, 'no key');
    for (const [changes, message] of [
        [{ key: '/nowhere/key' }, 'config.manta.key cannot be read: /nowhere/key (ENOENT)'],
        [{ key: nonsense }, `config.manta.key is no private key: ${nonsense}`],
        [
            { keyId: manta.key.fingerprint },
            `config.manta.keyId, ${manta.key.fingerprint}, is not the fingerprint of ${key.file}, ${key.fingerprint}`,
        ],
    ] as const) {
        const server = await ServerProcess.launch({
            config: { authType: 'none', storageTypes: BOTH, manta: { ...usable, ...changes } },
        });
        const exit = await server.exited;
        t.equal(exit.code, 2);
        t.ok(
            server.log.some(
                ({ level, msg, err }) =>
                    level >= 50 &&
                    `${msg} ${(err as { message?: string } | undefined)?.message ?? ''}`.includes(message),
            ) || exit.stderr.includes(message),
            message,
        );
        rmSync(server.baseDir, { recursive: true, force: true });
    }
});
