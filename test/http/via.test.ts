// An account sees the ancestors of an image that it sees, if it says through which (jobs-and-imports 8.1
// #2, README table B): GetImage and GetImageFile.
import t from 'tap';
import {
    BASE_181,
    BASE_200,
    DARK_SIDE,
    FATHER,
    gzipFile,
    JOIN_US,
    NODEJS,
    PNG,
    sha1Hex,
    UNKNOWN,
    USERS,
    type Fixture,
} from '../helpers/images.js';
import { expectError, invalidParameter, notFound, repeated } from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
const FILE = gzipFile('the oldest image of all '.repeat(40));
const published = { activated: true, published_at: '2014-01-01T00:00:00.000Z', owner: vader } as const;

const OLDEST = FATHER;
const PARENT = DARK_SIDE;
const SHARED = JOIN_US;
const OTHER = NODEJS;
const HIDDEN_CHILD = BASE_181;
const DRAFT = BASE_200;

const IMAGES: readonly Fixture[] = [
    { ...published, uuid: OLDEST, name: 'oldest', file: FILE, icon: PNG },
    { ...published, uuid: PARENT, name: 'parent', disabled: true, file: FILE, more: { origin: OLDEST } },
    { ...published, uuid: SHARED, name: 'shared', file: FILE, more: { origin: PARENT, acl: [luke] } },
    { ...published, uuid: OTHER, name: 'other', file: FILE, more: { acl: [luke] } },
    { ...published, uuid: HIDDEN_CHILD, name: 'hidden-child', file: FILE, more: { origin: OLDEST } },
    { uuid: DRAFT, name: 'draft', owner: luke, more: { origin: OLDEST } },
];

const { client, guest } = await startServer(t, {}, IMAGES);
const HIDDEN = notFound('image not found');

await t.test('ancestors of a shared image', async (t) => {
    for (const uuid of [PARENT, OLDEST]) {
        for (const suffix of ['', '/file']) {
            const path = `/images/${uuid}${suffix}`;
            for (const caller of [client, guest]) {
                const shown = await caller.get(`${path}?account=${luke}&via=${SHARED}`);
                const operators = await caller.get(path);
                t.equal(shown.status, 200, path);
                t.ok(shown.body.equals(operators.body), 'the same bytes as for an operator');
                t.equal(shown.header('etag'), operators.header('etag'));
                const head = await caller.request('HEAD', `${path}?account=${luke}&via=${SHARED}`);
                t.strictSame([head.status, head.body.length], [200, 0]);
                t.equal(head.header('etag'), shown.header('etag'));
            }
        }
    }
    const own = await client.get(`/images/${OLDEST}?account=${luke}&via=${DRAFT}`);
    t.equal(own.status, 200, 'through an image of its own, whatever its state');
});

await t.test('nothing else is shown', async (t) => {
    const rows: readonly (readonly [name: string, uuid: string, query: string])[] = [
        ['without via', OLDEST, `account=${luke}`],
        ['an empty via', OLDEST, `account=${luke}&via=`],
        ['another account', OLDEST, `account=${emperor}&via=${SHARED}`],
        ['a visible image that is not based on it', OLDEST, `account=${luke}&via=${OTHER}`],
        ['an image that the account does not see', OLDEST, `account=${luke}&via=${HIDDEN_CHILD}`],
        ['an ancestor itself', OLDEST, `account=${luke}&via=${PARENT}`],
        ['itself', OLDEST, `account=${luke}&via=${OLDEST}`],
        ['an image that does not exist', OLDEST, `account=${luke}&via=${UNKNOWN}`],
        ['a child of the ancestor', HIDDEN_CHILD, `account=${luke}&via=${SHARED}`],
    ];
    for (const [name, uuid, query] of rows) {
        for (const suffix of ['', '/file']) {
            expectError(t, await client.get(`/images/${uuid}${suffix}?${query}`), HIDDEN, name);
            const head = await client.request('HEAD', `/images/${uuid}${suffix}?${query}`);
            t.strictSame([head.status, head.body.length], [404, 0], name);
        }
    }
    const icon = await client.get(`/images/${OLDEST}/icon?account=${luke}&via=${SHARED}`);
    expectError(t, icon, HIDDEN, 'icons are not part of it');
    const update = await client.post(`/images/${OLDEST}?action=update&account=${luke}&via=${SHARED}`, {});
    expectError(t, update, HIDDEN, 'nor is any change');
    const list = await client.get(`/images?account=${luke}&via=${SHARED}&state=all`);
    t.strictSame(list.uuids.sort(), [DRAFT, OTHER, SHARED].sort(), 'nor are lists');
});

await t.test('bad values, and the order of checks', async (t) => {
    const bad = (value: string) =>
        invalidParameter(`invalid "via": not a UUID: "${value}"`, ['via', 'Invalid']);
    for (const suffix of ['', '/file']) {
        const get = (uuid: string, query: string) => client.get(`/images/${uuid}${suffix}?${query}`);
        expectError(t, await get(OLDEST, `account=${luke}&via=x`), bad('x'), 'no UUID');
        expectError(t, await get(SHARED, `account=${luke}&via=x`), bad('x'), 'also where it is not needed');
        expectError(
            t,
            await get(UNKNOWN, `account=${luke}&via=x`),
            bad('x'),
            'before the image is looked for',
        );
        expectError(
            t,
            await get(OLDEST, 'account=y&via=x'),
            invalidParameter('invalid "account": not a UUID: "y"', ['account', 'Invalid']),
            'the account comes first',
        );
        expectError(t, await get(OLDEST, `account=${luke}&via=${SHARED}&via=${SHARED}`), repeated('via'), '');
        expectError(
            t,
            await get(UNKNOWN, `account=${luke}&via=${SHARED}`),
            notFound(`image ${UNKNOWN} not found`),
            'no such image',
        );
        t.equal((await get(OLDEST, 'via=x&via=y')).status, 200, 'ignored without account');
        t.equal((await get(OLDEST, `account=&via=x`)).status, 200, 'an empty account is none');
    }
});

await t.test('conditions and ranges', async (t) => {
    const query = `account=${luke}&via=${SHARED}`;
    const document = await client.get(`/images/${OLDEST}?${query}`);
    const tag = document.header('etag') ?? '';
    const notModified = { headers: { 'if-none-match': tag } };
    t.equal((await client.get(`/images/${OLDEST}?${query}`, notModified)).status, 304);
    t.equal((await client.get(`/images/${OLDEST}?${query}`, { headers: { 'if-match': 'x' } })).status, 412);
    t.equal((await client.get(`/images/${OLDEST}?account=${luke}`, notModified)).status, 404, 'no hint');

    const file = `/images/${OLDEST}/file?${query}`;
    const part = await client.get(file, { headers: { range: 'bytes=5-14' } });
    t.equal(part.status, 206);
    t.equal(part.header('content-range'), `bytes 5-14/${FILE.length}`);
    t.ok(part.body.equals(FILE.subarray(5, 15)));
    const since = { headers: { 'if-none-match': sha1Hex(FILE) } };
    t.equal((await client.get(file, since)).status, 304);
    t.equal((await client.get(`/images/${OLDEST}/file?account=${luke}`, since)).status, 404, 'no hint');
    t.equal((await client.get(file, { headers: { range: `bytes=${FILE.length}-` } })).status, 416);
});
