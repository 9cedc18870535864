// Lists kept for a moment (backends 14 C1-C6, 17 #6 and #7).
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { serviceUnavailable, storageIsDown } from '#lib/base/errors.js';
import { newUuid } from '#lib/base/uuid.js';
import { CachedLists } from '#lib/database/cached-lists.js';
import type { Database, StoredImage } from '#lib/database/database.js';
import { MemoryDatabase } from '#lib/database/memory/memory-database.js';
import type { Query } from '#lib/database/query.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { listImages } from '#lib/images/list-images.js';
import type { ListInput } from '#lib/images/list-input.js';
import type { RawImage } from '#lib/manifest/types.js';
import { makeBench, refusal } from '../helpers/image-bench.js';
import { UNKNOWN, USERS } from '../helpers/images.js';
import { plantImage } from '../helpers/planted-images.js';
import { configSource, record } from '../helpers/records.js';

const { vader, luke, emperor } = USERS;
const LIFESPAN = 2000;
const ALL: Query = { anyOf: [{}], order: 'asc', cacheFor: '' };

/** A database that counts its searches and can be held up. */
class WatchedDatabase extends MemoryDatabase {
    searches = 0;
    /** What a search that has found its records waits for before it answers. */
    held: Promise<void> | undefined;
    /** What a change that has been made waits for before it answers. */
    heldChange: Promise<void> | undefined;

    override async search(query: Query): Promise<readonly StoredImage[]> {
        this.searches += 1;
        const { held } = this;
        const found = await super.search(query);
        await held;
        return found;
    }

    override async create(raw: RawImage): Promise<StoredImage> {
        const created = await super.create(raw);
        await this.heldChange;
        return created;
    }
}

interface Cache {
    readonly database: WatchedDatabase;
    readonly lists: CachedLists;
    /** Milliseconds of the cache's clock. */
    readonly time: { now: number };
    setLifespan(milliseconds: number): void;
    names(query?: Query): Promise<readonly string[]>;
}

async function makeCache(records: readonly RawImage[] = []): Promise<Cache> {
    const database = new WatchedDatabase();
    const config = configSource({ listCacheTtlMs: LIFESPAN });
    const time = { now: 0 };
    const lists = new CachedLists({ database, config, now: () => time.now });
    await lists.setup();
    for (const raw of records) await database.create(raw);
    return {
        database,
        lists,
        time,
        setLifespan: (listCacheTtlMs) => {
            config.current = { ...config.current, listCacheTtlMs };
        },
        names: async (query = ALL) => (await lists.search(query)).map(({ raw }) => raw.name).sort(),
    };
}

/** A promise and how to settle it. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
    let open = (): void => undefined;
    const passed = new Promise<void>((resolve) => (open = resolve));
    return { passed, open };
}

/** How often the cache was asked, and to what end. */
function counts({ lists }: Cache): readonly [hits: number, misses: number] {
    return [
        lists.requests.get({ cache: 'lists', result: 'hit' }),
        lists.requests.get({ cache: 'lists', result: 'miss' }),
    ];
}

void t.test('a list is kept for its time and no longer', async (t) => {
    const cache = await makeCache([record({ name: 'a' })]);
    t.same(await cache.names(), ['a']);
    await cache.database.create(record({ name: 'b' }));
    cache.time.now = LIFESPAN - 1;
    t.same(await cache.names(), ['a'], 'what another process did is not seen yet');
    cache.time.now = LIFESPAN;
    t.same(await cache.names(), ['a', 'b']);
    t.same(counts(cache), [1, 2]);
    t.equal(cache.lists.size.lists, 1, 'the old list is gone');

    cache.setLifespan(100);
    await cache.database.create(record({ name: 'c' }));
    cache.time.now += 99;
    t.equal((await cache.names()).length, 2);
    cache.time.now += 1;
    t.equal((await cache.names()).length, 3, 'a shorter time counts for lists kept already');
    cache.setLifespan(0);
    await cache.database.create(record({ name: 'd' }));
    t.equal((await cache.names()).length, 4, 'with 0 nothing is kept');
    t.same(cache.lists.size, { lists: 0, images: 0 });
    const before = counts(cache);
    await cache.names();
    t.same(counts(cache), before, 'nor counted');
});

