// CloneImage with two processes on one Moray: races with the other one, a Moray that fails, and kills
// (jobs-and-imports 4, backends 15).
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import type { Answer, Document, HttpClient } from '../helpers/http-client.js';
import { sha1Hex, USERS } from '../helpers/images.js';
import { type Chain, ClonePlace, type Peer } from '../helpers/moray-clones.js';
import { expectError } from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';

t.setTimeout(600_000);
const { luke } = USERS;
const moray = await MorayDouble.start();
t.teardown(() => moray.stop());
const place = await ClonePlace.make(t, moray);
const a = await place.start();
const b = await place.start();
/** The server that runs background tasks, which is the one started first, and the one that does not. */
let [holder, other] = [a, b];

/** Calls of Moray that a clone of three images on a base takes. */
const CALLS = 13;
const UNAVAILABLE = {
    status: 503,
    code: 'ServiceUnavailableError',
    message: 'service unavailable',
} as const;

function clone({ client }: Peer, uuid: string, more = ''): Promise<Answer> {
    return client.post(`/images/${uuid}/clone?account=${luke}${more}`);
}

/** What luke has is one clone of a chain: each image but the last disabled, with the bytes of its original. */
async function expectWhole(test: Test, { uuids }: Chain, answer: Answer, why: string): Promise<void> {
    const [made = [], ...others] = await place.lukesChains();
    const wanted = [...uuids].reverse();
    test.strictSame(
        [made.map(({ state }) => state), made[0]?.['uuid'], others.length],
        [wanted.map((_, index) => (index === 0 ? 'active' : 'disabled')), answer.document['uuid'], 0],
        why,
    );
    const sources = made.map(({ x_imgapi: own }) => (own as Document)['provenance'] as Document);
    test.strictSame(
        sources.map(({ source_image: source }) => source),
        wanted,
        `${why}: made from these`,
    );
    for (const { uuid, files } of made) {
        const [file] = files as readonly Document[];
        const { body } = await b.client.get(`/images/${String(uuid)}/file`);
        test.equal(sha1Hex(body), file?.['sha1'], `${why}: its bytes`);
    }
}

type Meddling = (client: HttpClient, chain: Chain) => Promise<unknown>;

/** Deletes what is there of these, in order. */
async function deleteEach(client: HttpClient, uuids: Iterable<string>): Promise<void> {
    for (const uuid of uuids) await client.delete(`/images/${uuid}`);
}

/** What the other process is told to do meanwhile, and what may be answered instead of a clone. */
const MEDDLINGS: readonly (readonly [name: string, meddle: Meddling, answers: readonly string[]])[] = [
    ['deletes the image', (client, { top }) => deleteEach(client, [top]), ['image TOP not found']],
    [
        'deletes all from top to base',
        (client, { base, uuids }) => deleteEach(client, [...[...uuids].reverse(), base]),
        ['image TOP not found', 'image ANY not found', 'origin image "ANY" does not exist'],
    ],
    [
        'deletes an ancestor',
        (client, { base, uuids }) => deleteEach(client, [...uuids.slice(0, -1), base]),
        [],
    ],
    [
        'ends the sharing',
        (client, { top }) => client.post(`/images/${top}/acl?action=remove`, [luke]),
        ['image not found'],
    ],
    ['shares with others', (client, { top }) => client.post(`/images/${top}/acl`, [randomUUID()]), []],
    [
        'disables it',
        (client, { top }) => client.post(`/images/${top}?action=disable`),
        ['image is not active'],
    ],
    [
        'changes all',
        (client, { uuids }) =>
            Promise.all(
                uuids.map((uuid) => client.post(`/images/${uuid}?action=update`, { description: 'new' })),
            ),
        [],
    ],
];

