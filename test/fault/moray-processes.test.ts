// Two server processes that share one Moray: what one acknowledges, the other has (backends 14, 17).
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { startDatacenter, type Datacenter } from '../helpers/datacenter.js';
import { HttpClient, type Answer } from '../helpers/http-client.js';
import {
    createImage,
    gzipFile,
    manifest,
    publishImage,
    rawRecord,
    sha1Hex,
    USERS,
} from '../helpers/images.js';
import { expectError, notFound } from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';
import { AnswerGate } from './answer-gate.js';

t.setTimeout(600_000);
const BUCKET = 'imgapi_images';
const { vader } = USERS;
const CHANNELS = [
    { name: 'dev', description: '', default: true },
    { name: 'release', description: '' },
];

interface Pair extends Datacenter {
    readonly a: HttpClient;
    readonly b: HttpClient;
}

/** Two processes of a datacenter on a Moray at this port. */
async function startPair(
    test: Test,
    port: number,
    config: Readonly<Record<string, unknown>> = {},
): Promise<Pair> {
    const started = await startDatacenter(test, {
        processes: 2,
        images: [],
        config,
        moray: {
            host: '127.0.0.1',
            port,
            put: () => Promise.resolve(),
            read: () => Promise.resolve(undefined),
        },
    });
    const [a, b] = started.servers.map((server) => new HttpClient(server.port));
    if (a === undefined || b === undefined) throw new Error('two servers were asked for');
    return { ...started, a, b };
}

const moray = await MorayDouble.start();
t.teardown(() => moray.stop());
const shared = await startPair(t, moray.port);
const { a, b } = shared;
await bucketOf(shared);
const both = [a, b] as const;
const turn = (index: number): HttpClient => (index % 2 === 0 ? a : b);
const statuses = (answers: readonly Answer[]): number[] => answers.map(({ status }) => status).sort();

/** Stores records behind the servers' backs. */
async function plant(double: MorayDouble, records: readonly Record<string, unknown>[]): Promise<void> {
    for (const record of records) await double.putRaw(BUCKET, String(record['uuid']), record);
}

/** Waits until a pair has made its bucket. */
async function bucketOf(pair: Pair): Promise<void> {
    await eventually('the bucket', 10_000, async () => (await pair.a.get('/images')).status === 200);
}

/** Takes images out again, so that the lists of the next test are its own. */
async function removeAll(client: HttpClient, query = ''): Promise<void> {
    for (;;) {
        const { uuids } = await client.get(`/images?state=all${query}`);
        if (uuids.length === 0) return;
        await Promise.all(uuids.map((uuid) => client.delete(`/images/${uuid}?force_all_channels=true`)));
    }
}

await t.test('100 accounts added at once through both processes are all there', async (test) => {
    const uuid = await createImage(a);
    const accounts = Array.from({ length: 100 }, () => randomUUID());
    const answers = await Promise.all(
        accounts.map((account, index) => turn(index).post(`/images/${uuid}/acl`, [account])),
    );
    test.same(new Set(statuses(answers)), new Set([200]));
    for (const client of both) {
        const acl = (await client.get(`/images/${uuid}`)).document['acl'] as string[];
        test.same([...acl].sort(), [...accounts].sort());
    }
    await removeAll(a);
});

await t.test('of two imports of one uuid at once, one succeeds', async (test) => {
    for (let round = 0; round < 20; round += 1) {
        for (const [first, second] of [
            [a, b],
            [b, b],
        ] as const) {
            const uuid = randomUUID();
            const path = `/images/${uuid}?action=import`;
            const answers = await Promise.all(
                [first, second].map((client, index) =>
                    client.post(path, manifest({ uuid, name: `import-${index}` })),
                ),
            );
            test.same(statuses(answers), [200, 409], `round ${round}`);
            const won = answers.find(({ status }) => status === 200);
            const lost = answers.find(({ status }) => status === 409);
            test.equal(lost?.error.code, 'ImageUuidAlreadyExists');
            test.equal(lost?.error.message, `image uuid "${uuid}" already exists`);
            for (const client of both) test.same((await client.get(`/images/${uuid}`)).text, won?.text);
        }
    }
    await removeAll(a);
});

