// What is special about mode dc (operations 6.2: image-basics.dc, images-as-a-user.dc; http-api 3.1,
// 3.23, 3.24, 5.3).
import t, { type Test } from 'tap';
import { DC_IMAGES, startDatacenter } from '../helpers/datacenter.js';
import type { HttpClient, RequestOptions } from '../helpers/http-client.js';
import {
    BASE_181,
    BASE_200,
    DARK_SIDE,
    FATHER,
    JOIN_US,
    md5Base64,
    NODEJS,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    manifest,
    publishImage,
    sha1Hex,
    type Fixture,
} from '../helpers/images.js';
import { startMorayPlace } from '../helpers/moray-place.js';
import { expectError, notFound, notOwner, validationFailed } from '../helpers/rows.js';

const { vader, luke, emperor, sdc } = USERS;

const COUNT = 1_200;
/** More images than a list may have, most of them published at the same moment. */
const crowd = Array.from({ length: COUNT }, (_, i): Fixture => ({
    uuid: `b1000000-0000-4000-8000-${String((i * 7919) % COUNT).padStart(12, '0')}`,
    name: 'one-of-many',
    owner: 'fe1e9a3c-0a9b-4d7f-8d0c-3f3f0b8b5a11',
    activated: true,
    published_at: i < 3 ? `2013-01-0${i + 1}T00:00:00Z` : '2013-02-01T00:00:00.000Z',
    file: gzipFile('one of many'),
}));
const inOrder = [...crowd]
    .sort((a, b) => {
        const [before, after] = [a, b].map(({ published_at: at, uuid }) => `${at ?? ''} ${uuid}`);
        return String(before) < String(after) ? -1 : 1;
    })
    .map(({ uuid }) => uuid);
const dc = await startDatacenter(t, { images: [...DC_IMAGES, ...crowd], moray: await startMorayPlace(t) });
const { client } = dc;

// ---- image-basics.dc

const BZIP2 = Buffer.from(
    'QlpoOTFBWSZTWZYtssUAAAGRgEAAKznCACAAIg0AaEDQNCIexNb2cQh8XckU4UJCWLbLFA==',
    'base64',
);
const JPEG = Buffer.from('ffd8ffe000104a46494600010100000100010000ffd9', 'hex');

await t.test('an image of luke, step by step', async (test) => {
    const account = `account=${luke}`;
    const facts = { owner: luke, name: 'My image_1.0 x', public: true, tags: { role: 'db' } };
    const uuid = await createImage(client, facts, `?${account}`);
    const path = `/images/${uuid}`;
    const act = (action: string, body: unknown = {}, options: RequestOptions = {}) =>
        client.post(`${path}?action=${action}&${account}`, body, options);

    const sha1 = sha1Hex(BZIP2);
    const upload = `${path}/file?${account}&compression=bzip2&sha1=${sha1}&dataset_guid=18297012367612`;
    const filled = await client.put(upload, BZIP2);
    test.strictSame(filled.document['files'], [
        { sha1, size: BZIP2.length, compression: 'bzip2', dataset_guid: '18297012367612' },
    ]);
    test.equal((await act('activate')).document['state'], 'active');
    test.match((await act('disable')).document, { state: 'disabled', disabled: true });
    test.strictSame((await client.get(`${path}?${account}`)).document['tags'], { role: 'db' });
    test.match((await act('enable')).document, { state: 'active', disabled: false });
    const tags = { s: 'a string', n: 5, yes: true, no: false };
    const updated = await act('update', { version: '2.0.0', description: 'new', tags });
    test.match(updated.document, { version: '2.0.0', description: 'new' });
    test.strictSame(updated.document['tags'], tags, 'replaced as a whole, types kept');
    const etag = updated.header('etag') ?? '';
    expectError(
        test,
        await act('update', { version: '3.0.0' }, { headers: { 'if-match': 'abcdef' } }),
        {
            status: 412,
            code: 'PreconditionFailed',
            message: `if-match 'abcdef' didn't match etag '${etag}'`,
        },
        'the wrong tag',
    );
    const third = await act('update', { version: '3.0.0' }, { headers: { 'if-match': etag } });
    test.equal(third.document['version'], '3.0.0', 'the tag of the last answer');
    const acl = `${path}/acl?${account}`;
    test.strictSame((await client.post(acl, [vader])).document['acl'], [vader]);
    const removed = await client.post(`${acl}&action=remove`, [vader]);
    test.notOk('acl' in removed.document, 'an empty list is not shown');
    await iconsOfAnImage(test, uuid);

    const failed = await client.post(`${path}?action=update`, { state: 'failed', error: { code: 'x' } });
    test.match(failed.document, { state: 'failed', error: { code: 'x' } });
    test.equal((await act('export&manta_path=/luke')).status, 503, 'nothing is exported without Manta');
    const gone = await client.delete(`${path}?${account}`);
    test.strictSame([gone.status, gone.body.length], [204, 0]);
    expectError(test, await client.get(path), notFound(`image ${uuid} not found`), 'it is gone');
    test.equal(await dc.record(uuid), undefined);
});