for (const [name, meddle, refusals] of MEDDLINGS) {
    await t.test(`the other process ${name}`, async (test) => {
        let made = 0;
        // What cannot stop a clone is tried at fewer moments.
        for (let round = 0; round < CALLS; round += refusals.length === 0 ? 4 : 1) {
            const chain = await place.plantChain(3);
            // Each round it begins one call of the clone later.
            const begun = new Promise<void>((resolve) => moray.atCall(round + 1, resolve));
            const [answer] = await Promise.all([
                clone(a, chain.top, round % 2 === 0 ? '' : '&unshare=true'),
                begun.then(() => meddle(b.client, chain)),
            ]);
            if (answer.status === 200) {
                made += 1;
                await expectWhole(test, chain, answer, `round ${round}`);
            } else {
                const message = answer.error.message
                    .replace(chain.top, 'TOP')
                    .replace(/[0-9a-f]{8}-[-0-9a-f]{27}/, 'ANY');
                test.ok(refusals.includes(message), `round ${round}: ${answer.status} ${message}`);
                test.strictSame(await place.lukesChains(), [], `round ${round}: nothing is made`);
            }
            test.strictSame(await place.flaws(), [], `round ${round}: no origin and no file is missing`);
            await place.removeLukes(b.client);
            const left = await place.records();
            await place.remove(
                b.client,
                [...chain.uuids, chain.base].filter((uuid) => left.has(uuid)).sort(byDepth(left)),
            );
        }
        test.ok(made > 0, `${made} were made`);
        await expectNothing(test);
    });
}

async function expectNothing(test: Test): Promise<void> {
    test.strictSame(await place.inventory(), { records: {}, files: [], intents: [], deletes: [] });
}

/** Those made on others first. */
function byDepth(records: ReadonlyMap<string, Document>): (x: string, y: string) => number {
    const depth = (uuid: string): number => {
        const origin = records.get(uuid)?.['origin'];
        return typeof origin === 'string' ? 1 + depth(origin) : 0;
    };
    return (x, y) => depth(y) - depth(x);
}

await t.test('the owner of the clones deletes them as they appear', async (test) => {
    for (let round = 0; round < 10; round += 1) {
        const chain = await place.plantChain(3);
        let isOver = false;
        const deleting = (async () => {
            while (!isOver) {
                const { uuids } = await b.client.get(`/images?owner=${luke}&state=all`);
                await deleteEach(b.client, uuids);
            }
        })();
        const answer = await clone(a, chain.top);
        isOver = true;
        await deleting;
        if (answer.status !== 200) {
            test.ok([404, 422].includes(answer.status), `round ${round}: ${answer.status} ${answer.text}`);
            test.strictSame(await place.lukesChains(), [], `round ${round}: nothing stays`);
        }
        test.strictSame(await place.flaws(), [], `round ${round}`);
        await place.removeLukes(a.client);
        await place.remove(a.client, [...[...chain.uuids].reverse(), chain.base]);
    }
    await expectNothing(test);
});

await t.test('an origin deleted while a clone of an image on it is stored', async (test) => {
    const { base, top } = await place.plantChain(1);
    const puts = moray.pauseMethod('putObject');
    const cloning = clone(a, top);
    await puts.arrived();
    await place.remove(b.client, [top, base]);
    puts.resume();
    expectError(
        test,
        await cloning,
        {
            status: 422,
            code: 'OriginDoesNotExist',
            message: `origin image "${base}" does not exist`,
        },
        'the clone',
    );
    await expectNothing(test);
});

await t.test('a clone stored while its origin is deleted', async (test) => {
    const { base, top } = await place.plantChain(1);
    const puts = moray.pauseMethod('putObject');
    const cloning = clone(a, top);
    await puts.arrived();
    await place.remove(b.client, [top]);
    const deletions = moray.pauseMethod('delObject');
    const deleting = b.client.delete(`/images/${base}`);
    await deletions.arrived();
    puts.resume();
    const made = String((await cloning).document['uuid']);
    deletions.resume();
    expectError(
        test,
        await deleting,
        {
            status: 422,
            code: 'ImageHasDependentImages',
            message: `image "${base}" has 1 dependent incremental image(s): ${made}`,
        },
        'the deletion',
    );
    test.strictSame(await place.flaws(), [], 'the origin is back');
    await place.remove(b.client, [made, base]);
});

