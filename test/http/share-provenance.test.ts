// Where images came from and what is shared with an account: who is shown what, in which form, and
// that nobody is who does not ask (jobs-and-imports 8.6, 8.8; README table B and API versions).
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HttpClient } from '../helpers/http-client.js';
import { type Answer, type Document } from '../helpers/http-client.js';
import { startDatacenter } from '../helpers/datacenter.js';
import {
    BASE_181,
    BASE_200,
    DARK_SIDE,
    FATHER,
    gzipFile,
    JOIN_US,
    NODEJS,
    sha1Hex,
    UNKNOWN,
    USERS,
    type Fixture,
} from '../helpers/images.js';
import { badAccount, expectError, invalidParameter, notBoolean, repeated } from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
const AT = '2026-01-02T03:04:05.006Z';
const IMPORTED = {
    kind: 'import',
    source_image: FATHER,
    source_owner: emperor,
    source_url: 'https://images.example.com',
    at: AT,
};
const { kind, source_image, source_owner } = IMPORTED;
/** The same without the address. */
const FOR_OWNER = { kind, source_image, source_owner, at: AT };
const CLONED = { kind: 'clone', source_image: FATHER, source_owner: vader, at: AT };

const VADERS = FATHER;
const PLAIN = DARK_SIDE;
const LUKES_CLONE = JOIN_US;
const PUBLIC = NODEJS;
const EMPERORS = BASE_181;
const DISABLED = BASE_200;

function published(day: number, owner: string): Partial<Fixture> {
    const time = `2014-01-0${day}T00:00:00.000Z`;
    return { activated: true, published_at: time, owner, file: gzipFile('bytes') };
}

function provenance(value: Document): Document {
    return { x_imgapi: { import_id: UNKNOWN, provenance: value } };
}

/** In the order of lists. */
const IMAGES: readonly Fixture[] = [
    {
        ...published(1, vader),
        uuid: VADERS,
        name: 'imported',
        more: { ...provenance(IMPORTED), acl: [luke] },
    },
    { ...published(2, vader), uuid: PLAIN, name: 'plain', more: { acl: [luke, emperor] } },
    {
        ...published(3, luke),
        uuid: LUKES_CLONE,
        name: 'clone',
        more: { ...provenance(CLONED), acl: [vader] },
    },
    { ...published(4, vader), uuid: PUBLIC, name: 'public', public: true, more: provenance(CLONED) },
    { ...published(5, emperor), uuid: EMPERORS, name: 'emperors', more: { acl: [luke] } },
    { ...published(6, emperor), uuid: DISABLED, name: 'disabled', disabled: true, more: { acl: [luke] } },
];

/** A private server has no public images. */
const PRIVATE_IMAGES = IMAGES.map((image) => ({ ...image, public: false }));

const { server, client, guest } = await startServer(t, {}, PRIVATE_IMAGES);
const dc = await startDatacenter(t, { images: IMAGES });

/** What luke trusts, as an existing server left it. */
for (const { baseDir } of [server, dc]) {
    mkdirSync(join(baseDir, 'sharing'), { recursive: true });
    const document = { account: luke, trusted_accounts: [vader, randomUUID()], mtime: AT };
    writeFileSync(join(baseDir, 'sharing', `${luke}.json`), JSON.stringify(document));
}

function accept(range: string): { readonly headers: Readonly<Record<string, string>> } {
    return { headers: { 'accept-version': range } };
}

/** Both ways of asking for provenance. */
const ASKING = [
    { query: 'inclProvenance=true', options: accept('~2') },
    { query: '', options: accept('~2.1') },
] as const;

function expectTagOfForm(t: Test, answer: Answer): void {
    t.equal(answer.header('etag'), sha1Hex(JSON.stringify(answer.json)), 'the tag of what is sent');
    t.equal(answer.text, JSON.stringify(answer.json, null, 2), 'indented as always');
}

