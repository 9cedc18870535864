// Listing (http-api 3.1) and who sees what (http-api 1.15, operations 6.2), on real servers.
import t, { type Test } from 'tap';
import type { HttpClient } from '../helpers/http-client.js';
import {
    BASE_181,
    BASE_200,
    DARK_SIDE,
    FATHER,
    JOIN_US,
    NODEJS,
    UNKNOWN,
    USERS,
    gzipFile,
    sha1Hex,
} from '../helpers/images.js';
import {
    badAccount,
    expectError,
    invalidParameter,
    notBoolean,
    notFound,
    repeated,
    type ExpectedError,
} from '../helpers/rows.js';
import {
    CREATING,
    FAILED,
    LONG,
    PRIVATE_IMAGES,
    PUBLIC_IMAGES,
    TAGGED,
    ZVOL,
} from '../helpers/listing-images.js';
import { startServer, type StartedServer } from '../helpers/start-server.js';

const { vader, luke, emperor, sdc } = USERS;
const [privateSide, publicSide] = await Promise.all([
    startServer(t, {}, PRIVATE_IMAGES),
    startServer(t, { mode: 'public' }, PUBLIC_IMAGES),
]);
const { client, guest: anonymous } = privateSide;

const ACTIVE = [FATHER, TAGGED, ZVOL];
const EVERYTHING = [JOIN_US, CREATING, FAILED, FATHER, DARK_SIDE, TAGGED, ZVOL];

type ListRow = readonly [query: string, uuids: readonly string[]];

const STATES: readonly ListRow[] = [
    ['', ACTIVE],
    ['state=active', ACTIVE],
    ['state=', ACTIVE],
    ['state=disabled', [DARK_SIDE]],
    ['state=unactivated', [JOIN_US, CREATING, FAILED]],
    ['state=all', EVERYTHING],
    ['state=creating', [CREATING]],
    ['state=failed', [FAILED]],
];

const ACCOUNTS: readonly ListRow[] = [
    [`account=${vader}`, [FATHER]],
    [`account=${vader}&state=all`, [JOIN_US, FATHER, DARK_SIDE]],
    [`account=${vader}&state=disabled`, [DARK_SIDE]],
    [`account=${vader}&state=unactivated`, [JOIN_US]],
    [`account=${vader}&public=false`, [FATHER]],
    [`account=${vader}&state=all&public=false`, [JOIN_US, FATHER, DARK_SIDE]],
    [`account=${vader}&state=all&public=true`, []],
    [`account=${vader}&type=zone-dataset`, [FATHER]],
    [`account=${vader}&type=bogus`, []],
    [`account=${vader}&os=smartos`, [FATHER]],
    [`account=${vader}&os=bogus`, []],
    [`account=${vader}&name=i-am-your-father`, [FATHER]],
    [`account=${vader}&name=~father`, [FATHER]],
    [`account=${vader}&owner=${vader}&state=all`, [JOIN_US, FATHER, DARK_SIDE]],
    [`account=${luke}`, [FATHER]],
    [`account=${luke}&state=all`, [CREATING, FAILED, FATHER, DARK_SIDE]],
    [`account=${luke}&state=disabled`, []],
    [`account=${luke}&state=unactivated`, [CREATING, FAILED]],
    [`account=${luke}&state=creating`, [CREATING]],
    [`account=${luke}&owner=${vader}`, [FATHER]],
    [`account=${luke}&owner=${vader}&state=all`, [FATHER, DARK_SIDE]],
    [`account=${luke}&owner=${vader}&state=disabled`, []],
    [`account=${luke}&owner=${vader}&state=creating`, []],
    [`account=${luke}&owner=${sdc}`, []],
    [`account=${vader}&owner=${luke}&state=creating`, []],
    [`account=${emperor}&state=all`, []],
    ['account=', ACTIVE],
    ['account=&state=all', EVERYTHING],
];