async function iconsOfAnImage(test: Test, uuid: string): Promise<void> {
    const path = `/images/${uuid}`;
    const headers = { 'content-type': 'image/jpeg' };
    const icon = await client.put(`${path}/icon?account=${luke}&sha1=${sha1Hex(JPEG)}`, JPEG, { headers });
    test.equal(icon.document['icon'], true);
    const asVader = await client.get(`${path}?account=${vader}`);
    test.ok(asVader.body.equals(icon.body), 'what was answered to the last change, byte for byte');
    test.equal(asVader.header('etag'), icon.header('etag'));
    const admin = await client.get(`${path}?inclAdminFields=true`);
    test.match(admin.document['files'], [{ stor: 'local' }], 'open to everybody in a datacenter');
    const file = await client.get(`${path}/file?account=${vader}`);
    test.ok(file.body.equals(BZIP2));
    test.strictSame([file.header('content-md5'), file.header('etag')], [md5Base64(BZIP2), sha1Hex(BZIP2)]);
    const got = await client.get(`${path}/icon`);
    test.ok(got.body.equals(JPEG));
    test.equal(got.header('content-type'), 'image/jpeg');
    const refused = await client.delete(`${path}/icon?account=${vader}`);
    expectError(test, refused, notOwner(vader, uuid), 'an icon of somebody else');
    const without = await client.delete(`${path}/icon?account=${luke}`);
    test.notOk('icon' in without.document);
}

// ---- images-as-a-user.dc

type ListRow = readonly [query: string, uuids: readonly string[]];

const LISTS: readonly ListRow[] = [
    [`account=${vader}`, [FATHER, BASE_181]],
    [`account=${vader}&state=all`, [JOIN_US, FATHER, DARK_SIDE, BASE_181, NODEJS]],
    [`account=${vader}&state=disabled`, [DARK_SIDE]],
    [`account=${vader}&state=unactivated`, [JOIN_US]],
    [`account=${vader}&state=all&public=false`, [JOIN_US, FATHER, DARK_SIDE]],
    [`account=${vader}&state=all&public=true`, [BASE_181, NODEJS]],
    [`account=${vader}&type=zone-dataset`, [FATHER, BASE_181]],
    [`account=${vader}&type=bogus`, []],
    [`account=${vader}&type=!docker`, [FATHER, BASE_181]],
    [`account=${vader}&os=smartos`, [FATHER, BASE_181]],
    [`account=${vader}&os=bogus`, []],
    [`account=${vader}&name=i-am-your-father`, [FATHER]],
    [`account=${vader}&name=~father`, [FATHER]],
    [`account=${vader}&version=1.8.1`, [BASE_181]],
    [`account=${vader}&owner=${vader}&state=all`, [JOIN_US, FATHER, DARK_SIDE]],
    [`account=${luke}`, [FATHER, BASE_181]],
    [`account=${luke}&state=disabled`, []],
    [`account=${luke}&state=unactivated`, []],
    [`account=${luke}&owner=${vader}`, [FATHER]],
    [`account=${luke}&owner=${sdc}`, [BASE_181]],
    [`account=${emperor}&state=all`, [BASE_181, NODEJS]],
    ['state=disabled', [DARK_SIDE, NODEJS]],
    ['state=unactivated', [JOIN_US, BASE_200]],
    [`owner=${vader}&state=all`, [JOIN_US, FATHER, DARK_SIDE]],
];

/** Who sees which of the six images (operations 6.2). */
const SEEN_BY: Readonly<Record<string, readonly (keyof typeof USERS)[]>> = {
    [BASE_181]: ['vader', 'luke', 'emperor', 'sdc'],
    [NODEJS]: ['vader', 'luke', 'emperor', 'sdc'],
    [BASE_200]: ['sdc'],
    [FATHER]: ['vader', 'luke'],
    [DARK_SIDE]: ['vader', 'luke'],
    [JOIN_US]: ['vader'],
};