void t.test('its time runs from the start of the search', async (t) => {
    const cache = await makeCache([record({ name: 'a' })]);
    const slow = gate();
    cache.database.held = slow.passed;
    const first = cache.names();
    cache.time.now = LIFESPAN - 1;
    slow.open();
    t.same(await first, ['a']);
    cache.database.held = undefined;
    await cache.names();
    t.equal(cache.database.searches, 1);
    cache.time.now = LIFESPAN;
    await cache.names();
    t.equal(cache.database.searches, 2);
});

void t.test('of two searches at once the one that began later is kept', async (t) => {
    const cache = await makeCache([record({ name: 'a' })]);
    const slow = gate();
    cache.database.held = slow.passed;
    const first = cache.names();
    cache.database.held = undefined;
    await cache.database.create(record({ name: 'b' }));
    cache.time.now = 10;
    t.equal((await cache.names()).length, 2);
    slow.open();
    t.same(await first, ['a']);
    t.equal((await cache.names()).length, 2);
    t.equal(cache.database.searches, 2);
});

void t.test('only what may be kept is, and by all it depends on', async (t) => {
    const cache = await makeCache([record({ name: 'a', acl: [luke] })]);
    const { anyOf, order } = ALL;
    for (let round = 0; round < 3; round += 1) await cache.lists.search({ anyOf, order });
    t.equal(cache.database.searches, 3, 'a search that does not say for whom it is always goes through');
    t.equal(cache.lists.size.lists, 0);
    const marker = { time: 0 };
    const queries: readonly Query[] = [
        ALL,
        { ...ALL, order: 'desc' },
        { ...ALL, limit: 1 },
        { ...ALL, limit: 2 },
        { ...ALL, marker },
        { ...ALL, marker: { ...marker, uuid: UNKNOWN } },
        { ...ALL, marker: { time: 1 } },
        { ...ALL, anyOf: [] },
        { ...ALL, anyOf: [{ owner: vader }] },
        { ...ALL, anyOf: [{ owner: luke }] },
        { ...ALL, anyOf: [{ owner: vader }, { acl: [luke] }] },
        { ...ALL, cacheFor: luke },
        { ...ALL, cacheFor: vader },
    ];
    cache.database.searches = 0;
    for (const query of queries) await cache.lists.search(query);
    t.equal(cache.database.searches, queries.length, 'none answers for another');
    for (const query of queries) await cache.lists.search({ ...query, signal: new AbortController().signal });
    t.equal(cache.database.searches, queries.length, 'each answers for itself');
    const aborted = AbortSignal.abort(new Error('gone'));
    await t.rejects(cache.lists.search({ ...ALL, signal: aborted }), { message: 'gone' });
});

type Write = readonly [name: string, write: (database: Database, uuid: string) => Promise<unknown>];

const WRITES: readonly Write[] = [
    ['create', (database) => database.create(record({ name: 'b' }))],
    ['update', (database, uuid) => database.update(uuid, (raw) => ({ ...raw, name: 'b' }))],
    ['del', (database, uuid) => database.del(uuid)],
    [
        'move',
        (database, uuid) => {
            const to = newUuid();
            return database.move(uuid, to, (raw) => ({ ...raw, uuid: to }));
        },
    ],
];

void t.test('after every change made here lists are read again', async (t) => {
    for (const [name, write] of WRITES) {
        const raw = record({ name: 'a' });
        const cache = await makeCache([raw]);
        const before = await cache.lists.search(ALL);
        await write(cache.lists, raw.uuid);
        const after = await cache.lists.search(ALL);
        t.notSame(after, before, name);
        t.same(after, await cache.database.search(ALL), name);
    }
});

void t.test('also after changes that failed, for they may have happened', async (t) => {
    for (const [name, write] of WRITES) {
        const raw = record({ name: 'a' });
        const cache = await makeCache([raw]);
        await cache.names();
        await cache.database.create(record({ name: 'behind our back' }));
        cache.database.failNext(name as 'create', storageIsDown());
        await t.rejects(write(cache.lists, raw.uuid), { code: 'StorageIsDown' }, name);
        t.equal((await cache.names()).length, 2, name);
    }
});