const FILTERS: readonly ListRow[] = [
    [`owner=${sdc}`, [TAGGED, ZVOL]],
    ['owner=nobody', []],
    ['owner=', []],
    ['name=volume', [ZVOL]],
    ['name=volum', []],
    ['name=~olum', [ZVOL]],
    ['name=~VOLUME', []],
    ['name=~', ACTIVE],
    ['name=', []],
    ['version=1.0.0', [TAGGED, ZVOL]],
    ['version=~0.1', [FATHER]],
    ['version=', []],
    ['os=linux', [ZVOL]],
    ['os=', []],
    ['type=zvol', [ZVOL]],
    ['type=!zvol', [FATHER, TAGGED]],
    ['type=', []],
    ['public=true', []],
    ['public=false', ACTIVE],
    ['unknown=1&tag[role]=x&state[a]=b&__proto__=1', ACTIVE],
    ['tag.role=db', [TAGGED]],
    ['tag.role=web', []],
    ['tag.n=5', [TAGGED]],
    ['tag.flag=true', [TAGGED]],
    ['tag.flag=false', []],
    ['tag.role=db&tag.n=5', [TAGGED]],
    ['tag.role=db&tag.n=6', []],
    ['tag.role=', [TAGGED]],
    [`tag.big=${LONG}`, []],
    ['tag.big=', [TAGGED]],
    ['tag.obj=', [TAGGED]],
    ['tag.nul=', [TAGGED]],
    ['tag.eq=a%3Db', [TAGGED]],
    ['tag.none=', []],
    ['tag.toString=', []],
    ['billing_tag=xl', [TAGGED, ZVOL]],
    ['billing_tag=xl&billing_tag=gold', [TAGGED]],
    ['billing_tag=gold&billing_tag=silver', []],
];

const PAGES: readonly ListRow[] = [
    ['limit=1', [FATHER]],
    ['limit=2', [FATHER, TAGGED]],
    ['limit=0', ACTIVE],
    ['limit=', ACTIVE],
    ['limit=007', ACTIVE],
    ['limit=5000', ACTIVE],
    ['limit=99999999999999999999999', ACTIVE],
    ['sort=published_at', ACTIVE],
    ['sort=published_at.', ACTIVE],
    ['sort=', ACTIVE],
    ['sort=published_at.asc', ACTIVE],
    ['sort=published_at.desc', [...ACTIVE].reverse()],
    ['sort=published_at.DESC', [...ACTIVE].reverse()],
    ['state=all&sort=published_at.desc', [...EVERYTHING].reverse()],
    ['sort=published_at.desc&limit=1', [ZVOL]],
    ['sort=published_at.desc&limit=2', [ZVOL, TAGGED]],
    ['marker=', ACTIVE],
    [`marker=${FATHER}`, ACTIVE],
    [`marker=${TAGGED}`, [TAGGED, ZVOL]],
    [`marker=${TAGGED}&limit=1`, [TAGGED]],
    [`marker=${ZVOL}&limit=1000`, [ZVOL]],
    [`marker=${TAGGED}&sort=published_at.desc`, [TAGGED, FATHER]],
    [`marker=${DARK_SIDE}`, [TAGGED, ZVOL]],
    [`marker=${FATHER}&type=zvol`, [ZVOL]],
    [`marker=${JOIN_US}`, ACTIVE],
    [`marker=${CREATING}&state=all&limit=2`, [CREATING, FAILED]],
    [`marker=${CREATING}&state=all&sort=published_at.desc`, [CREATING, JOIN_US]],
    ['marker=2013-05-01T00:00:00.000Z', [TAGGED, ZVOL]],
    ['marker=2013-05-01T00:00:00Z', [TAGGED, ZVOL]],
    ['marker=2013-05-01T00:00:00.001Z', []],
    ['marker=2012-01-02', [TAGGED, ZVOL]],
    ['marker=2012-01-02&sort=published_at.desc', [FATHER]],
    ['marker=Tue,%2001%20Jan%202013%2000:00:00%20GMT', [TAGGED, ZVOL]],
    ['marker=2012-01-01T00:00:00.000Z&sort=published_at.desc', [FATHER]],
];

async function expectLists(test: Test, caller: HttpClient, rows: readonly ListRow[]): Promise<void> {
    for (const [query, uuids] of rows) {
        const answer = await caller.get(`/images?${query}`);
        test.strictSame([answer.status, answer.uuids], [200, uuids], query);
    }
}

await t.test('states', (test) => expectLists(test, client, STATES));
await t.test('accounts', (test) => expectLists(test, client, ACCOUNTS));
await t.test('filters', (test) => expectLists(test, client, FILTERS));
await t.test('order, marker and limit', (test) => expectLists(test, client, PAGES));

await t.test('anonymous callers see active images only', (test) =>
    expectLists(test, anonymous, [
        ['', ACTIVE],
        ['state=all', ACTIVE],
        ['state=disabled', []],
        ['state=unactivated', []],
        ['state=creating', []],
        ['state=failed', []],
        ['state=disabled&public=foo', []],
        [`state=disabled&account=${vader}`, []],
    ]),
);