await t.test('a change made by one process is seen by both at once, in images and in lists', async (test) => {
    const uuid = await publishImage(a, { public: true });
    for (let round = 0; round < 20; round += 1) {
        const writer = turn(round);
        const name = `name-${round}`;
        const changed = await writer.post(`/images/${uuid}?action=update`, { name });
        test.equal(changed.status, 200);
        const seen = await Promise.all(
            both.flatMap((client) => [
                client.get(`/images/${uuid}`).then(({ document }) => document),
                client.get(`/images?name=${name}`).then(({ list }) => list[0]),
                client.get(`/images?account=${vader}`).then(({ list }) => list[0]),
            ]),
        );
        for (const image of seen) test.same(image, changed.document);
    }
    await removeAll(b);
});

await t.test(
    'with listCacheTtlMs, only lists of the other process lag, and at most that long',
    async (test) => {
        const cached = await startPair(test, moray.port, { listCacheTtlMs: 2000 });
        const uuid = await publishImage(cached.a, { name: 'before' });
        const names = async (client: HttpClient): Promise<unknown[]> =>
            (await client.get('/images')).list.map((image) => image['name']);
        test.same(await names(cached.b), ['before']);
        test.same(await names(cached.a), ['before']);
        const changed = await cached.a.post(`/images/${uuid}?action=update`, { name: 'after' });
        const acknowledged = performance.now();
        test.equal(changed.status, 200);
        test.same(await names(cached.a), ['after'], 'the process that wrote');
        test.same((await cached.b.get(`/images/${uuid}`)).document, changed.document, 'one image');
        test.same((await cached.b.get('/images?name=after')).uuids, [uuid], 'a list not asked for before');
        let asked = performance.now();
        await eventually('the list of the other process', 5000, async () => {
            const now = performance.now();
            const [name] = await names(cached.b);
            if (name === 'after') return true;
            asked = now;
            return false;
        });
        // The last old list was asked for before the time was over.
        test.ok(asked - acknowledged < 2000, `${asked - acknowledged} ms`);
        await removeAll(a);
    },
);

for (const listCacheTtlMs of [0, 2000]) {
    await t.test(
        `a slow list that began before a write hides it from no later one (${listCacheTtlMs})`,
        async (test) => {
            const gate = await AnswerGate.start(moray.port);
            test.teardown(() => gate.stop());
            const slow = await startPair(test, gate.port, { listCacheTtlMs });
            const uuid = await publishImage(a, { name: 'slow' });
            // Lists of other processes may lag with a cache.
            for (const writer of listCacheTtlMs === 0 ? [slow.a, b] : [slow.a]) {
                const name = `new-${randomUUID()}`;
                gate.hold('findObjects');
                const early = slow.a.get('/images');
                await gate.answered(1);
                const written = await writer.post(`/images/${uuid}?action=update`, { name });
                test.equal(written.status, 200);
                const late = slow.a.get('/images');
                await gate.answered(2);
                gate.release();
                test.equal((await early).status, 200);
                test.same((await late).list, [written.document], 'asked for while the first was on its way');
                test.same((await slow.a.get('/images')).list, [written.document], 'asked for later');
            }
            await removeAll(a);
        },
    );
}