await t.test('unshare and a new account at once', async (test) => {
    const { base, top } = await place.plantChain(1);
    for (let round = 0; round < 20; round += 1) {
        const other = randomUUID();
        await a.client.post(`/images/${top}?action=update`, { acl: [luke] });
        const answers = await Promise.all([
            clone(a, top, '&unshare=true'),
            b.client.post(`/images/${top}/acl`, [other]),
        ]);
        test.strictSame(
            answers.map(({ status }) => status),
            [200, 200],
        );
        test.strictSame((await b.client.get(`/images/${top}`)).document['acl'], [other], `round ${round}`);
    }
    await place.removeLukes(a.client);
    await place.remove(a.client, [top, base]);
});

await t.test('two clones of one image at once', async (test) => {
    const chain = await place.plantChain(3);
    const answers = await Promise.all([clone(a, chain.top), clone(b, chain.top)]);
    const sets = await place.lukesChains();
    const uuids = sets.map((set) => set.map(({ uuid }) => String(uuid)));
    test.strictSame(
        [...uuids.map(([last]) => last)].sort(),
        answers.map(({ document }) => String(document['uuid'])).sort(),
    );
    test.strictSame([uuids.map((set) => set.length), new Set(uuids.flat()).size], [[3, 3], 6]);
    const [first = [], second = []] = uuids;
    const bytes = chain.uuids.map((uuid) => place.bytes(uuid)).reverse();
    await place.remove(a.client, [...first, ...[...chain.uuids].reverse()]);
    for (const [index, uuid] of second.entries()) {
        const { status, body } = await a.client.get(`/images/${uuid}/file`);
        test.equal(status, 200);
        test.same(body, bytes[index], 'the other copy is its own');
    }
    await place.remove(b.client, [...second, chain.base]);
});

await t.test('calls of Moray', async (test) => {
    const { base, uuids, top } = await place.plantChain(3);
    const single = await place.plant({ more: { acl: [luke] } });
    const count = async (request: () => Promise<Answer>): Promise<object> => {
        moray.resetRpcCounts();
        const { status, text } = await request();
        test.ok(status < 300, text);
        return moray.rpcCounts;
    };
    test.strictSame(
        await count(() => clone(a, single)),
        { getObject: 1, putObject: 2, total: 3 },
        'one image: read, stored, activated',
    );
    test.strictSame(
        await count(() => clone(a, single, '&unshare=true')),
        { getObject: 1, putObject: 3, total: 4 },
        'unshare: one more',
    );
    test.strictSame(
        await count(() => clone(b, top)),
        { getObject: 7, putObject: 6, total: CALLS },
        'three on a base: one reading for each of four, one of the origin of each clone',
    );
    await place.removeLukes(a.client);
    test.strictSame(
        await count(() => b.client.delete(`/images/${single}`)),
        { getObject: 2, findObjects: 2, delObject: 1, total: 5 },
        'deletion: read, dependents before and after, the record once more before the bytes go',
    );
    await place.remove(a.client, [...[...uuids].reverse(), base]);
});

/** What goes wrong from one call of Moray on, and what ends it. */
const FAULTS: readonly (readonly [name: string, begin: () => void, end: () => Promise<void>])[] = [
    ['breaks off before', () => moray.breakOff(undefined, 1, 'before'), () => Promise.resolve()],
    ['breaks off after', () => moray.breakOff(undefined, 1, 'after'), () => Promise.resolve()],
    ['refuses', () => moray.refuse('NoDatabasePeersError', 1), () => Promise.resolve()],
    [
        'loses its database',
        () => moray.loseDatabase(),
        () => {
            moray.restoreDatabase();
            return Promise.resolve();
        },
    ],
];

