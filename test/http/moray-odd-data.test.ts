// Rows that existing servers or people put into the bucket (backends 4.3, 5; manifest 7-9), and values
// that its columns change or cannot hold.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { startDatacenter } from '../helpers/datacenter.js';
import {
    documentOf,
    expectDocument,
    expectFiles,
    mended,
    VERSION_2,
    withStorages,
} from '../helpers/golden-documents.js';
import { BYTES, OWNER, shown, type Golden, type Place } from '../helpers/golden-forms.js';
import { GOLDEN, plantGolden } from '../helpers/golden-records.js';
import type { Document } from '../helpers/http-client.js';
import { createImage, manifest, rawRecord, USERS } from '../helpers/images.js';
import { expectError, notFound, validationFailed } from '../helpers/rows.js';
import { eventually, LIMIT_MS } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);
const BUCKET = 'imgapi_images';
const BUCKET_LIMIT_MS = 10_000;
const PLACE: Place = { mode: 'private', channels: false };

const moray = await MorayDouble.start();
t.teardown(() => moray.stop());
const { client, baseDir, ufds } = await startDatacenter(t, {
    images: [],
    moray: {
        host: '127.0.0.1',
        port: moray.port,
        put: () => Promise.resolve(),
        read: () => Promise.resolve(undefined),
    },
});
ufds.users.set(OWNER, { uuid: OWNER, login: 'admin' });
await eventually('the bucket', BUCKET_LIMIT_MS, async () => (await client.get('/images')).status === 200);

const uuidOf = (n: number): string => `0dd0dd00-0000-4000-8000-${String(n).padStart(12, '0')}`;
const byUuid = (a: Document, b: Document): number => (String(a['uuid']) < String(b['uuid']) ? -1 : 1);

/**
 * As a server with files answers, but for records without `compression`, of which a bucket has none
 * that was written by a server: it is taken for bzip2, the file is not looked at.
 */
function expectedOf(golden: Golden): Document {
    const document = documentOf(golden, PLACE);
    const recorded = golden.record(PLACE)['files'];
    const isOld = Array.isArray(recorded) && (recorded as Document[])[0]?.['compression'] === undefined;
    if (!isOld || recorded.length === 0) return document;
    const files = (document['files'] as readonly Document[]).map((file) => ({
        ...file,
        compression: 'bzip2',
    }));
    return { ...document, files };
}

/** What is in the bucket under a uuid, as a client of Moray reads it. */
async function stored(uuid: string): Promise<Document | undefined> {
    const rows = await moray.rows(BUCKET);
    return rows.find(({ key }) => key === uuid)?.value;
}

async function plant(record: Readonly<Record<string, unknown>>, key = String(record['uuid'])): Promise<void> {
    await moray.putRaw(BUCKET, key, record);
}

/** The uuids of all images that are listed. */
async function listed(query = ''): Promise<readonly string[]> {
    return [...(await client.get(`/images?state=all${query}`)).uuids].sort();
}

