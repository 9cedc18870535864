import fc from 'fast-check';
import t from 'tap';
import { ImageIndex } from '#lib/database/local/image-index.js';
import { applyQuery, compareImages, matches, place } from '#lib/database/match.js';
import type { Filter, Query } from '#lib/database/query.js';
import type { RawImage } from '#lib/manifest/types.js';
import { OWNER, record, tagged } from '../helpers/records.js';

// Small sets of values, so that records and filters meet often.
const text = fc.constantFrom('a', 'ab', 'b', 'c');
const day = fc.integer({ min: 1, max: 6 });
const someTexts = fc.uniqueArray(text, { maxLength: 3 });
const anyRecord = fc
    .record({
        name: text,
        version: text,
        owner: text,
        os: text,
        type: text,
        activated: fc.constantFrom(true, false, 'true', 'false'),
        disabled: fc.boolean(),
        public: fc.boolean(),
        origin: fc.option(text, { nil: undefined }),
        acl: fc.array(text, { maxLength: 3 }),
        billing_tags: fc.option(someTexts, { nil: undefined }),
        channels: fc.option(someTexts, { nil: undefined }),
        tagKeys: someTexts,
        tagValue: fc.constantFrom('', 'x', '='),
        day: fc.option(day, { nil: undefined }),
        short: fc.boolean(),
        uuid: fc.uuid(),
    })
    .map(({ tagKeys, tagValue, day, short, ...rest }) => {
        const tags = tagged(Object.fromEntries(tagKeys.map((key) => [key, tagValue])));
        const published = day === undefined ? undefined : `2020-01-0${day}T00:00:00${short ? '' : '.000'}Z`;
        return record({ ...rest, ...(tagKeys.length === 0 ? {} : tags), published_at: published });
    });
const textWithMarks = fc.tuple(fc.constantFrom('', '', '~', '!'), fc.constantFrom('', 'a', 'b', 'ab', 'zz'));
const wantedText = textWithMarks.map(([mark, value]) => mark + value);
const anyFilter: fc.Arbitrary<Filter> = fc.record(
    {
        name: wantedText,
        version: wantedText,
        owner: text,
        os: text,
        type: wantedText,
        origin: text,
        activated: fc.boolean(),
        disabled: fc.boolean(),
        public: fc.boolean(),
        acl: someTexts,
        billing_tags: someTexts,
        channels: someTexts,
        tags: fc.array(fc.constantFrom('a=', 'a=x', 'b=', 'ab==', 'c=y'), { maxLength: 2 }),
    },
    { requiredKeys: [] },
);
const anyQuery = fc.record(
    {
        anyOf: fc.array(anyFilter, { maxLength: 3 }),
        order: fc.constantFrom('asc' as const, 'desc' as const),
        limit: fc.integer({ min: 0, max: 30 }),
        marker: fc.record(
            {
                time: fc.oneof(
                    fc.constant(0),
                    day.map((d) => Date.UTC(2020, 0, d)),
                ),
                uuid: fc.uuid(),
            },
            { requiredKeys: ['time'] },
        ),
    },
    { requiredKeys: ['anyOf', 'order'] },
);

void t.test('the index finds what a plain search finds', async (t) => {
    fc.assert(
        fc.property(
            fc.array(anyRecord, { maxLength: 60 }),
            fc.array(fc.nat({ max: 59 }), { maxLength: 20 }),
            fc.array(anyRecord, { maxLength: 10 }),
            fc.array(anyQuery, { minLength: 1, maxLength: 8 }),
            (loaded, removed, replaced, queries) => {
                const index = new ImageIndex();
                const plain = new Map<string, RawImage>();
                index.putAll(loaded.map((raw) => place({ raw, token: '' })));
                loaded.forEach((raw) => plain.set(raw.uuid, raw));
                for (const at of removed) {
                    const uuid = loaded[at]?.uuid ?? OWNER;
                    index.remove(uuid);
                    plain.delete(uuid);
                }
                replaced.forEach((raw, i) => {
                    const changed = { ...raw, uuid: loaded[i]?.uuid ?? raw.uuid };
                    index.put(place({ raw: changed, token: '' }));
                    plain.set(changed.uuid, changed);
                });
                const images = [...plain.values()].map((raw) => ({ raw, token: '' }));
                for (const query of queries as Query[]) {
                    const expected = applyQuery(images, query).map(({ raw }) => raw.uuid);
                    const found = index.search(query).map(({ raw }) => raw.uuid);
                    if (found.join() !== expected.join()) {
                        throw new Error(
                            `${JSON.stringify(query)}: ${found.join()} instead of ${expected.join()}`,
                        );
                    }
                }
            },
        ),
        { numRuns: 300 },
    );
    t.pass('no difference found');
});

void t.test('the index keeps its order over many changes', async (t) => {
    const index = new ImageIndex();
    const images = Array.from({ length: 3000 }, (_, i) =>
        record({ published_at: new Date(((i * 7919) % 3000) * 1000).toISOString() }),
    );
    images.forEach((raw) => index.put(place({ raw, token: '' })));
    images.forEach((raw, i) => i % 3 === 0 && index.remove(raw.uuid));
    const left = images.filter((_, i) => i % 3 !== 0).sort(compareImages);
    const ascending = index.search({ anyOf: [{}], order: 'asc' }).map(({ raw }) => raw);
    t.ok(ascending.every((raw, i) => raw === left[i]) && ascending.length === left.length);
    const descending = index.search({ anyOf: [{ owner: OWNER }], order: 'desc', limit: 1500 });
    t.ok(descending.every(({ raw }, i) => raw === left.at(-1 - i)) && descending.length === 1500);
    images.forEach(({ uuid }) => index.remove(uuid));
    t.equal(index.size, 0);
    t.same(index.search({ anyOf: [{}, { owner: OWNER }], order: 'asc' }), []);
});

void t.test('names by part, when there are many', async (t) => {
    const index = new ImageIndex();
    const images = Array.from({ length: 12_000 }, (_, i) =>
        record({ name: `n${i % 3000}`, version: `${i % 2}.0` }),
    );
    index.putAll(images.map((raw) => place({ raw, token: '' })));
    for (const name of ['~n29', '~n', '~2999', '~nothing', '~']) {
        for (const limit of [10, 100_000]) {
            const query: Query = { anyOf: [{ name, version: '1.0' }], order: 'desc', limit };
            const expected = applyQuery(
                images.map((raw) => ({ raw, token: '' })),
                query,
            );
            t.same(
                index.search(query).map(({ raw }) => raw.uuid),
                expected.map(({ raw }) => raw.uuid),
                `${name} ${limit}`,
            );
        }
    }
});

void t.test('a single record against a filter', async (t) => {
    t.ok(matches({ name: '~as' }, record()));
    t.notOk(matches({ name: '~as', os: 'linux' }, record()));
});