await t.test('Moray fails at each call of a clone', async (test) => {
    const chain = await place.plantChain(3);
    const before = await place.inventory();
    for (const [name, begin, end] of FAULTS) {
        let made = 0;
        for (let call = 1; call <= CALLS; call += 1) {
            const why = `${name} at call ${call}`;
            await Promise.all([place.ready(a), place.ready(b)]);
            moray.atCall(call, begin);
            const answer = await clone(a, chain.top);
            moray.atCall(0, () => undefined);
            await end();
            if (answer.status === 200) {
                made += 1;
                const uuids = [String(answer.document['uuid'])];
                const records = await place.records();
                while (uuids.length < 3) uuids.push(String(records.get(uuids.at(-1) ?? '')?.['origin']));
                await place.ready(b);
                await place.remove(b.client, uuids);
            } else {
                expectError(test, answer, UNAVAILABLE, why);
                test.equal(answer.header('retry-after'), '5');
            }
            test.strictSame(await place.flaws(), [], why);
        }
        test.comment(`${name}: ${made} of ${CALLS} were made all the same`);
    }
    await afterRecovery(async () => {
        await holder.server.stop();
    });
    test.strictSame(await place.inventory(), before, 'nothing is left of what failed');
    await place.remove(other.client, [...[...chain.uuids].reverse(), chain.base]);
});

/** Ends the holder of the lock; when the other one has taken it over and settled what was left, starts one more. */
async function afterRecovery(endHolder: () => Promise<unknown>): Promise<void> {
    await endHolder();
    [holder, other] = [other, holder];
    await holder.server.waitForLog(({ msg }) => msg.startsWith('lock taken over'), 30_000);
    await eventually('the recovery', 20_000, () => place.names('run/clones').length === 0);
    await eventually('the deletions', 20_000, () => place.names('run/deletes').length === 0);
    other = await place.start();
}

await t.test('Moray goes away at some calls of a clone', async (test) => {
    const chain = await place.plantChain(3);
    const before = await place.inventory();
    for (const call of [2, 5, 7, 9, 13]) {
        moray.atCall(call, () => void moray.stop());
        const answer = await clone(holder, chain.top);
        await moray.stop();
        expectError(test, answer, UNAVAILABLE, `call ${call}`);
        await moray.restart();
        await Promise.all([place.ready(holder), place.ready(other)]);
        test.strictSame(await place.flaws(), [], `call ${call}`);
    }
    test.not(place.names('run/clones').length, 0, 'something is left to be done');
    await afterRecovery(() => holder.server.stop());
    // What was activated although nobody heard of it is whole, and stays.
    for (const { length } of await place.lukesChains()) test.equal(length, 3);
    await place.removeLukes(holder.client);
    test.strictSame(await place.inventory(), before);
    await place.remove(holder.client, [...[...chain.uuids].reverse(), chain.base]);
});

await t.test('Moray does not answer one call', async (test) => {
    const { base, top } = await place.plantChain(1);
    const before = await place.inventory();
    const puts = moray.pauseMethod('putObject');
    const cloning = clone(holder, top);
    await puts.arrived();
    const answer = await cloning;
    expectError(test, answer, UNAVAILABLE, 'given up');
    puts.resume();
    // It is done after all, by a Moray that was only slow.
    await eventually('the late record', 5000, async () => (await place.records()).size === 3);
    await afterRecovery(() => holder.server.stop());
    test.strictSame(await place.inventory(), before, 'it was not forgotten');
    await place.remove(holder.client, [top, base]);
});

await t.test('the server is killed between two calls of Moray', async (test) => {
    const chain = await place.plantChain(3);
    const before = await place.inventory();
    for (const call of [6, 9, 12, 13]) {
        const { client, server } = holder;
        const killed = new Promise<void>((resolve) => {
            moray.atCall(call, () => {
                server.signal('SIGKILL');
                resolve();
            });
        });
        client.post(`/images/${chain.top}/clone?account=${luke}`).catch(() => undefined);
        await killed;
        await afterRecovery(() => server.kill());
        // The last call activates the last one: then all is done.
        const [made] = await place.lukesChains();
        if (call === CALLS && made !== undefined) test.equal(made.length, 3, 'all or nothing');
        else test.equal(made, undefined, `nothing is left after call ${call}`);
        await place.removeLukes(holder.client);
        test.strictSame(await place.inventory(), before, `killed at call ${call}`);
    }
    await place.remove(holder.client, [...[...chain.uuids].reverse(), chain.base]);
    await expectNothing(test);
});