await t.test('what existing servers wrote is read as from files, and written again', async (t) => {
    plantGolden(baseDir, PLACE);
    rmSync(join(baseDir, 'manifests'), { recursive: true });
    for (const { record } of GOLDEN) await plant(record(PLACE));
    const before = JSON.stringify(await moray.rows(BUCKET));
    for (const golden of GOLDEN) {
        const document = expectedOf(golden);
        const path = `/images/${golden.uuid}`;
        expectDocument(t, await client.get(path, VERSION_2), document, golden.name);
        const admin = await client.get(`${path}?inclAdminFields=true`, VERSION_2);
        expectDocument(t, admin, withStorages(document), `${golden.name} for operators`);
        await expectFiles(t, client, golden);
    }
    const list = await client.get('/images?state=all', VERSION_2);
    const documents = GOLDEN.map(expectedOf).sort(byUuid);
    t.equal(JSON.stringify([...list.list].sort(byUuid)), JSON.stringify(documents), 'all of them are listed');
    t.equal(JSON.stringify(await moray.rows(BUCKET)), before, 'reading writes nothing');

    for (const golden of GOLDEN) {
        const path = `/images/${golden.uuid}`;
        const kept = await stored(golden.uuid);
        const changes = { description: 'rewritten', ...mended(golden) };
        const answer = await client.post(`${path}?action=update`, changes);
        t.equal(answer.status, 200, `${golden.name}: ${answer.text}`);
        const now = await stored(golden.uuid);
        for (const key of golden.keeps ?? []) t.strictSame(now?.[key], kept?.[key], `${golden.name}: ${key}`);
        const after = { ...expectedOf(golden), ...changes };
        t.strictSame(
            { ...(await client.get(path, VERSION_2)).document, ...mended(golden) },
            after,
            golden.name,
        );
        t.equal((await client.post(`${path}/acl`, [USERS.emperor])).status, 200, `${golden.name}: its ACL`);
    }
    for (const { uuid } of GOLDEN) await client.delete(`/images/${uuid}`);
    for (const { uuid } of GOLDEN) await client.delete(`/images/${uuid}`);
    t.same(await listed(), []);
});

await t.test('rows that are no images are left out', async (t) => {
    const fine = rawRecord({ uuid: uuidOf(1), name: 'fine', owner: USERS.vader });
    const row = (n: number, changes: Readonly<Record<string, unknown>>) => ({
        ...fine,
        uuid: uuidOf(n),
        ...changes,
    });
    const unusable: readonly (readonly [name: string, row: Readonly<Record<string, unknown>>])[] = [
        ['no name', row(2, { name: undefined })],
        ['a null for a name', row(3, { name: null })],
        ['a malformed owner', row(4, { owner: 'vader' })],
        ['no owner', row(5, { owner: null })],
        ['files that are a text', row(6, { files: 'file0' })],
        ['an unknown type', row(7, { type: 'floppy' })],
        ['tags without a value', row(8, { tags: ['role'], tagsObj: undefined })],
        ['a malformed ACL', row(9, { acl: ['luke'] })],
        ['no version', row(10, { version: null })],
        ['nothing', { uuid: uuidOf(11) }],
        ['an active one without a date', row(14, { activated: true, state: 'active', files: [] })],
        ['another format', row(12, { v: 'two' })],
    ];
    await plant(fine);
    for (const [, record] of unusable) await plant(record);
    await plant({ ...fine, uuid: uuidOf(99) }, uuidOf(13));
    for (const [name, { uuid }] of [...unusable, ['another key', { uuid: uuidOf(13) }] as const]) {
        const path = `/images/${String(uuid)}`;
        expectError(t, await client.get(path), notFound('not found'), `get: ${name}`);
        expectError(
            t,
            await client.post(`${path}?action=update`, { description: 'd' }),
            notFound('not found'),
            `update: ${name}`,
        );
        expectError(t, await client.delete(path), notFound('not found'), `delete: ${name}`);
    }
    t.same(await listed(), [uuidOf(1)]);
    t.same(await listed(`&account=${USERS.vader}`), [uuidOf(1)]);
    t.same(await listed(`&owner=${USERS.vader}&limit=1`), [uuidOf(1)], 'a page has what it can have');
    const rows = await moray.rows(BUCKET);
    t.equal(rows.length, unusable.length + 2, 'they stay as they are');
    t.equal((await client.delete(`/images/${uuidOf(1)}`)).status, 204);
});

