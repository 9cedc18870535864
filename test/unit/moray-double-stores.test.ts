import fc from 'fast-check';
import t from 'tap';
import { requireBucket } from '../doubles/moray/arguments.js';
import { readBucket } from '../doubles/moray/bucket-config.js';
import { put, removeMany } from '../doubles/moray/changes.js';
import { MemoryStore } from '../doubles/moray/memory-store.js';
import { MorayError } from '../doubles/moray/moray-error.js';
import { objectOf } from '../doubles/moray/objects.js';
import { PostgresStore } from '../doubles/moray/postgres-store.js';
import { search } from '../doubles/moray/search.js';
import type { Store } from '../doubles/moray/store.js';
import { BUCKET, INDEX } from '../doubles/moray/suites/bench.js';
import { PostgresCluster, postgresMissing } from '../helpers/postgres.js';

/** Few characters, so that values meet: case, an accent, a pair of surrogates, and what is special somewhere. */
const CHARACTERS = ['a', 'b', 'B', 'é', '😀', ' ', '\t', '%', '_', '\\', '"', '{', '}', ',', '(', '*', '-'];
const WORDS = ['null', 'NULL', 'true', '7', '10.0.0.1', '10.0.0.20', 'base'];

const text = fc.oneof(
    { weight: 3, arbitrary: fc.string({ unit: fc.constantFrom(...CHARACTERS), maxLength: 4 }) },
    fc.constantFrom(...WORDS),
);
const number = fc.oneof(fc.integer({ min: -3, max: 12 }), fc.constantFrom(0.5, 1e9, '7', ' 8 ', '1e2'));
const boolean = fc.constantFrom<unknown>(true, false, 'true', 'FALSE', 'yes', 'off', '1');
const anything = fc.oneof(text, number, boolean, fc.constant(null));

const value = fc.record(
    {
        name: fc.oneof(text, anything),
        urn: text,
        size: fc.oneof({ weight: 5, arbitrary: number }, anything),
        public: fc.oneof({ weight: 5, arbitrary: boolean }, anything),
        tags: fc.oneof({ weight: 5, arbitrary: fc.array(text, { maxLength: 3 }) }, anything),
        sizes: fc.array(number, { maxLength: 3 }),
        color: text,
    },
    { requiredKeys: [] },
);

/** A value in a filter. */
const escaped = text.map((plain) =>
    plain.replace(/[*()\\]/g, (character) => `\\${character.charCodeAt(0).toString(16)}`),
);
/** What ends a LIKE pattern; there a lone backslash is an error that depends on the rows. */
const ending = escaped.filter((part) => !part.endsWith('\\5c'));
const textField = fc.constantFrom('name', 'urn');
const leaf = fc.oneof(
    fc.tuple(textField, fc.constantFrom('=', '>=', '<='), escaped).map((parts) => parts.join('')),
    fc.tuple(textField, escaped, escaped, ending).map(([field, ...parts]) => `${field}=${parts.join('*')}`),
    fc.tuple(textField, escaped).map(([field, part]) => `${field}:caseIgnoreMatch:=${part}`),
    fc.tuple(fc.constantFrom('tags=', 'color='), escaped).map((parts) => parts.join('')),
    fc
        .tuple(fc.constantFrom('size=', 'size>=', 'size<=', 'sizes='), fc.integer({ min: -3, max: 12 }))
        .map((parts) => parts.join('')),
    fc.constantFrom('public=true', 'public=false', 'name=*', 'tags=*', 'size=*', 'color=*'),
);
const { filter } = fc.letrec<{ filter: string; group: string }>((tie) => ({
    filter: fc.oneof(
        { maxDepth: 2 },
        leaf.map((part) => `(${part})`),
        tie('group'),
        tie('filter').map((part) => `(!${part})`),
    ),
    group: fc
        .tuple(fc.constantFrom('&', '|'), fc.array(tie('filter'), { minLength: 1, maxLength: 3 }))
        .map(([operator, parts]) => `(${operator}${parts.join('')})`),
}));
const sort = fc
    .array(
        fc.record({
            attribute: fc.constantFrom('name', 'size', 'public', 'tags', 'sizes'),
            order: fc.constantFrom('ASC', 'DESC'),
        }),
        { maxLength: 2 },
    )
    // Without a last word on equals, PostgreSQL may order them as it likes.
    .map((parts) => [...parts, { attribute: '_key', order: 'ASC' }]);
const page = fc.record({ limit: fc.integer({ min: 0, max: 6 }), offset: fc.integer({ min: 0, max: 2 }) });

/** What a caller would see of some work: its result, or the name of its error. */
async function seen(work: Promise<unknown>): Promise<unknown> {
    try {
        return await work;
    } catch (error) {
        if (!(error instanceof MorayError)) throw error;
        return error.name;
    }
}

async function putAndRead(store: Store, key: string, wanted: object): Promise<unknown> {
    return seen(
        store.run(async (transaction) => {
            const bucket = await requireBucket(transaction, BUCKET);
            await put(transaction, bucket, key, wanted as Readonly<Record<string, unknown>>, undefined);
            const row = await transaction.load(bucket, key);
            return row && objectOf(bucket, row).value;
        }),
    );
}

async function find(store: Store, wanted: string, options: object): Promise<unknown> {
    return seen(
        store.run(async (transaction) => {
            const bucket = await requireBucket(transaction, BUCKET);
            const found = await search(transaction, bucket, wanted, { ...options }, 'findObjects');
            const keys = found.rows.map(({ key }) => key);
            return keys.length === 0 ? [] : [found.count, ...keys];
        }, 'read'),
    );
}

async function empty(store: Store): Promise<void> {
    await store.run(async (transaction) => {
        const bucket = await requireBucket(transaction, BUCKET);
        await removeMany(transaction, bucket, '(_key=*)', { noLimit: true });
    });
}

void t.test('the store in memory does as PostgreSQL does', { skip: postgresMissing() }, async (t) => {
    const cluster = await PostgresCluster.start();
    t.teardown(() => cluster.stop());
    const memory = new MemoryStore();
    const postgres = new PostgresStore(await cluster.createDatabase());
    await postgres.open();
    t.teardown(() => postgres.close());
    const stores: readonly Store[] = [memory, postgres];
    for (const store of stores) {
        await store.run((transaction) => transaction.addBucket(readBucket(BUCKET, { index: INDEX })));
    }
    const searches = fc.array(fc.tuple(filter, sort, page), { minLength: 5, maxLength: 10 });
    const property = fc.asyncProperty(fc.array(value, { maxLength: 8 }), searches, async (values, wanted) => {
        for (const store of stores) await empty(store);
        for (const [index, one] of values.entries()) {
            const [here, there] = await Promise.all(
                stores.map((store) => putAndRead(store, `k${index}`, one)),
            );
            t.strictSame(here, there, JSON.stringify(one));
        }
        for (const [text, order, { limit, offset }] of wanted) {
            const options = { sort: order, limit, offset };
            const [here, there] = await Promise.all(stores.map((store) => find(store, text, options)));
            t.strictSame(here, there, `${text} ${JSON.stringify(options)}`);
        }
        return t.passing();
    });
    await fc.assert(property, { numRuns: 100, endOnFailure: true });
});
