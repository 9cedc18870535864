// CloneImage: what can be cloned and what a clone is like (jobs-and-imports 4, 8.1, 8.6; http-api 3.21; backends W9, 17 row 18).
import { existsSync, statSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import type { Database } from '#lib/database/database.js';
import { deleteImage } from '#lib/images/delete-image.js';
import {
    ADMIN,
    all,
    clone,
    dcBench,
    failNth,
    intents,
    inventory,
    NOW,
    plant,
    plantChain,
    plantShared,
    requireWhole,
    THIRD,
} from '../helpers/clone-bench.js';
import {
    type Bench,
    CHANNELS,
    md5,
    onEveryBackend,
    refusal,
    type Refusal,
    refused,
    sha1,
    sha256,
} from '../helpers/image-bench.js';
import { EIO, replacing } from '../helpers/image-faults.js';
import { imageDirectory, NOBODY, UNKNOWN, USERS } from '../helpers/images.js';
import { fileEntry, FIRST, PUBLISHED } from '../helpers/planted-images.js';

const { vader, luke } = USERS;

interface Row {
    readonly name: string;
    /** Puts images in place and gives the one to clone. */
    readonly plant: (bench: Bench) => Promise<string>;
    readonly account?: string;
    readonly expected: (uuid: string, ancestor: string) => Refusal;
}

const notCloneable = (field: string, message: string) =>
    refused(422, 'ValidationFailed', message, [field, 'Invalid']);
const notShared = (uuid: string, account: string = luke) =>
    refused(422, 'ImageNotShared', `Image ${uuid} is not shared with account ${account}`);
const files = () => refused(400, 'NotImplemented', 'cannot clone images with multiple files');
const tooLong = () => refused(500, 'InternalError', 'Origin chain too long, exceeds 100 images');
const notOwner = (_: string, ancestor: string) =>
    refused(422, 'NotImageOwner', `account ${luke} is not the owner of image ${ancestor}`);
const two = { type: 'lxd', os: 'linux', files: [fileEntry(), fileEntry()] };

/** A shared increment of an image with `more`. */
function onAncestor(more: Readonly<Record<string, unknown>>): Row['plant'] {
    return async (bench) => plantShared(bench, { origin: await plant(bench, more) });
}

const REFUSALS: readonly Row[] = [
    {
        name: 'hidden',
        plant: (b) => plant(b),
        expected: () => refused(404, 'ResourceNotFound', 'image not found'),
    },
    {
        name: 'disabled',
        plant: (b) => plantShared(b, { disabled: true, state: 'disabled' }),
        expected: () => notCloneable('active', 'image is not active'),
    },
    {
        name: 'disabled and not shared: the state comes first',
        plant: (b) => plant(b, { public: true, disabled: true, state: 'disabled' }),
        expected: () => notCloneable('active', 'image is not active'),
    },
    { name: 'merely public', plant: (b) => plant(b, { public: true }), expected: (u) => notShared(u) },
    { name: 'own', plant: (b) => plant(b), account: vader, expected: (u) => notShared(u, vader) },
    {
        name: 'docker, before its origins',
        plant: (b) => plantShared(b, { type: 'docker', os: 'linux', origin: UNKNOWN }),
        expected: () => notCloneable('type', 'docker images cannot be cloned'),
    },
    { name: 'several files', plant: (b) => plantShared(b, two), expected: files },
    {
        name: 'several files, before its origins',
        plant: (b) => plantShared(b, { ...two, origin: UNKNOWN }),
        expected: files,
    },
    {
        name: 'a missing origin',
        plant: (b) => plantShared(b, { origin: UNKNOWN }),
        expected: () => refused(404, 'ResourceNotFound', `image ${UNKNOWN} not found`),
    },
    {
        name: 'a missing origin behind an ancestor of a third account',
        plant: onAncestor({ owner: THIRD, origin: UNKNOWN }),
        expected: () => refused(404, 'ResourceNotFound', `image ${UNKNOWN} not found`),
    },
    { name: "a third account's ancestor", plant: onAncestor({ owner: THIRD }), expected: notOwner },
    {
        name: "a third account's ancestor, before its files",
        plant: onAncestor({ ...two, owner: THIRD }),
        expected: notOwner,
    },
    { name: 'an ancestor with several files', plant: onAncestor(two), expected: files },
    {
        name: 'an ancestor without a file',
        plant: onAncestor({ activated: false, state: 'unactivated', files: [] }),
        expected: files,
    },
    {
        name: 'an ancestor in a storage that is not set up',
        plant: onAncestor({ files: [{ ...fileEntry(), stor: 'manta' }] }),
        expected: () => refused(503, 'StorageUnsupported', 'storage type is unsupported'),
    },
    {
        name: 'an ancestor whose file is gone',
        plant: async (b) => {
            const origin = await plant(b);
            await b.local.remove(origin, 'file0');
            return plantShared(b, { origin });
        },
        expected: (_, a) => refused(500, 'InternalError', `image "${a}" file is missing from storage`),
    },
    {
        name: 'an ancestor whose file has another size',
        plant: onAncestor({ files: [fileEntry(Buffer.from('more than there is'))] }),
        expected: (_, a) => refused(500, 'InternalError', `image "${a}" file is corrupt in storage`),
    },
    {
        name: 'origins in a circle',
        plant: async (b) => {
            const [first, second] = [newUuid(), newUuid()];
            await plant(b, { uuid: first, origin: second });
            return plantShared(b, { uuid: second, origin: first });
        },
        expected: tooLong,
    },
    { name: '101 images', plant: async (b) => (await plantChain(b, 101)).at(-1) ?? '', expected: tooLong },
];

onEveryBackend(t, 'what cannot be cloned, before anything is made', async (t, backend) => {
    const bench = await dcBench(t, { backend });
    for (const row of REFUSALS) {
        const uuid = await row.plant(bench);
        const { origin = '' } = await bench.raw(uuid);
        const before = await inventory(bench);
        const account = row.account ?? luke;
        t.same(await refusal(clone(bench, uuid, { account })), row.expected(uuid, origin), row.name);
        t.same(await inventory(bench), before, `${row.name}: nothing was made`);
    }
});

void t.test('the account', async (t) => {
    const bench = await dcBench(t);
    const expected = refused(422, 'InvalidParameter', 'invalid "account": not a UUID: "undefined"', [
        'account',
        'Invalid',
    ]);
    t.same(await refusal(clone(bench, await plantShared(bench), {})), expected);
    const disabled = await plant(bench, { disabled: true, state: 'disabled' });
    t.same(await refusal(clone(bench, disabled, {})), expected, 'it comes before the state');
});

void t.test('a chain may have 100 images beside the base', async (t) => {
    const bench = await dcBench(t);
    const base = await plant(bench, { owner: ADMIN });
    const chain = await plantChain(bench, 100, base);
    await clone(bench, chain.at(-1) ?? '');
    t.equal((await all(bench)).length, 201);
    await requireWhole(t, bench, 'all are there');
});

const RICH = {
    v: 2,
    name: 'rich',
    version: '3.2.1',
    type: 'zvol',
    os: 'linux',
    description: 'all there is',
    homepage: 'https://example.com/h',
    eula: 'https://example.com/e',
    tags: ['role=db', 'n=5'],
    tagsObj: { role: 'db', n: 5 },
    requirements: { networks: [{ name: 'net0', description: 'public' }] },
    billing_tags: ['gold'],
    traits: { ssd: true },
    users: [{ name: 'root' }],
    generate_passwords: false,
    nic_driver: 'virtio',
    disk_driver: 'virtio',
    cpu_type: 'host',
    image_size: 10240,
    channels: ['dev', 'release'],
};
const RICH_FILE = {
    ...fileEntry(),
    mtime: '2015-01-01T00:00:00.000Z',
    dataset_guid: '12345',
    digest: 'sha256:aa',
    uncompressedDigest: 'sha256:bb',
    sha256: sha256(FIRST),
};

onEveryBackend(t, 'the fields of a clone', async (t, backend) => {
    const bench = await dcBench(t, { backend, config: { channels: CHANNELS } });
    const uuid = await plantShared(bench, {
        ...RICH,
        public: true,
        urn: 'sdc:vader:rich:3.2.1',
        icon: {
            sha1: sha1(FIRST),
            size: 1,
            contentMD5: md5(FIRST),
            contentType: 'image/png',
            stor: 'local',
        },
        error: { message: 'once' },
        expires_at: '2020-01-01T00:00:00.000Z',
        x_imgapi: { provenance: { kind: 'import', source_image: UNKNOWN, at: PUBLISHED } },
        files: [RICH_FILE],
    });
    const source = await bench.raw(uuid);
    const made = await clone(bench, uuid, { account: luke, channel: 'dev' });
    t.not(made.uuid, uuid);
    t.same(made, {
        ...RICH,
        uuid: made.uuid,
        owner: luke,
        acl: [],
        public: false,
        disabled: false,
        activated: true,
        state: 'active',
        published_at: NOW,
        files: [RICH_FILE],
        x_imgapi: {
            provenance: { kind: 'clone', source_image: uuid, source_owner: vader, at: NOW },
        },
    });
    t.same(await bench.raw(made.uuid), made, 'it is what is stored');
    t.same(await bench.raw(uuid), source, 'the source is as it was');
    t.same(await bench.bytes(made.uuid, 'file0'), FIRST);
    t.equal(await bench.bytes(made.uuid, 'icon'), undefined);
    t.equal(await bench.archive.count(), 1);
    t.same([intents(bench), await bench.pendingDeletes()], [[], 0], 'nothing is left to be done');
});

void t.test('fields of the other types, and of old records', async (t) => {
    const bench = await dcBench(t);
    const inherited = await plantShared(bench, { inherited_directories: ['/opt'] });
    t.same((await clone(bench, inherited)).inherited_directories, ['/opt']);
    const old = await plantShared(bench, { public: 'true', disabled: 'false', activated: 'true', v: '2' });
    const { v, disabled, activated, public: isPublic } = await clone(bench, old);
    t.same([v, disabled, activated, isPublic], [2, false, true, false]);
    const unnamed = { ...fileEntry() };
    delete unnamed['stor'];
    const veryOld = await plantShared(bench, { files: [unnamed] });
    const made = await clone(bench, veryOld);
    t.same(made.files, [unnamed], 'a file without a storage is local');
    t.same(await bench.bytes(made.uuid, 'file0'), FIRST);
});

onEveryBackend(t, 'a chain: the base stays, the ancestors are disabled', async (t, backend) => {
    const bench = await dcBench(t, { backend });
    for (const owner of [ADMIN, NOBODY]) {
        const before = (await all(bench)).length;
        const behind = await plant(bench, { owner: THIRD });
        const base = await plant(bench, { owner, origin: behind });
        const oldest = await plant(bench, { origin: base, disabled: true, state: 'disabled' });
        const middle = await plant(bench, { origin: oldest, activated: false, state: 'unactivated' });
        const uuid = await plantShared(bench, { origin: middle });
        const made = await clone(bench, uuid);
        const parent = await bench.raw(made.origin ?? '');
        const grandparent = await bench.raw(parent.origin ?? '');
        t.same(
            [grandparent, parent, made].map((raw) => [
                raw.origin,
                raw.state,
                raw.disabled,
                raw.activated,
                raw.owner,
                raw.x_imgapi?.['provenance'],
            ]),
            [
                [base, 'disabled', true, true, luke, provenance(oldest)],
                [grandparent.uuid, 'disabled', true, true, luke, provenance(middle)],
                [parent.uuid, 'active', false, true, luke, provenance(uuid)],
            ],
        );
        t.equal((await all(bench)).length, before + 8);
        const again = await clone(bench, uuid);
        t.equal((await all(bench)).length, before + 11, 'a second set');
        t.not(again.origin, made.origin);
        t.same(await refusal(clone(bench, made.uuid)), notShared(made.uuid), 'not by its owner');
        await requireWhole(t, bench, 'all are there');
    }
});

function provenance(source: string): object {
    return { kind: 'clone', source_image: source, source_owner: vader, at: NOW };
}

void t.test('whose ancestors may be copied', async (t) => {
    const bench = await dcBench(t);
    const allowed = { 'the caller': { owner: luke }, public: { owner: THIRD, public: true } };
    const shared = { owner: THIRD, acl: [luke] };
    for (const [name, more] of Object.entries({ ...allowed, shared, 'the same owner': {} })) {
        const origin = await plant(bench, more);
        const made = await clone(bench, await plantShared(bench, { origin }));
        const parent = await bench.raw(made.origin ?? '');
        t.equal(parent.owner, luke, name);
        t.match(parent.x_imgapi, { provenance: { source_image: origin } });
    }
    const ofAdmin = await plantShared(bench, { owner: ADMIN });
    t.equal((await clone(bench, ofAdmin)).owner, luke, 'the image itself is cloned whosever it is');
});

void t.test('few calls of the database', async (t) => {
    const calls: string[] = [];
    const noted = (name: keyof Database, real: Database) =>
        ((...parameters: unknown[]) => {
            calls.push(name);
            return (real[name] as (...all: unknown[]) => unknown).apply(real, parameters);
        }) as never;
    const wrapDatabase = (real: Database) =>
        replacing(real, {
            get: noted('get', real),
            search: noted('search', real),
            create: noted('create', real),
            update: noted('update', real),
            del: noted('del', real),
        });
    const bench = await dcBench(t, { wrapDatabase });
    const [, , uuid = ''] = await plantChain(bench, 3, await plant(bench, { owner: ADMIN }));
    const seen = await bench.database.get(uuid);
    await clone(bench, uuid, { account: luke, seen });
    const perClone = ['create', 'get', 'update'];
    t.same(calls, ['get', 'get', 'get', ...perClone, ...perClone, ...perClone]);
});

onEveryBackend(t, 'unshare', async (t, backend) => {
    const bench = await dcBench(t, { backend });
    const [origin = '', uuid = ''] = await plantChain(bench, 2);
    await clone(bench, uuid);
    t.same((await bench.raw(uuid)).acl, [THIRD, luke], 'not unless asked for');
    const made = await clone(bench, uuid, { account: luke }, true);
    t.same((await bench.raw(uuid)).acl, [THIRD], 'only the account goes');
    t.equal((await bench.raw(uuid)).owner, vader);
    t.same((await bench.raw(origin)).acl, []);
    t.equal(made.state, 'active');
    t.same(await refusal(clone(bench, uuid)), refused(404, 'ResourceNotFound', 'image not found'));
});

void t.test('unshare that fails is logged', async (t) => {
    const bench = await dcBench(t);
    const uuid = await plantShared(bench);
    failNth(bench.memory().database, 'update', 2, EIO);
    const made = await clone(bench, uuid, { account: luke }, true);
    t.ok(await bench.exists(made.uuid), 'the clone is there');
    t.same((await bench.raw(uuid)).acl, [THIRD, luke]);
    t.match(bench.records.at(-1), { msg: 'cloned image is still shared', uuid, account: luke, level: 40 });
});

void t.test('local files: no time and no space', async (t) => {
    const GIB = 2 ** 30;
    const bench = await dcBench(t, { backend: 'local' });
    const uuid = await plant(bench, { acl: [luke], files: [{ ...fileEntry(), size: GIB }] });
    const path = (one: string) => join(imageDirectory(bench.base, one), 'file0');
    truncateSync(path(uuid), GIB);
    const free = () => statSync(path(uuid)).nlink;
    t.equal(free(), 1);
    const begun = performance.now();
    const made = await clone(bench, uuid);
    const took = performance.now() - begun;
    const [before, after] = [statSync(path(uuid)), statSync(path(made.uuid))];
    t.equal(after.size, GIB);
    const isLink = before.ino === after.ino && before.nlink === 2;
    t.ok(isLink || after.blocks <= before.blocks, 'a link, or blocks that are shared');
    t.ok(took < 1000, `it took ${Math.round(took)} ms`);
    const last = await clone(bench, uuid);
    await deleteImage(bench.services, bench.context(), uuid, false);
    t.notOk(existsSync(dirname(path(uuid))));
    t.equal(statSync(path(made.uuid)).size, GIB, 'deleting the source leaves the clones');
    await deleteImage(bench.services, bench.context({ account: luke }), made.uuid, false);
    t.equal(statSync(path(last.uuid)).size, GIB, 'deleting a clone leaves the other');
});