await t.test('2500 images page the same way through both processes, in both directions', async (test) => {
    const double = await MorayDouble.start();
    test.teardown(() => double.stop());
    const pair = await startPair(test, double.port);
    await bucketOf(pair);
    const same = '2014-05-06T07:08:09';
    const dates = Array.from({ length: 2500 }, (_, index) => {
        if (index < 1200) return index % 2 === 0 ? `${same}Z` : `${same}.000Z`;
        if (index < 1300) return undefined;
        const time = new Date(Date.parse(`${same}Z`) + (index - 1900) * 1000).toISOString();
        return index % 2 === 0 ? time : time.replace('.000Z', 'Z');
    });
    const records = dates.map((date) =>
        rawRecord({
            uuid: randomUUID(),
            name: 'paged',
            owner: vader,
            activated: date !== undefined,
            ...(date === undefined ? {} : { published_at: date }),
            file: Buffer.from('x'),
        }),
    );
    await plant(double, records);
    const time = ({ published_at: date }: Record<string, unknown>): number =>
        typeof date === 'string' ? Date.parse(date) : 0;
    const ordered = [...records]
        .sort((x, y) => time(x) - time(y) || (String(x['uuid']) < String(y['uuid']) ? -1 : 1))
        .map((record) => String(record['uuid']));
    for (const [order, expected] of [
        ['asc', ordered],
        ['desc', [...ordered].reverse()],
    ] as const) {
        const found: string[] = [];
        for (let page = 0; ; page += 1) {
            const marker = found.at(-1);
            const path = `/images?state=all&sort=published_at.${order}${marker === undefined ? '' : `&marker=${marker}`}`;
            const [one, other] = await Promise.all(
                [pair.a, pair.b].map((client) => client.get(`${path}&limit=1000`)),
            );
            test.ok(one?.body.equals(other?.body ?? Buffer.alloc(0)), 'both processes say the same');
            const uuids = one?.uuids ?? [];
            if (marker !== undefined) test.equal(uuids[0], marker, 'the marker is the first of its page');
            found.push(...uuids.slice(marker === undefined ? 0 : 1));
            if (uuids.length < 1000) break;
        }
        test.strictSame(found, expected, order);
    }
    test.strictSame(
        (await pair.a.get('/images?state=all&sort=published_at.desc&limit=2')).uuids,
        ordered.slice(-2).reverse(),
    );
});

await t.test('lists of a channel have full pages', async (test) => {
    const double = await MorayDouble.start();
    test.teardown(() => double.stop());
    const pair = await startPair(test, double.port, { channels: CHANNELS });
    await bucketOf(pair);
    const records = Array.from({ length: 300 }, (_, index) =>
        rawRecord({
            uuid: randomUUID(),
            name: 'in a channel',
            activated: true,
            published_at: new Date(1_400_000_000_000 + index).toISOString(),
            file: Buffer.from('x'),
            more: { channels: index % 10 === 0 ? ['release'] : ['dev'] },
        }),
    );
    await plant(double, records);
    const expected = records.filter((_, index) => index % 10 === 0).map(({ uuid }) => String(uuid));
    for (const client of [pair.a, pair.b]) {
        test.strictSame((await client.get('/images?channel=release&limit=20')).uuids, expected.slice(0, 20));
        test.strictSame((await client.get('/images?channel=release')).uuids, expected);
        const next = await client.get(`/images?channel=release&limit=20&marker=${expected[19]}`);
        test.strictSame(next.uuids, expected.slice(19));
        test.equal((await client.get('/images?limit=200')).list.length, 200);
    }
});

await t.test('tags of any characters, and the billing tag NULL', async (test) => {
    const odd = '(a*b)\\c=d %_';
    const billing = ['NULL', odd, '100%'];
    const uuid = await createImage(a, { tags: { [odd]: odd, plain: 1 }, billing_tags: billing });
    await createImage(a, {
        tags: { [`${odd}x`]: odd, '100x': 'y' },
        billing_tags: ['null-like', '100x', 'a%b'],
    });
    const lists = (query: string): Promise<string[]> =>
        b.get(`/images?state=all&${query}`).then(({ uuids }) => uuids);
    const key = encodeURIComponent(odd);
    test.same(await lists(`tag.${key}=${key}`), [uuid]);
    test.same(await lists(`tag.${key}=`), [uuid]);
    test.same(await lists('tag.plain=1'), [uuid]);
    test.same(await lists('tag.plain='), [uuid]);
    test.same(await lists(`tag.${key}=other`), []);
    for (const tag of billing) test.same(await lists(`billing_tag=${encodeURIComponent(tag)}`), [uuid], tag);
    test.same(await lists(`billing_tag=NULL&billing_tag=${key}`), [uuid]);
    test.same((await b.get(`/images/${uuid}`)).document['billing_tags'], billing);
    const updated = await b.post(`/images/${uuid}?action=update`, { description: 'still fine' });
    test.same(updated.document['billing_tags'], billing);
    test.same(await lists('billing_tag=NULL'), [uuid]);
    await removeAll(a);
});