await t.test('images as a user', async (test) => {
    for (const [query, uuids] of LISTS) {
        test.strictSame((await client.get(`/images?${query}`)).uuids, uuids, query);
    }
    for (const [name, account] of Object.entries(USERS)) {
        const listed = (await client.get(`/images?state=all&account=${account}`)).uuids;
        for (const [uuid, accounts] of Object.entries(SEEN_BY)) {
            const seen = (accounts as readonly string[]).includes(name);
            test.equal(listed.includes(uuid), seen, `${name} lists ${uuid}: ${seen}`);
            const answer = await client.get(`/images/${uuid}?account=${account}`);
            if (seen) test.equal(answer.document['uuid'], uuid, `${name} gets ${uuid}`);
            else expectError(test, answer, notFound('image not found'), `${name} does not get ${uuid}`);
        }
    }
});

// ---- lists

/** The uuids of all pages, as the client library asks for them. */
async function allPages(reader: HttpClient, filter: string, size: number): Promise<readonly string[]> {
    const uuids: string[] = [];
    for (let pages = 0; pages <= COUNT; pages++) {
        const marker = uuids.at(-1);
        const page = (
            await reader.get(
                `/images?${filter}${marker === undefined ? '' : `&marker=${marker}&limit=${size}`}`,
            )
        ).uuids;
        uuids.push(...(page[0] === marker ? page.slice(1) : page));
        if (page.length < size) return uuids;
    }
    throw new Error('the pages do not end');
}

await t.test('a list has at most 1000 images', async (test) => {
    const filter = 'name=one-of-many';
    const limits: readonly (readonly [limit: string, count: number])[] = [
        ['', 1000],
        ['&limit=', 1000],
        ['&limit=0', 1000],
        ['&limit=1', 1],
        ['&limit=999', 999],
        ['&limit=1000', 1000],
        ['&limit=1001', 1000],
        ['&limit=99999999999999999999', 1000],
    ];
    for (const [limit, count] of limits) {
        const { uuids } = await client.get(`/images?${filter}${limit}`);
        test.strictSame(uuids, inOrder.slice(0, count), `${limit || 'no limit'}: the oldest`);
    }
    const newest = await client.get(`/images?${filter}&sort=published_at.desc`);
    test.strictSame(newest.uuids, [...inOrder].reverse().slice(0, 1000), 'the newest first');
    test.strictSame(await allPages(client, filter, 1000), inOrder, 'pages of 1000');
    test.strictSame(await allPages(client, `${filter}&state=all`, 1000), inOrder, 'of all states');
    const all = await allPages(client, 'state=all', 1000);
    test.equal(new Set(all).size, all.length, 'nothing twice');
    const known = [...inOrder, ...DC_IMAGES.map(({ uuid }) => uuid)];
    test.strictSame(
        known.filter((uuid) => !all.includes(uuid)),
        [],
        'nothing is missing',
    );
});

// ---- no authentication

await t.test('nobody is asked who they are', async (test) => {
    const bad = { authorization: 'Signature keyId="x",algorithm="rsa-sha256",signature="eA=="' };
    for (const headers of [{}, bad, { authorization: 'Basic eDp5' }]) {
        const ping = await client.get('/ping', { headers });
        test.strictSame(Object.keys(ping.document), ['ping', 'version', 'imgapi', 'pid']);
        test.equal(ping.document['pid'], dc.server.pid, 'a number, without a signature');
        const state = await client.get('/state', { headers });
        test.equal(state.status, 200);
        test.match(state.document, {
            cache: {},
            log: { level: 30 },
            storageTypes: ['local'],
            pid: dc.server.pid,
        });
        test.equal((await client.post('/state?action=dropcaches', {}, { headers })).status, 202);
        test.strictSame((await client.post('/authkeys/reload', {}, { headers })).document, {});
        const created = await client.post('/images', manifest(), { headers });
        test.equal(created.status, 200);
        test.notOk(created.header('www-authenticate'));
        const uuid = String(created.document['uuid']);
        test.equal((await client.delete(`/images/${uuid}`, { headers })).status, 204);
    }
    test.notMatch((await client.get('/state')).text, dc.ufds.bindPassword, 'no secrets');
    const health = await client.get('/health');
    test.match(health.document, { status: /ok|degraded/, checks: { database: { ok: true } } });
});

// ---- fields