await t.test('who does not ask sees nothing', async (t) => {
    const ranges = [undefined, '', '*', 'x', '~1', '~2', '2', '>=1', '>=2', '2.0.0', '~1 || ~2', '^2'];
    for (const caller of [client, guest, dc.client]) {
        for (const range of ranges) {
            for (const account of ['', `account=${vader}`, `account=${luke}`]) {
                const options = range === undefined ? {} : accept(range);
                const list = await caller.get(`/images?state=all&${account}`, options);
                const one = await caller.get(`/images/${VADERS}?${account}`, options);
                t.equal(list.status, 200);
                t.equal(one.status, 200);
                for (const { text } of [list, one]) {
                    t.notMatch(text, /provenance|"share"|source_|x_imgapi/, `${range ?? 'none'} ${account}`);
                }
            }
        }
        for (const query of ['inclProvenance=false', 'inclShareInfo=false', `inclShareInfo=true`]) {
            const asked = await caller.get(`/images/${VADERS}?${query}`);
            t.equal(asked.text, (await caller.get(`/images/${VADERS}`)).text, query);
        }
    }
});

await t.test('provenance, by who asks', async (t) => {
    const rows: readonly (readonly [
        account: string | undefined,
        uuid: string,
        shown: Document | undefined,
    ])[] = [
        [undefined, VADERS, IMPORTED],
        [undefined, PLAIN, undefined],
        [undefined, LUKES_CLONE, CLONED],
        [undefined, PUBLIC, CLONED],
        [vader, VADERS, FOR_OWNER],
        [vader, PLAIN, undefined],
        [vader, LUKES_CLONE, undefined],
        [vader, PUBLIC, CLONED],
        [luke, VADERS, undefined],
        [luke, LUKES_CLONE, CLONED],
        [luke, PUBLIC, undefined],
        [emperor, PUBLIC, undefined],
    ];
    for (const caller of [client, dc.client]) {
        for (const { query, options } of ASKING) {
            for (const [account, uuid, shown] of rows) {
                if (uuid === PUBLIC && account !== vader && caller === client) continue;
                const whole = `${query}&${account === undefined ? '' : `account=${account}`}`;
                const answer = await caller.get(`/images/${uuid}?${whole}`, options);
                const plain = await caller.get(
                    `/images/${uuid}?${account ? `account=${account}` : ''}`,
                    accept('~2'),
                );
                t.strictSame(
                    answer.document,
                    { ...plain.document, ...(shown === undefined ? {} : { provenance: shown }) },
                    whole,
                );
                if (shown !== undefined) t.equal(Object.keys(answer.document).at(-1), 'provenance');
                expectTagOfForm(t, answer);
                const list = await caller.get(`/images?state=all&${whole}`, options);
                t.strictSame(
                    list.list.find((image) => image['uuid'] === uuid),
                    answer.document,
                    'the same in a list',
                );
            }
        }
    }
});

await t.test('anonymous callers outside a datacenter', async (t) => {
    const refused = {
        status: 401,
        code: 'UnauthorizedError',
        message: 'Unauthorized (auth required to use "inclProvenance" parameter)',
    };
    const plain = await guest.get(`/images/${VADERS}`, accept('~2'));
    for (const path of [`/images/${VADERS}`, '/images']) {
        for (const account of ['', `&account=${vader}`]) {
            expectError(t, await guest.get(`${path}?inclProvenance=true${account}`), refused, path);
            const both = await guest.get(`${path}?inclProvenance=true${account}`, accept('~2.1'));
            expectError(t, both, refused, 'the parameter counts');
            const byVersion = await guest.get(`${path}?${account}`, accept('~2.1'));
            t.equal(byVersion.status, 200);
            t.notMatch(byVersion.text, /provenance/, 'by version it is left out');
        }
        t.equal((await guest.get(`${path}?inclProvenance=false`)).status, 200);
        const head = await guest.request('HEAD', `${path}?inclProvenance=true`);
        t.strictSame([head.status, head.body.length], [401, 0]);
    }
    const byVersion = await guest.get(`/images/${VADERS}`, accept('~2.1'));
    t.equal(byVersion.text, plain.text);
    t.equal(byVersion.header('etag'), plain.header('etag'));
});