await t.test('an origin deleted while a dependent is made never leaves the dependent alone', async (test) => {
    const outcomes = new Set<string>();
    for (let round = 0; round < 30; round += 1) {
        const origin = await createImage(turn(round));
        const [made, gone] = await Promise.all([
            b.post('/images', manifest({ origin })),
            a.delete(`/images/${origin}`),
        ]);
        const exists = (await b.get(`/images/${origin}`)).status === 200;
        outcomes.add(`${made.status} ${gone.status}`);
        if (made.status === 200) {
            test.ok(exists, 'a dependent has its origin');
            test.equal(gone.error.code, 'ImageHasDependentImages');
        } else {
            test.equal(made.error.code, 'OriginDoesNotExist');
        }
        test.equal(exists, gone.status !== 204);
    }
    test.comment([...outcomes].join(', '));
    await removeAll(a);
    await removeAll(a);
});

await t.test(
    'files uploaded at once through both processes: the record is that of the bytes',
    async (test) => {
        for (let round = 0; round < 20; round += 1) {
            const uuid = await createImage(a);
            const files = ['one', 'two'].map((word) =>
                gzipFile(`${word} ${round} ${'x'.repeat(round * 1000)}`),
            );
            const answers = await Promise.all(
                files.map((file, index) => turn(index).put(`/images/${uuid}/file?compression=gzip`, file)),
            );
            test.same(statuses(answers), [200, 200]);
            for (const client of both) {
                const [file] = (await client.get(`/images/${uuid}`)).document['files'] as { sha1: string }[];
                const bytes = await client.get(`/images/${uuid}/file`);
                test.equal(bytes.status, 200, bytes.status === 200 ? '' : bytes.text);
                test.equal(sha1Hex(bytes.body), file?.sha1, `round ${round}`);
            }
        }
        await removeAll(a);
    },
);

await t.test(
    'Moray away at the start: 503, and service as soon as it is there, with its bucket',
    async (test) => {
        const late = await MorayDouble.start();
        await late.stop();
        const pair = await startPair(test, late.port);
        test.teardown(() => late.stop());
        const uuid = randomUUID();
        for (const client of [pair.a, pair.b]) {
            const answers = await Promise.all([
                client.get(`/images/${uuid}`),
                client.get('/images'),
                client.post('/images', manifest()),
                client.post(`/images/${uuid}?action=import`, manifest({ uuid })),
                client.delete(`/images/${uuid}`),
            ]);
            for (const answer of answers) {
                expectError(
                    test,
                    answer,
                    { status: 503, code: 'ServiceUnavailableError', message: 'service unavailable' },
                    '503',
                );
                test.equal(answer.header('retry-after'), '5');
            }
            test.equal((await client.get('/ping')).status, 200);
        }
        await late.restart();
        for (const client of [pair.a, pair.b]) {
            await eventually('service', 30_000, async () => (await client.get('/images')).status === 200);
            expectError(
                test,
                await client.get(`/images/${uuid}`),
                notFound(`image ${uuid} not found`),
                'absent',
            );
        }
        const created = await createImage(pair.a);
        test.equal((await pair.b.get(`/images/${created}`)).status, 200);
        test.equal((await late.rows(BUCKET)).length, 1);
    },
);