await t.test('fields that only a datacenter shows', async (test) => {
    const { document } = await client.get(`/images/${BASE_181}?account=${luke}`);
    test.strictSame([document['billing_tags'], document['traits']], [['xl'], { ssd: true }]);
    test.notOk('channels' in document);
    const tagged = await client.get(`/images?account=${luke}&billing_tag=xl`);
    test.strictSame(tagged.uuids, [BASE_181]);
    const own = { owner: vader, billing_tags: ['gold', 'xl'], traits: { hw: ['a', 'b'], ssd: 'yes' } };
    const uuid = await publishImage(client, own);
    const mine = await client.get(`/images/${uuid}?account=${vader}`);
    test.strictSame([mine.document['billing_tags'], mine.document['traits']], [own.billing_tags, own.traits]);
    test.strictSame((await client.get('/images?billing_tag=gold&billing_tag=xl')).uuids, [uuid]);
    expectError(
        test,
        await client.post(`/images/${uuid}?action=update&account=${vader}`, { traits: {}, billing_tags: [] }),
        validationFailed(
            'invalid image update data: billing_tags, traits',
            ['billing_tags', 'NotAllowed', 'Can only be updated by operators'],
            ['traits', 'NotAllowed', 'Can only be updated by operators'],
        ),
        'the owner may not change them',
    );
    const cleared = await client.post(`/images/${uuid}?action=update`, { traits: {}, billing_tags: [] });
    test.notOk('traits' in cleared.document || 'billing_tags' in cleared.document);
    test.equal((await client.delete(`/images/${uuid}`)).status, 204);
});

// ---- CloudAPI

await t.test('calls as CloudAPI makes them', async (test) => {
    const headers = { 'x-request-id': 'cloudapi-1', 'accept-version': '*' };
    const list = await client.get(`/images?account=${luke}&type=!docker&state=active&public=true`, {
        headers,
    });
    test.strictSame(list.uuids, [BASE_181]);
    test.equal(list.header('x-request-id'), 'cloudapi-1');
    for (const path of ['', '/file', '/icon']) {
        const url = `/images/${JOIN_US}${path}?account=${luke}`;
        expectError(test, await client.get(url, { headers }), notFound('image not found'), url);
    }
    const changes: readonly (readonly [path: string, body: unknown])[] = [
        [`?action=update`, { name: 'x' }],
        ['?action=activate', {}],
        ['/acl', [luke]],
    ];
    for (const [suffix, body] of changes) {
        const joint = suffix.includes('?') ? '&' : '?';
        const url = `/images/${FATHER}${suffix}${joint}account=${luke}`;
        expectError(test, await client.post(url, body, { headers }), notOwner(luke, FATHER), url);
        const hidden = url.replace(FATHER, JOIN_US);
        expectError(test, await client.post(hidden, body, { headers }), notFound('image not found'), hidden);
    }
    const uuid = await publishImage(client, { owner: luke });
    const edit = {
        name: 'edited',
        version: '2.0.0',
        description: 'd',
        homepage: 'http://example.com/',
        eula: 'http://example.com/eula',
        acl: [vader],
        tags: { a: 'b' },
    };
    const edited = await client.post(`/images/${uuid}?action=update&account=${luke}`, edit, { headers });
    test.match(edited.document, edit);
    const shared = await client.get(`/images?account=${vader}&name=edited`);
    test.strictSame(shared.uuids, [uuid], 'shared by an update');
    // A transfer of ownership (jobs-and-imports 8.1, row 26).
    const move = (owner: string) =>
        client.post(`/images/${uuid}?action=update&account=${luke}`, { owner }, { headers });
    const message = `owner "${UNKNOWN}" does not exist`;
    expectError(test, await move(UNKNOWN), { status: 422, code: 'OwnerDoesNotExist', message }, 'to nobody');
    test.equal((await move(emperor)).document['owner'], emperor);
    expectError(test, await move(luke), notFound('image not found'), 'it is his no more');
    test.equal((await client.delete(`/images/${uuid}?account=${emperor}`)).status, 204);
});

await t.test('only answers that start a job name a workflow service', async (test) => {
    const answers = [
        await client.get('/ping'),
        await client.get(`/images/${FATHER}`),
        await client.get(`/images/${FATHER}/jobs`),
        await client.post('/images', {}),
        await client.post(`/images?action=create-from-vm&vm_uuid=${UNKNOWN}`, {}),
    ];
    for (const answer of answers) test.strictSame(answer.values('workflow-api'), [], `${answer.status}`);
});
