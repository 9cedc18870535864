// An account sees an image through another one that is based on it (jobs-and-imports 8.1 #2): how far
// the way is followed, and what it costs. The answers are tested in test/http/via.test.ts.
import t, { type Test } from 'tap';
import { serviceUnavailable } from '#lib/base/errors.js';
import { newUuid } from '#lib/base/uuid.js';
import type { Database } from '#lib/database/database.js';
import { loadImage } from '#lib/images/load.js';
import { type Bench, CHANNELS, makeBench, onEveryBackend, refusal, refused } from '../helpers/image-bench.js';
import { plantImage } from '../helpers/planted-images.js';
import { UNKNOWN, USERS } from '../helpers/images.js';

const { luke, emperor } = USERS;
const HIDDEN = refused(404, 'ResourceNotFound', 'image not found');

type Facts = Readonly<Record<string, unknown>>;

/** Plants images each based on the next, the last one on `origin`; `uuids[0]` is shared with luke. */
async function plantChain(
    bench: Bench,
    length: number,
    origin?: string,
    more: Facts = {},
): Promise<string[]> {
    const uuids = Array.from({ length }, newUuid);
    for (const [index, uuid] of uuids.entries()) {
        const next = uuids[index + 1] ?? origin;
        const facts = { uuid, ...(next === undefined ? {} : { origin: next }), ...more };
        await plantImage(bench, { active: true, more: { ...facts, acl: index === 0 ? [luke] : [] } });
    }
    return uuids;
}

/** A bench that counts single reads of records; those behind `reads.limit` fail. */
async function countingBench(
    test: Test,
): Promise<{ readonly bench: Bench; readonly reads: { count: number; limit: number } }> {
    const reads = { count: 0, limit: Infinity };
    const wrapDatabase = (database: Database): Database =>
        new Proxy(database, {
            get: (target, name) => {
                if (name === 'get') {
                    return async (uuid: string) => {
                        reads.count += 1;
                        if (reads.count > reads.limit) throw serviceUnavailable('service unavailable', 5);
                        return target.get(uuid);
                    };
                }
                const value: unknown = Reflect.get(target, name);
                return typeof value === 'function' ? (value.bind(target) as unknown) : value;
            },
        });
    return { bench: await makeBench(test, { wrapDatabase }), reads };
}

onEveryBackend(t, 'every ancestor, and nothing else', async (t, backend) => {
    const bench = await makeBench(t, { backend });
    const [shared = '', parent = '', oldest = ''] = await plantChain(bench, 3);
    const [other = ''] = await plantChain(bench, 1);
    const load = (uuid: string, via?: string, account: string = luke) =>
        loadImage(bench.services, bench.context({ account }), uuid, via);
    for (const uuid of [parent, oldest]) {
        t.equal((await load(uuid, shared)).raw.uuid, uuid);
        t.same(await refusal(load(uuid)), HIDDEN, 'without it');
        t.same(await refusal(load(uuid, shared, emperor)), HIDDEN, 'an account that does not see it');
        t.same(await refusal(load(uuid, other)), HIDDEN, 'another image that the account sees');
        t.same(await refusal(load(uuid, uuid)), HIDDEN, 'itself');
        t.same(await refusal(load(uuid, UNKNOWN)), HIDDEN, 'one that does not exist');
    }
    t.same(await refusal(load(oldest, parent)), HIDDEN, 'one that the account does not see itself');
    t.same(await refusal(load(UNKNOWN, shared)).then(({ message }) => message), `image ${UNKNOWN} not found`);
    t.equal((await load(shared, UNKNOWN)).raw.uuid, shared, 'what is visible anyway');
});

void t.test('100 steps, one read each', async (t) => {
    const { bench, reads } = await countingBench(t);
    const uuids = await plantChain(bench, 103);
    const [shared = ''] = uuids;
    const load = (distance: number) =>
        loadImage(bench.services, bench.context({ account: luke }), uuids[distance] ?? '', shared);
    const cost = async (run: () => Promise<unknown>): Promise<number> => {
        reads.count = 0;
        await run();
        return reads.count;
    };
    t.equal(await cost(() => load(0)), 1, 'what is visible anyway costs nothing more');
    t.equal(await cost(() => load(1)), 2, 'the image and the one that is based on it');
    t.equal(await cost(() => load(2)), 3);
    t.equal(await cost(() => load(100)), 101);
    reads.count = 0;
    t.same(await refusal(load(101)), HIDDEN, 'too far away');
    t.equal(reads.count, 102, 'the way is not followed further');
    t.equal((await refusal(load(102))).status, 404);
});

void t.test('ways that do not end, and ways that do too early', async (t) => {
    const { bench, reads } = await countingBench(t);
    const target = await plantImage(bench, { active: true });
    const load = (via: string) => loadImage(bench.services, bench.context({ account: luke }), target, via);
    const self = newUuid();
    await plantImage(bench, { active: true, more: { uuid: self, origin: self, acl: [luke] } });
    const first = newUuid();
    const [circle = ''] = await plantChain(bench, 2, first, {});
    await plantImage(bench, { active: true, more: { uuid: first, origin: circle } });
    for (const via of [self, circle]) {
        reads.count = 0;
        t.same(await refusal(load(via)), HIDDEN);
        t.ok(reads.count <= 4, `${reads.count} reads`);
    }
    const [broken = ''] = await plantChain(bench, 2, UNKNOWN);
    t.same(await refusal(load(broken)), HIDDEN, 'an ancestor is gone');
});

void t.test('an unreachable database is not a missing image', async (t) => {
    const { bench, reads } = await countingBench(t);
    const [shared = '', parent = '', oldest = ''] = await plantChain(bench, 3);
    const load = (uuid: string) => loadImage(bench.services, bench.context({ account: luke }), uuid, shared);
    for (const [limit, uuid] of [
        [0, parent],
        [1, parent],
        [2, oldest],
    ] as const) {
        Object.assign(reads, { count: 0, limit });
        t.same(await refusal(load(uuid)), refused(503, 'ServiceUnavailableError', 'service unavailable'));
    }
});

void t.test('nothing more is read for a client that has gone', async (t) => {
    const { bench, reads } = await countingBench(t);
    const parent = await plantImage(bench, { active: true });
    const [shared = ''] = await plantChain(bench, 50, parent);
    const reason = new Error('gone');
    const context = bench.context({ account: luke, signal: AbortSignal.abort(reason) });
    reads.count = 0;
    await t.rejects(loadImage(bench.services, context, parent, shared), reason);
    t.equal(reads.count, 2, 'the two images named');
});

void t.test('channels', async (t) => {
    const bench = await makeBench(t, { config: { channels: CHANNELS } });
    const parent = await plantImage(bench, { active: true, more: { channels: ['dev'] } });
    const [shared = ''] = await plantChain(bench, 1, parent, { channels: ['release'] });
    const load = (channel?: string) =>
        loadImage(
            bench.services,
            bench.context({ account: luke, ...(channel ? { channel } : {}) }),
            parent,
            shared,
        );
    t.equal(
        (await load('dev')).raw.uuid,
        parent,
        'the image itself must be in the channel, the other one need not',
    );
    t.equal((await load()).raw.uuid, parent);
    t.same(await refusal(load('release')), HIDDEN);
});