void t.test('a slow list that began before a change is not kept', async (t) => {
    for (const [name, write] of WRITES) {
        const raw = record({ name: 'a' });
        const cache = await makeCache([raw]);
        const slow = gate();
        cache.database.held = slow.passed;
        const old = cache.lists.search(ALL);
        cache.database.held = undefined;
        await write(cache.lists, raw.uuid);
        slow.open();
        t.equal((await old).length, 1, 'whoever asked before may see the old state');
        t.same(await cache.lists.search(ALL), await cache.database.search(ALL), name);
    }
});

void t.test('a list that began during a change is not kept beyond it', async (t) => {
    const cache = await makeCache();
    const slowSearch = gate();
    cache.database.held = slowSearch.passed;
    const slowChange = gate();
    cache.database.heldChange = slowChange.passed;
    const early = cache.names();
    const change = cache.lists.create(record({ name: 'b' }));
    const during = cache.names();
    slowSearch.open();
    t.same(await early, []);
    await during;
    slowChange.open();
    await change;
    cache.database.held = undefined;
    t.same(await cache.names(), ['b']);
});

void t.test('errors are not kept', async (t) => {
    const cache = await makeCache([record({ name: 'a' })]);
    cache.database.failNext('search', serviceUnavailable('service unavailable', 5));
    await t.rejects(cache.names(), { code: 'ServiceUnavailableError' });
    t.same(await cache.names(), ['a']);
    cache.database.failNext('search', serviceUnavailable('service unavailable', 5));
    cache.time.now = LIFESPAN;
    await t.rejects(
        cache.names(),
        { code: 'ServiceUnavailableError' },
        'nor does an old list stand in for one',
    );
});

void t.test('everything else goes straight through', async (t) => {
    const raw = record({ name: 'a' });
    const cache = await makeCache([raw]);
    const { lists, database } = cache;
    await lists.search(ALL);
    const stored = await database.update(raw.uuid, (old) => ({ ...old, name: 'changed elsewhere' }));
    t.equal(await lists.get(raw.uuid), stored, 'a single image is never old');
    t.equal(await lists.update(raw.uuid, () => undefined), stored);
    const judged: StoredImage[] = [];
    await lists.del(raw.uuid, { check: (image) => void judged.push(image), seen: stored });
    t.same(judged, [stored]);
    await t.rejects(lists.get(raw.uuid), { code: 'ResourceNotFound' });
    database.unreachable = true;
    await t.rejects(lists.ping(), { code: 'ServiceUnavailableError' });
    database.unreachable = false;
    await lists.ping();
    await lists.search(ALL);
    await lists.close();
    t.same(lists.size, { lists: 0, images: 0 });
});

void t.test('what is kept is bounded', async (t) => {
    const many = await makeCache();
    for (let index = 0; index < 1500; index += 1) {
        many.time.now += 1;
        await many.names({ ...ALL, anyOf: [{ name: String(index) }] });
    }
    t.same(many.lists.size, { lists: 1000, images: 0 });
    many.database.searches = 0;
    await many.names({ ...ALL, anyOf: [{ name: '1499' }] });
    await many.names({ ...ALL, anyOf: [{ name: '0' }] });
    t.equal(many.database.searches, 1, 'the oldest go first');
    many.time.now += LIFESPAN;
    await many.lists.search({ anyOf: [], order: 'asc' });
    t.equal(many.lists.size.lists, 0, 'what is too old does not stay');

    const large = await makeCache(Array.from({ length: 1001 }, () => record()));
    for (let limit = 980; limit <= 1001; limit += 1) {
        await large.names({ ...ALL, limit });
        t.ok(large.lists.size.images <= 20_000);
    }
    t.equal(large.lists.size.lists, 20);

    const long = await makeCache();
    await long.names({ ...ALL, anyOf: [{ name: 'x'.repeat(5000) }] });
    t.equal(long.lists.size.lists, 0, 'long questions are not kept');
});

