/*
 * How long the searches of the local database's index take at 100,000 records, and what a record
 * costs in memory: npx tsx bench/database-search.ts [records]
 */
import { randomUUID } from 'node:crypto';
import { ImageIndex } from '#lib/database/local/image-index.js';
import { place } from '#lib/database/match.js';
import type { Filter, Query } from '#lib/database/query.js';
import { deepFreeze } from '#lib/manifest/freeze.js';
import type { RawImage } from '#lib/manifest/types.js';

const RUNS = 51;
const count = Math.min(Number(process.argv[2] ?? 100_000), 1_000_000);
const owners = Array.from({ length: 500 }, () => randomUUID());
const oses = ['smartos', 'linux', 'linux', 'linux', 'windows'];

function makeRecord(i: number): RawImage {
    const owner = owners[i % owners.length];
    const record = {
        v: 2,
        owner,
        name: `image-${i % 20_000}`,
        version: `1.${i % 97}.0`,
        type: i % 5 === 0 ? 'zone-dataset' : 'zvol',
        os: oses[i % oses.length],
        public: i % 4 === 0,
        disabled: i % 50 === 0,
        activated: i % 20 !== 0,
        state: i % 20 === 0 ? 'unactivated' : i % 50 === 0 ? 'disabled' : 'active',
        acl: i % 10 === 0 ? [owners[(i * 7) % owners.length]] : [],
        description: `Description of image number ${i}. `.repeat(8),
        tags: [`role=r${i % 30}`, `build=${i}`],
        tagsObj: { role: `r${i % 30}`, build: String(i) },
        channels: ['dev'],
        uuid: randomUUID(),
        ...(i % 20 === 0
            ? {}
            : { published_at: new Date(1.5e12 + ((i * 7919) % count) * 60_000).toISOString() }),
        files: [
            { sha1: randomUUID(), size: i, contentMD5: randomUUID(), stor: 'local', compression: 'gzip' },
        ],
    };
    return deepFreeze(JSON.parse(JSON.stringify(record)) as RawImage);
}

function heapMegabytes(): number {
    // Run with --expose-gc for exact figures.
    (globalThis as { gc?: () => void }).gc?.();
    return process.memoryUsage().heapUsed / 1e6;
}

const records = Array.from({ length: count }, (_, i) => makeRecord(i));
const before = heapMegabytes();
const index = new ImageIndex();
const started = performance.now();
index.putAll(records.map((raw, i) => place({ raw, token: String(i) })));
const indexed = performance.now() - started;
console.log(`${count} records indexed in ${indexed.toFixed(0)} ms`);
console.log(`index: ${(((heapMegabytes() - before) * 1e6) / count).toFixed(0)} bytes a record`);

const active: Filter = { activated: true, disabled: false };
const [, owner = ''] = owners;
const middle = records[count >>> 1];
const searches: Record<string, Query> = {
    'all, limit 100': { anyOf: [{}], order: 'asc', limit: 100 },
    'active, limit 100': { anyOf: [active], order: 'asc', limit: 100 },
    'active, newest 100': { anyOf: [active], order: 'desc', limit: 100 },
    'active, limit 100, from the middle': {
        anyOf: [active],
        order: 'asc',
        limit: 100,
        marker: { time: Date.parse(middle?.published_at ?? '') || 0, uuid: middle?.uuid ?? '' },
    },
    'one owner (200 results)': { anyOf: [{ owner, ...active }], order: 'asc' },
    'an account, limit 100': {
        anyOf: [
            { owner, ...active },
            { public: true, ...active },
            { public: false, acl: [owner], ...active },
        ],
        order: 'asc',
        limit: 100,
    },
    name: { anyOf: [{ name: 'image-77', ...active }], order: 'asc' },
    'name ~image-777 (about 55 results)': { anyOf: [{ name: '~image-777', ...active }], order: 'asc' },
    'name ~image-7, limit 100': { anyOf: [{ name: '~image-7', ...active }], order: 'asc', limit: 100 },
    'name ~nothing': { anyOf: [{ name: '~nothing', ...active }], order: 'asc' },
    'tag role=, limit 100': { anyOf: [{ tags: ['role='], ...active }], order: 'asc', limit: 100 },
    'tag build=4242': { anyOf: [{ tags: ['build=4242'], ...active }], order: 'asc' },
    'os windows, limit 100': { anyOf: [{ os: 'windows', ...active }], order: 'asc', limit: 100 },
    all: { anyOf: [{}], order: 'asc' },
};

for (const [name, query] of Object.entries(searches)) {
    const times: number[] = [];
    let found = 0;
    for (let run = 0; run < RUNS; run += 1) {
        const from = performance.now();
        found = index.search(query).length;
        times.push(performance.now() - from);
    }
    times.sort((a, b) => a - b);
    console.log(
        `${name}: ${found} results, median ${times[RUNS >>> 1]?.toFixed(3)} ms, worst ${times.at(-1)?.toFixed(3)} ms`,
    );
}

const [first] = records;
if (first !== undefined) {
    const from = performance.now();
    for (let i = 0; i < 1000; i += 1) {
        index.put(place({ raw: first, token: `n${i}` }));
    }
    console.log(`replace a record: ${((performance.now() - from) / 1000).toFixed(4)} ms`);
}