const unknownState = (value: string): ExpectedError =>
    invalidParameter(`invalid state: "${value}"`, ['state', 'Invalid']);
const badLimit = (value: string): ExpectedError =>
    invalidParameter(`invalid limit: "${value}"`, ['limit', 'Invalid']);
const badSortAttribute = (value: string): ExpectedError =>
    invalidParameter(`invalid 'sort': not a valid sorting attribute: '${value}'`, ['sort', 'Invalid']);
const badSortDirection = (value: string): ExpectedError =>
    invalidParameter(`invalid 'sort': not a valid sort direction: '${value}'`, ['sort', 'Invalid']);
const badMarker = (value: string): ExpectedError =>
    invalidParameter(
        `invalid value for "marker" param: ${JSON.stringify(value)} is not a UUID or date string`,
        ['marker', 'Invalid'],
    );

const ERRORS: readonly (readonly [query: string, expected: ExpectedError])[] = [
    ['account=foo', badAccount('foo')],
    [`account=${vader.toUpperCase()}`, badAccount(vader.toUpperCase())],
    ['limit=-1', badLimit('-1')],
    ['limit=1.5', badLimit('1.5')],
    ['limit=1e3', badLimit('1e3')],
    ['limit=0x10', badLimit('0x10')],
    ['limit=Infinity', badLimit('Infinity')],
    ['state=bogus', unknownState('bogus')],
    ['state=constructor', unknownState('constructor')],
    ['public=foo', notBoolean('public', 'foo')],
    ['public=', notBoolean('public', '')],
    ['public=TRUE', notBoolean('public', 'TRUE')],
    ['sort=name', badSortAttribute('name')],
    ['sort=name.asc', badSortAttribute('name')],
    ['sort=.asc', badSortAttribute('')],
    ['sort=published_at.up', badSortDirection('up')],
    ['sort=published_at.asc.x', badSortDirection('asc.x')],
    [`marker=${UNKNOWN}`, notFound(`image ${UNKNOWN} not found`)],
    ['marker=not-a-date', badMarker('not-a-date')],
    ['inclAdminFields=foo', notBoolean('inclAdminFields', 'foo')],
    ['inclAdminFields=', notBoolean('inclAdminFields', '')],
    // Which check comes first.
    ['inclAdminFields=foo&account=foo', notBoolean('inclAdminFields', 'foo')],
    ['limit=x&account=foo', badAccount('foo')],
    ['state=x&limit=x', badLimit('x')],
    ['public=x&state=x', unknownState('x')],
    ['sort=x&public=x', notBoolean('public', 'x')],
    ['marker=x&sort=x', badSortAttribute('x')],
    ...['account', 'owner', 'state', 'name', 'version', 'os', 'type', 'limit', 'marker', 'sort'].map(
        (name) => [`${name}=a&${name}=b`, repeated(name)] as const,
    ),
    ['public=true&public=true', repeated('public')],
    ['inclAdminFields=true&inclAdminFields=true', repeated('inclAdminFields')],
];

await t.test('parameters that are refused', async (test) => {
    for (const [query, expected] of ERRORS) {
        expectError(test, await client.get(`/images?${query}`), expected, query);
    }
    expectError(
        test,
        await anonymous.get('/images?state=disabled&limit=x'),
        badLimit('x'),
        'the limit is looked at before the empty list for anonymous callers',
    );
    for (const path of ['/images?', `/images/${FATHER}?`]) {
        expectError(
            test,
            await anonymous.get(`${path}inclAdminFields=true`),
            {
                status: 401,
                code: 'UnauthorizedError',
                message: 'Unauthorized (auth required to use "inclAdminFields" parameter)',
            },
            `${path} admin fields need a signature`,
        );
    }
});

await t.test('documents in a list', async (test) => {
    const answer = await client.get('/images');
    test.equal(
        answer.text,
        JSON.stringify(answer.json, null, 2),
        'indented by two spaces, no newline at the end',
    );
    test.equal(answer.header('content-type'), 'application/json');
    test.equal(answer.header('content-length'), String(answer.body.length));
    test.equal(answer.header('etag'), undefined, 'a list has no tag');
    const one = await client.get(`/images/${TAGGED}`);
    test.strictSame(answer.list[1], one.document, 'the same document as GetImage gives');
    const admin = await client.get('/images?inclAdminFields=true');
    test.strictSame(
        admin.list.map((image) => (image['files'] as { stor?: string }[]).map((file) => file.stor)),
        [['local'], ['local'], ['local']],
        'admin fields',
    );
    test.notOk(answer.text.includes('"stor"'), 'none without asking');
    test.equal((await client.get('/images?name=none')).text, '[]');
    const slash = await client.get('/images/?limit=1');
    test.strictSame(slash.uuids, [FATHER], 'the path with a slash at its end');
    test.strictSame((await client.get('//images?limit=1')).uuids, [FATHER], 'two slashes are one');
});