await t.test('bad values, and the order of checks', async (t) => {
    for (const name of ['inclProvenance', 'inclShareInfo']) {
        for (const path of [`/images/${VADERS}`, '/images']) {
            for (const value of ['', '1', 'yes', 'TRUE']) {
                const answer = await client.get(`${path}?${name}=${value}`);
                expectError(t, answer, notBoolean(name, value), `${path} ${name}=${value}`);
            }
            expectError(t, await client.get(`${path}?${name}=true&${name}=true`), repeated(name), path);
        }
    }
    const admin = 'Unauthorized (auth required to use "inclAdminFields" parameter)';
    const both = await guest.get('/images?inclProvenance=true&inclAdminFields=true');
    expectError(t, both, { status: 401, code: 'UnauthorizedError', message: admin }, 'admin fields first');
    const unsupported = await client.get('/images', accept('~2.2'));
    t.strictSame(
        [unsupported.status, unsupported.document['code'], unsupported.document['message']],
        [400, 'InvalidVersion', '~2.2 is not supported by GET /images'],
    );
    const account = await client.get('/images?account=x&inclShareInfo=true');
    expectError(t, account, badAccount('x'), 'nothing is looked up for it');
});

await t.test('tags and conditions are of the form that is sent', async (t) => {
    const path = `/images/${VADERS}`;
    const owners = `${path}?account=${vader}`;
    const forms = [
        [path, accept('~2')],
        [path, accept('~2.1')],
        [`${path}?inclProvenance=true&inclAdminFields=true`, accept('~2')],
        [owners, accept('~2.1')],
        [`${path}?account=${luke}&inclShareInfo=true`, accept('~2')],
    ] as const;
    const tags: string[] = [];
    for (const [form, { headers }] of forms) {
        tags.push((await client.get(form, { headers })).header('etag') ?? '');
    }
    t.equal(new Set(tags).size, forms.length, 'every form has a tag of its own');
    for (const [index, [form, { headers }]] of forms.entries()) {
        for (const [other, tag] of tags.entries()) {
            const isOwn = index === other;
            const read = await client.get(form, { headers: { ...headers, 'if-none-match': tag } });
            t.equal(read.status, isOwn ? 304 : 200, `${form} ${other}`);
            const matched = await client.get(form, { headers: { ...headers, 'if-match': tag } });
            t.equal(matched.status, isOwn ? 200 : 412, `${form} ${other}`);
        }
        const head = await client.request('HEAD', form, { headers });
        const got = await client.get(form, { headers });
        t.strictSame(
            [head.status, head.body.length, head.header('etag'), head.header('content-length')],
            [200, 0, tags[index], String(got.body.length)],
        );
    }
    const changes = { description: 'changed' };
    const [plainTag = '', versionTag = ''] = tags;
    const update = (range: string, tag: string) =>
        client.post(`${path}?action=update`, changes, {
            headers: { ...accept(range).headers, 'if-match': tag },
        });
    t.equal((await update('~2', versionTag)).status, 412);
    t.equal((await update('~2.1', plainTag)).status, 412);
    const updated = await update('~2.1', versionTag);
    t.equal(updated.status, 200, 'a client of 2.1 can rely on its tags for changes');
    t.strictSame(updated.document['provenance'], IMPORTED);
    expectTagOfForm(t, updated);
    const again = await client.get(path, accept('~2.1'));
    t.equal(again.text, updated.text);
});

