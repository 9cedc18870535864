import { createRequire } from 'node:module';
import fc from 'fast-check';
import t from 'tap';
import { escapeValue, pushDown } from '#lib/database/moray/filter-text.js';
import type { Filter } from '#lib/database/query.js';
import { OWNER, record, tagged, unpublished } from '../helpers/records.js';
import { openMoray, startMoray } from '../helpers/moray-databases.js';

const morayFilter = createRequire(import.meta.url)('moray-filter') as {
    parse(text: string): { matches(target: object): boolean };
};

/** Characters that filters, SQL, LIKE or array columns know. */
const odd = fc.constantFrom(
    '(',
    ')',
    '*',
    '\\',
    '%',
    '_',
    '=',
    ' ',
    '~',
    '!',
    '&',
    '|',
    '"',
    "'",
    '{',
    '}',
    ',',
    'a',
    'é',
);
const oddText = fc.array(odd, { minLength: 1, maxLength: 8 }).map((characters) => characters.join(''));

void t.test('what is asked for', (t) => {
    const rows: [string, readonly Filter[], string | undefined, boolean][] = [
        ['nothing', [{}], undefined, true],
        ['a text', [{ owner: OWNER }], `(owner=${OWNER})`, true],
        [
            'several',
            [{ activated: true, disabled: false, name: '~base' }],
            '(&(activated=true)(disabled=false)(name=*base*))',
            true,
        ],
        ['undefined', [{ owner: OWNER, name: undefined } as unknown as Filter], `(owner=${OWNER})`, true],
        ['escaped', [{ name: '(*\\)' }], '(name=\\28\\2a\\5c\\29)', true],
        ['any name', [{ name: '~' }], undefined, true],
        ['LIKE knows _', [{ name: '~base_64' }], '(name=*base*)', false],
        ['LIKE knows %', [{ name: '~%' }], undefined, false],
        ['LIKE knows \\', [{ name: '~a\\bc' }], '(name=*bc*)', false],
        ['not a type', [{ type: '!zvol' }], '(!(type=zvol))', true],
        ['not nothing', [{ type: '!' }], undefined, true],
        ['an empty text', [{ name: '' }], undefined, false],
        ['every entry', [{ acl: ['a', 'b'] }], '(&(acl=a)(acl=b))', true],
        ['a tag', [{ tags: ['k=v=w'] }], '(tags=k=v=w)', true],
        ['has a tag', [{ tags: ['k=', 'l=m'] }], '(tags=l=m)', false],
        ['NULL', [{ billing_tags: ['NULL', 'x'] }], '(billing_tags=x)', false],
        ['spaces at the ends', [{ billing_tags: [' x'] }], undefined, false],
        ['no column', [{ channels: ['dev'] }], undefined, false],
        ['provenance', [{ owner: OWNER, source_image: OWNER }], `(owner=${OWNER})`, false],
        [
            'a date',
            [{ state: 'creating', expires_at: '2020-01-01T00:00:00Z' }],
            '(&(state=creating)(expires_at=*))',
            false,
        ],
        [
            'any of two',
            [{ name: 'a', public: true }, { name: 'b' }],
            '(|(&(name=a)(public=true))(name=b))',
            true,
        ],
        ['any of the same', [{ name: 'a' }, { name: 'a', channels: ['dev'] }], '(name=a)', false],
        ['any at all', [{ name: 'a' }, { channels: ['dev'] }], undefined, false],
    ];
    for (const [what, anyOf, text, isExact] of rows) {
        const pushed = pushDown(anyOf);
        t.same({ text: pushed.text, isExact: pushed.isExact }, { text, isExact }, what);
    }
    t.equal(pushDown([{ activated: true }]).mayBeUnpublished, false);
    t.equal(pushDown([{ activated: true }, { name: 'a' }]).mayBeUnpublished, true);
    t.end();
});

void t.test('escaped values arrive as they are', (t) => {
    fc.assert(
        fc.property(oddText, fc.boolean(), (value, isNul) => {
            const wanted = `x${value}${isNul ? '\0' : ''}x`;
            const filter = morayFilter.parse(`(&(name=${escapeValue(wanted)})(uuid=*))`);
            t.ok(filter.matches({ name: wanted, uuid: 'u' }));
            t.notOk(filter.matches({ name: `${wanted}y`, uuid: 'u' }));
        }),
        { numRuns: 300 },
    );
    t.end();
});

void t.test('any value is found, by the whole and by a part', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    // Spaces at the ends of an entry are lost in an array column (backends 4.3).
    const values = [...new Set(fc.sample(oddText, { numRuns: 150, seed: 7 }).map((value) => value.trim()))];
    for (const [index, value] of values.entries()) {
        const changes = {
            version: `v${index}`,
            billing_tags: [`b${value}`],
            acl: [],
            ...tagged({ k: `x${value}` }),
        };
        await database.create(index % 2 === 0 ? record(changes) : unpublished(changes));
    }
    const versions = async (filter: Filter): Promise<string[]> => {
        const found = await database.search({ anyOf: [filter], order: 'asc' });
        return found.map(({ raw }) => raw.version).sort();
    };
    for (const [index, value] of values.entries()) {
        const at = `v${index}`;
        t.same(await versions({ billing_tags: [`b${value}`] }), [at], `billing tag b${value}`);
        t.same(await versions({ tags: [`k=x${value}`] }), [at], `tag x${value}`);
    }
});

void t.test('parts with characters that LIKE knows are found in full pages', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    for (let index = 0; index < 40; index += 1) {
        const name = index % 4 === 0 ? `base_${index}` : `base-${index}`;
        await database.create(record({ name, published_at: `2020-01-01T00:00:${10 + index}Z` }));
    }
    const found = await database.search({ anyOf: [{ name: '~base_' }], order: 'asc', limit: 10 });
    t.same(
        found.map(({ raw }) => raw.name),
        Array.from({ length: 10 }, (_, index) => `base_${4 * index}`),
    );
    t.same(await database.search({ anyOf: [{ name: '~b%e' }], order: 'asc' }), []);
});