await t.test('keys of a document and their order', async (test) => {
    const file = gzipFile('tagged');
    const expected = {
        v: 2,
        uuid: TAGGED,
        owner: sdc,
        name: 'tagged',
        version: '1.0.0',
        state: 'active',
        disabled: false,
        public: false,
        published_at: '2013-05-01T00:00:00Z',
        type: 'zone-dataset',
        os: 'smartos',
        files: [{ sha1: sha1Hex(file), size: file.length, compression: 'gzip' }],
        icon: true,
        tags: { role: 'db', n: 5, flag: true, big: LONG, obj: { a: 1 }, nul: null, eq: 'a=b' },
        billing_tags: ['xl', 'gold'],
        traits: { ssd: true },
    };
    const answer = await client.get(`/images/${TAGGED}`);
    test.equal(answer.text, JSON.stringify(expected, null, 2));
    test.equal(answer.header('etag'), sha1Hex(JSON.stringify(expected)), 'the tag is over the compact form');
    const placeholder = {
        v: 2,
        uuid: FAILED,
        owner: luke,
        name: 'not-made',
        version: '1.0.0',
        state: 'failed',
        disabled: false,
        public: false,
        files: [],
        error: { code: 'PrepareImageDidNotRun', message: 'boom' },
    };
    test.equal((await client.get(`/images/${FAILED}`)).text, JSON.stringify(placeholder, null, 2));
});

const SEEN_BY: readonly (readonly [side: StartedServer, uuid: string, accounts: readonly string[]])[] = [
    [publicSide, BASE_181, [vader, luke, emperor, sdc]],
    [publicSide, NODEJS, [vader, luke, emperor, sdc]],
    [publicSide, BASE_200, [sdc]],
    [privateSide, FATHER, [vader, luke]],
    [privateSide, DARK_SIDE, [vader, luke]],
    [privateSide, JOIN_US, [vader]],
];

await t.test('who can see an image', async (test) => {
    for (const [side, uuid, seers] of SEEN_BY) {
        const caller = side.client;
        for (const [name, account] of Object.entries(USERS)) {
            const sees = seers.includes(account);
            const list = await caller.get(`/images?state=all&account=${account}`);
            test.equal(list.uuids.includes(uuid), sees, `list: ${name} sees ${uuid}: ${sees}`);
            const image = await caller.get(`/images/${uuid}?account=${account}`);
            if (sees) test.equal(image.status, 200, `get: ${name} sees ${uuid}`);
            else expectError(test, image, notFound('image not found'), `get: ${name} does not see ${uuid}`);
        }
        const get = await side.guest.get(`/images/${uuid}`);
        test.equal(get.status, 200, 'by uuid anybody gets it without an account');
    }
});

await t.test('a public server', async (test) => {
    const { client: operator, guest } = publicSide;
    await expectLists(test, operator, [
        ['state=all', [BASE_200, BASE_181, NODEJS]],
        ['state=disabled', [NODEJS]],
        ['state=unactivated', [BASE_200]],
        ['public=true', [BASE_181]],
        ['public=false', []],
        [`account=${luke}&owner=${sdc}`, [BASE_181]],
        [`account=${luke}&public=true`, [BASE_181]],
        [`account=${luke}&public=false`, []],
        [`account=${luke}&state=disabled`, []],
        [`account=${sdc}&state=disabled`, [NODEJS]],
    ]);
    await expectLists(test, guest, [
        ['', [BASE_181]],
        ['state=all', [BASE_181]],
        ['state=disabled', []],
        ['state=unactivated', []],
    ]);
    const base = (await guest.get(`/images/${BASE_181}`)).document;
    test.strictSame(
        [base['billing_tags'], base['traits'], base['urn'], base['channels']],
        [undefined, undefined, 'sdc:sdc:base:1.8.1', undefined],
        'billing tags and traits are not shown',
    );
});