await t.test('lists of what was made from an image', async (t) => {
    const get = (caller: HttpClient, query: string) =>
        caller.get(`/images?state=all&source_image=${FATHER}&${query}`);
    for (const caller of [client, dc.client]) {
        t.strictSame((await get(caller, '')).uuids, [VADERS, LUKES_CLONE, PUBLIC]);
        t.notMatch((await get(caller, '')).text, /provenance/, 'the filter alone shows nothing');
        t.strictSame((await get(caller, `account=${vader}`)).uuids, [VADERS, PUBLIC]);
        t.strictSame((await get(caller, `account=${luke}`)).uuids, [LUKES_CLONE], 'not the public one');
        t.strictSame((await get(caller, `account=${emperor}`)).uuids, []);
        t.strictSame((await get(caller, `account=${luke}&owner=${vader}`)).uuids, []);
        t.strictSame((await get(caller, `account=${luke}&owner=${luke}`)).uuids, [LUKES_CLONE]);
        t.strictSame((await get(caller, `owner=${luke}&name=clone`)).uuids, [LUKES_CLONE]);
        t.strictSame((await get(caller, 'limit=1&sort=published_at.desc')).uuids, [PUBLIC]);
        t.strictSame((await caller.get(`/images?source_image=${UNKNOWN}`)).uuids, []);
        t.equal((await caller.get('/images?source_image=&state=all')).uuids.length, IMAGES.length);
    }
    t.strictSame((await get(dc.client, 'public=true')).uuids, [PUBLIC]);
    const all = (await guest.get('/images')).uuids;
    t.strictSame((await get(guest, '')).uuids, all, 'no effect where provenance is not shown');
    t.strictSame(
        (await get(guest, `account=${luke}`)).uuids,
        (await guest.get(`/images?account=${luke}&state=all`)).uuids,
    );
    for (const caller of [client, guest]) {
        const bad = invalidParameter('invalid "source_image": not a UUID: "x"', ['source_image', 'Invalid']);
        expectError(t, await caller.get('/images?source_image=x'), bad, 'no UUID');
        const twice = await caller.get(`/images?source_image=${FATHER}&source_image=${FATHER}`);
        expectError(t, twice, repeated('source_image'), 'given twice');
    }
});

await t.test('what is shared with an account', async (t) => {
    const query = `account=${luke}&inclShareInfo=true`;
    const shares: Readonly<Record<string, unknown>> = {
        [VADERS]: { shared: true, owner: vader, trusted: true },
        [PLAIN]: { shared: true, owner: vader, trusted: true },
        [EMPERORS]: { shared: true, owner: emperor, trusted: false },
        [DISABLED]: { shared: true, owner: emperor, trusted: false },
    };
    for (const caller of [client, dc.client]) {
        const plain = (await caller.get(`/images?account=${luke}&state=all`)).list;
        const list = await caller.get(`/images?${query}&state=all`);
        t.equal(plain.length, caller === client ? IMAGES.length - 1 : IMAGES.length);
        t.strictSame(
            list.list,
            plain.map((image) => {
                const share = shares[String(image['uuid'])];
                return share === undefined ? image : { ...image, share };
            }),
        );
        for (const image of list.list) {
            const one = await caller.get(`/images/${String(image['uuid'])}?${query}`);
            t.strictSame(one.document, image, 'the same alone');
            expectTagOfForm(t, one);
        }
        const both = await caller.get(`/images/${VADERS}?account=${luke}&inclShareInfo=true`, accept('~2.1'));
        t.equal(Object.keys(both.document).at(-1), 'share');
        const emperors = await caller.get(`/images/${PLAIN}?account=${emperor}&inclShareInfo=true`);
        t.strictSame(
            emperors.document['share'],
            { shared: true, owner: vader, trusted: false },
            'trusts nobody',
        );
        const operator = await caller.get('/images?inclShareInfo=true&state=all');
        t.equal(operator.text, (await caller.get('/images?state=all')).text, 'without account: nothing');
    }
});

await t.test('a list of trusted accounts that cannot be read', async (t) => {
    writeFileSync(join(server.baseDir, 'sharing', `${emperor}.json`), '{"trusted');
    const down = { status: 503, code: 'ServiceUnavailableError', message: 'service unavailable' };
    const query = `account=${emperor}&inclShareInfo=true`;
    for (const path of [`/images/${PLAIN}?${query}`, `/images?${query}`]) {
        const answer = await client.get(path);
        expectError(t, answer, down, path);
        t.equal(answer.header('retry-after'), '5');
    }
    const own = await client.get(`/images/${EMPERORS}?${query}`);
    t.equal(own.status, 200, 'not needed for an image that is not shared');
    t.equal((await client.get(`/images?account=${emperor}`)).status, 200, 'nor by who does not ask');
});
