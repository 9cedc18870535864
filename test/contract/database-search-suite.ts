import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import type { Database } from '#lib/database/database.js';
import type { Filter, Query } from '#lib/database/query.js';
import type { RawImage } from '#lib/manifest/types.js';
import { OWNER, record, tagged, unpublished } from '../helpers/records.js';
import type { OpenDatabase } from './database-suite.js';

const ZVOL = { nic_driver: 'virtio', disk_driver: 'virtio', cpu_type: 'host', image_size: 1024 };
const ALL: Query = { anyOf: [{}], order: 'asc' };

async function names(database: Database, filter: Filter): Promise<string[]> {
    const found = await database.search({ anyOf: [filter], order: 'asc' });
    return found.map(({ raw }) => raw.name).sort();
}

async function uuids(database: Database, query: Query): Promise<string[]> {
    return (await database.search(query)).map(({ raw }) => raw.uuid);
}

/** What every search must find, in which order (backends 2.1, 2.2, 17). */
export function databaseSearchSuite(t: Test, open: OpenDatabase): void {
    void t.test('filters', async (t) => {
        const other = randomUUID();
        const origin = randomUUID();
        const provenance = { kind: 'copy', source_image: origin, at: '2020-06-01T00:00:00.000Z' };
        const { database } = await open(t, [
            record({
                name: 'ubuntu',
                version: '20.04',
                os: 'linux',
                type: 'zvol',
                ...ZVOL,
                ...tagged({ role: 'db', n: '5' }),
            }),
            record({ name: 'ubuntu-lx', version: '20.10', type: 'lx-dataset', owner: other, origin }),
            record({
                name: 'debian',
                public: true,
                acl: [OWNER, other],
                billing_tags: ['x', 'y'],
                x_imgapi: { provenance },
            }),
            record({
                name: 'off',
                disabled: true,
                state: 'disabled',
                channels: ['dev', 'release'],
                x_imgapi: { provenance: { ...provenance, kind: 'odd' } },
            }),
            unpublished({
                name: 'new',
                acl: [other],
                billing_tags: ['x'],
                expires_at: '2020-06-01T00:00:00.000Z',
            }),
        ]);
        const rows: [Filter, string][] = [
            [{}, 'debian new off ubuntu ubuntu-lx'],
            [{ owner: other }, 'ubuntu-lx'],
            [{ owner: 'nobody' }, ''],
            [{ owner: '' }, ''],
            [{ state: 'disabled' }, 'off'],
            [{ origin }, 'ubuntu-lx'],
            [{ os: 'linux' }, 'ubuntu'],
            [{ name: 'ubuntu' }, 'ubuntu'],
            [{ name: '~ubu' }, 'ubuntu ubuntu-lx'],
            [{ name: '~UBU' }, ''],
            [{ name: '~' }, 'debian new off ubuntu ubuntu-lx'],
            [{ name: '' }, ''],
            [{ name: '~bu', owner: other }, 'ubuntu-lx'],
            [{ version: '20.04' }, 'ubuntu'],
            [{ version: '~20' }, 'ubuntu ubuntu-lx'],
            [{ type: 'zvol' }, 'ubuntu'],
            [{ type: '!zvol' }, 'debian new off ubuntu-lx'],
            [{ type: '!' }, 'debian new off ubuntu ubuntu-lx'],
            [{ type: '' }, ''],
            [{ activated: true, disabled: false }, 'debian ubuntu ubuntu-lx'],
            [{ activated: false }, 'new'],
            [{ disabled: true }, 'off'],
            [{ public: true }, 'debian'],
            [{ public: false, acl: [other] }, 'new'],
            [{ acl: [other] }, 'debian new'],
            [{ acl: [OWNER, other] }, 'debian'],
            [{ acl: [] }, 'debian new off ubuntu ubuntu-lx'],
            [{ billing_tags: ['x'] }, 'debian new'],
            [{ billing_tags: ['y', 'x'] }, 'debian'],
            [{ billing_tags: ['z'] }, ''],
            [{ channels: ['release'] }, 'off'],
            [{ channels: ['dev', 'release'] }, 'off'],
            [{ tags: ['role=db'] }, 'ubuntu'],
            [{ tags: ['role=d'] }, ''],
            [{ tags: ['role='] }, 'ubuntu'],
            [{ tags: ['role=', 'n=5'] }, 'ubuntu'],
            [{ tags: ['other='] }, ''],
            [{ tags: ['toString='] }, ''],
            [{ expires_at: '2020-06-01T00:00:00.000Z' }, 'new'],
            [{ expires_at: '2020-05-31T23:59:59.000Z' }, ''],
            [{ source_image: origin }, 'debian'],
            [{ source_image: origin, owner: OWNER }, 'debian'],
            [{ source_image: origin, owner: other }, ''],
            [{ source_image: '' }, ''],
        ];
        for (const [filter, expected] of rows) {
            t.equal((await names(database, filter)).join(' '), expected, JSON.stringify(filter));
        }
        const odd = { flavour: 'x' } as Filter;
        await t.rejects(
            database.search({ anyOf: [odd], order: 'asc' }),
            new TypeError('unsupported Image.filter option: "flavour"'),
        );
    });

    void t.test('values with characters that other query languages know', async (t) => {
        const values = [
            '(',
            ')',
            '*',
            '\\',
            '=',
            'a=b',
            '%',
            '_',
            '\\2a',
            ' edge ',
            'é☃',
            '"',
            "'",
            '__proto__',
        ];
        const named = values.map((value, i) => ({ value, name: `n${i}` }));
        const { database, trimsEntries } = await open(t, [
            record({ name: 'plain', ...tagged({ k: 'ab' }), billing_tags: ['ab'] }),
            ...named.map(({ value, name }) =>
                record({
                    name,
                    billing_tags: [value],
                    tags: [`k=${value}`, `${value}=v`],
                    tagsObj: Object.fromEntries([
                        ['k', value],
                        [value, 'v'],
                    ]),
                }),
            ),
        ]);
        for (const { value, name } of named.filter(({ value }) => !trimsEntries || value === value.trim())) {
            t.same(await names(database, { billing_tags: [value] }), [name], `billing tag ${value}`);
            t.same(
                await names(database, { tags: [`k=${value}`, `${value}=v`] }),
                [name],
                `tag value ${value}`,
            );
            t.same(await names(database, { tags: [`${value}=v`] }), [name], `tag key ${value}`);
            t.same(await names(database, { tags: [`${value}=`] }), [name], `has tag ${value}`);
        }
        t.same(await names(database, { tags: ['k=a='] }), []);
        t.same(await names(database, { tags: ['k='] }), ['plain', ...named.map(({ name }) => name)].sort());
        t.same(await names(database, { name: '~%' }), [], 'no wildcards');
        t.same(await names(database, { name: '~_' }), []);
        t.same(await names(database, { name: '~.' }), []);
    });

    void t.test('descending with a limit gives the newest', async (t) => {
        const images = [1, 4, 2, 5, 3].map((day) => record({ published_at: `2020-01-0${day}T00:00:00Z` }));
        const { database } = await open(t, images);
        const newest = [images[3]!.uuid, images[1]!.uuid];
        t.same(await uuids(database, { anyOf: [{}], order: 'desc', limit: 2 }), newest);
        t.same(await uuids(database, { anyOf: [{ owner: OWNER }], order: 'desc', limit: 2 }), newest);
        const changed = await database.update(images[0]!.uuid, (old) => ({
            ...old,
            published_at: '2021-01-01T00:00:00Z',
        }));
        t.same(
            await uuids(database, { anyOf: [{}], order: 'desc', limit: 1 }),
            [changed.raw.uuid],
            'a changed date moves it',
        );
    });

    void t.test('several filters: each image once', async (t) => {
        const other = randomUUID();
        const images = [
            record({ published_at: '2020-01-03T00:00:00Z', public: true }),
            record({ published_at: '2020-01-01T00:00:00Z', owner: other, acl: [OWNER] }),
            record({ published_at: '2020-01-02T00:00:00Z', owner: other }),
        ];
        const { database } = await open(t, images);
        const anyOf = [{ owner: OWNER }, { public: true }, { acl: [OWNER] }];
        const expected = [images[1]!.uuid, images[0]!.uuid];
        t.same(await uuids(database, { anyOf, order: 'asc' }), expected);
        t.same(await uuids(database, { anyOf, order: 'desc', limit: 1 }), [images[0]!.uuid]);
        t.same(await uuids(database, { anyOf: [], order: 'asc' }), []);
    });

    void t.test('an aborted search', async (t) => {
        const { database } = await open(t);
        const reason = new Error('gone');
        await t.rejects(database.search({ ...ALL, signal: AbortSignal.abort(reason) }), reason);
    });

    void t.test('paging through 2500 images', async (t) => {
        const images = Array.from({ length: 2500 }, (_, i) => {
            if (i < 1200) {
                return record({
                    published_at: i % 2 === 0 ? '2020-05-05T05:05:05Z' : '2020-05-05T05:05:05.000Z',
                });
            }
            if (i < 1300) {
                return unpublished();
            }
            const date = new Date(Date.UTC(2020, 0, 1) + ((i * 7919) % 300) * 86_400_000).toISOString();
            return record({ published_at: i % 3 === 0 ? date.replace('.000Z', 'Z') : date });
        });
        const { database } = await open(t, images);
        const time = (raw: RawImage) => (raw.published_at === undefined ? 0 : Date.parse(raw.published_at));
        const ascending = images
            .sort((a, b) => time(a) - time(b) || (a.uuid < b.uuid ? -1 : 1))
            .map(({ uuid }) => uuid);

        for (const order of ['asc', 'desc'] as const) {
            const expected = order === 'asc' ? ascending : [...ascending].reverse();
            t.same(await uuids(database, { anyOf: [{}], order }), expected, `all ${order}`);
            const seen: string[] = [];
            let marker: Query['marker'];
            for (let pages = 0; pages < 10; pages += 1) {
                const page = await database.search({
                    anyOf: [{}],
                    order,
                    limit: 1000,
                    ...(marker === undefined ? {} : { marker }),
                });
                t.ok(page.length <= 1000);
                if (marker !== undefined) {
                    t.equal(page[0]?.raw.uuid, seen.pop(), 'the marker is the first of its page');
                }
                seen.push(...page.map(({ raw }) => raw.uuid));
                const last = page.at(-1)!.raw;
                if (last.uuid === expected.at(-1)) {
                    break;
                }
                marker = { time: time(last), uuid: last.uuid };
            }
            t.same(seen, expected, `pages ${order}`);

            const date = Date.UTC(2020, 4, 5, 5, 5, 5);
            const fromDate = images.filter((raw) =>
                order === 'asc' ? time(raw) >= date : time(raw) <= date,
            );
            const found = await uuids(database, { anyOf: [{}], order, marker: { time: date } });
            t.equal(found.length, fromDate.length, `marker date ${order}`);
            t.same(new Set(found), new Set(fromDate.map(({ uuid }) => uuid)));
        }
    });
}