await t.test('rows that are a little odd are images', async (t) => {
    const plain = rawRecord({
        uuid: uuidOf(20),
        name: 'odd',
        owner: USERS.vader,
        activated: true,
        published_at: '2014-01-01T00:00:00.000Z',
        file: BYTES.gzip,
    });
    const odd = {
        ...plain,
        v: '2',
        public: 'false',
        disabled: 'false',
        activated: 'true',
        acl: USERS.luke,
        urn: null,
        origin: null,
        billing_tags: null,
        expires_at: null,
        tags: ['a=b', 'n=5'],
        objectclass: 'sdcimage',
        dn: `uuid=${uuidOf(20)}, ou=images, o=smartdc`,
        controls: [],
    };
    await plant(odd);
    const path = `/images/${uuidOf(20)}`;
    const answer = await client.get(path);
    const expected = {
        v: 2,
        uuid: uuidOf(20),
        owner: USERS.vader,
        name: 'odd',
        version: '1.0.0',
        state: 'active',
        disabled: false,
        public: false,
        published_at: '2014-01-01T00:00:00.000Z',
        type: 'zone-dataset',
        os: 'smartos',
        files: [shown(BYTES.gzip, 'gzip')],
        acl: [USERS.luke],
        tags: { a: 'b', n: '5' },
    };
    expectDocument(t, answer, expected, 'odd');
    for (const query of [`account=${USERS.luke}`, 'tag.n=5', 'tag.a=', 'public=false', 'name=~od']) {
        t.same((await client.get(`/images?${query}`)).list, [expected], query);
    }
    t.same((await client.get(`/images?account=${USERS.emperor}`)).list, []);
    t.equal((await client.post(`${path}?action=update`, { description: 'd' })).status, 200);
    const { objectclass, dn, controls } = odd;
    t.match(await stored(uuidOf(20)), { objectclass, dn, controls, description: 'd', acl: [USERS.luke] });
    t.strictSame((await client.get(path)).document['acl'], [USERS.luke]);

    await plant(rawRecord({ uuid: uuidOf(21), name: 'unpublished', owner: USERS.vader }));
    t.same(await listed(), [uuidOf(20), uuidOf(21)]);
    for (const order of ['asc', 'desc']) {
        const { uuids } = await client.get(`/images?state=all&sort=published_at.${order}&limit=1`);
        t.same(uuids, [order === 'asc' ? uuidOf(21) : uuidOf(20)], 'one without a date is the oldest');
    }
    for (const n of [20, 21]) t.equal((await client.delete(`/images/${uuidOf(n)}`)).status, 204);
});

await t.test('values that columns cannot hold are refused, others come back as they were', async (t) => {
    const refusal = (field: string, entry: string) =>
        validationFailed(`invalid image data: ${field}`, [
            field,
            'Invalid',
            `invalid image "${field}" entry : ${entry}`,
        ]);
    const uuid = await createImage(client, { name: 'columns' });
    const before = await stored(uuid);
    for (const [field, value, entry] of [
        ['billing_tags', ['a', ''], ''],
        ['billing_tags', ['a', ' \t'], ' \t'],
        ['billing_tags', [' '], ' '],
        ['billing_tags', ['a\0b'], 'a\0b'],
        ['tags', { 'a\0': 'b' }, 'a\0=b'],
        ['tags', { a: '\0' }, 'a=\0'],
    ] as const) {
        const odd = { [field]: value };
        expectError(t, await client.post('/images', manifest(odd)), refusal(field, entry), 'create');
        const update = await client.post(`/images/${uuid}?action=update`, odd);
        expectError(t, update, refusal(field, entry), 'update');
    }
    t.strictSame(await stored(uuid), before);

    const tags = { ' a ': ' b ', 'c\t': 1, '': '', 'x=y': '=', '{}': '{"a"}', long: '\0'.repeat(101) };
    const changed = await client.post(`/images/${uuid}?action=update`, {
        tags,
        billing_tags: [' a b ', 'NULL'],
    });
    t.strictSame([changed.status, changed.document['tags']], [200, tags]);
    t.strictSame(changed.document['billing_tags'], ['a b', 'NULL'], 'as they will be read');
    t.equal((await client.get(`/images/${uuid}`)).text, changed.text);
    for (const [key, value] of Object.entries(tags).slice(0, 5)) {
        const query = `tag.${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`;
        t.same((await client.get(`/images?state=all&${query}`)).uuids, [uuid], query);
    }
    t.same((await client.get('/images?state=all&billing_tag=a%20b&billing_tag=NULL')).uuids, [uuid]);
});