void t.test('a list of more images than are kept', async (t) => {
    const cache = await makeCache(Array.from({ length: 20_001 }, () => record()));
    t.equal((await cache.names()).length, 20_001);
    t.same(cache.lists.size, { lists: 0, images: 0 });
});

// ---- through the use-cases

const EVERYTHING: ListInput = { parsePublic: () => undefined, tags: [], billingTags: [], anonymous: false };

async function cachedBench(test: Test) {
    const time = { now: 0 };
    const caches: CachedLists[] = [];
    const bench = await makeBench(test, {
        config: { mode: 'dc', listCacheTtlMs: LIFESPAN },
        wrapDatabase: (database) => {
            const config = configSource({ listCacheTtlMs: LIFESPAN });
            const cache = new CachedLists({ database, config, now: () => time.now });
            caches.push(cache);
            return cache;
        },
    });
    const [cache] = caches;
    if (cache === undefined) throw new Error('not wrapped');
    return { bench, cache };
}

void t.test('no account is shown the list of another', async (t) => {
    const { bench, cache } = await cachedBench(t);
    const owners = [vader, luke, emperor];
    for (const owner of owners) {
        for (const acl of [[], [vader], [luke], [vader, luke, emperor]]) {
            for (const isPublic of [true, false]) {
                const provenance = { kind: 'clone', source_image: UNKNOWN, at: '2026-01-02T03:04:05Z' };
                await plantImage(bench, {
                    active: true,
                    more: { owner, acl, public: isPublic, x_imgapi: { provenance } },
                });
            }
        }
    }
    const account = fc.option(fc.constantFrom(...owners), { nil: undefined });
    const question = fc.record({
        account,
        owner: account,
        isPublic: fc.option(fc.boolean(), { nil: undefined }),
        state: fc.constantFrom('all', 'active', 'disabled'),
        sourceImage: fc.option(fc.constant(UNKNOWN), { nil: undefined }),
        anonymous: fc.boolean(),
    });
    await fc.assert(
        fc.asyncProperty(fc.array(question, { minLength: 10, maxLength: 40 }), async (questions) => {
            for (const { account: asker, owner, isPublic, state, sourceImage, anonymous } of questions) {
                const input = {
                    ...EVERYTHING,
                    anonymous,
                    state,
                    parsePublic: () => isPublic,
                    ...(owner === undefined ? {} : { owner }),
                    ...(sourceImage === undefined ? {} : { sourceImage }),
                };
                const context = bench.context(asker === undefined ? {} : { account: asker });
                const shown = await listImages(bench.services, context, input);
                const direct = { ...bench.services, database: bench.database };
                const expected = await listImages(direct, context, input);
                t.same(
                    shown.map(({ raw }) => raw.uuid),
                    expected.map(({ raw }) => raw.uuid),
                );
            }
        }),
        { numRuns: 30 },
    );
    t.ok(cache.requests.get({ cache: 'lists', result: 'hit' }) > 100);

    cache.clear();
    const misses = (): number => cache.requests.get({ cache: 'lists', result: 'miss' });
    const before = misses();
    const input = { ...EVERYTHING, owner: vader, parsePublic: () => true };
    for (const asker of [undefined, vader, luke, emperor]) {
        await listImages(bench.services, bench.context(asker === undefined ? {} : { account: asker }), input);
    }
    t.equal(misses() - before, 4, 'even where the answers are the same');
});

void t.test('changes do not go by lists that are kept', async (t) => {
    const { bench } = await cachedBench(t);
    const origin = await plantImage(bench, { active: true });
    const list = async (): Promise<number> =>
        (await listImages(bench.services, bench.context(), EVERYTHING)).length;
    t.equal(await list(), 1);
    await plantImage(bench, { active: true, more: { origin } });
    t.equal(await list(), 1, 'another process has made it');
    t.match(await refusal(deleteImage(bench.services, bench.context(), origin, false)), {
        code: 'ImageHasDependentImages',
    });
    t.equal(await list(), 2, 'a refused change too ends what is kept');
});
