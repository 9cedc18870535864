import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Config } from '#lib/base/config-types.js';
import { baseDirectories } from '#lib/base/directories.js';
import { isUuid, newUuid } from '#lib/base/uuid.js';
import { instanceOf } from '#lib/maintenance/instance.js';
import { OwnerKeeper } from '#lib/maintenance/keep-owner.js';
import { findForeignOwner, MARKER_FRESH_MS } from '#lib/maintenance/owner-marker.js';
import type { ObjectStore } from '#lib/remotes/object-store.js';
import { altered, startMantaArea } from '../helpers/manta-area.js';
import { recordingLog } from '../helpers/recording-log.js';

const NEVER = new AbortController().signal;
const MARKER = 'run/owner.json';

async function setUp(t: Test, options: { readonly callTimeoutMs?: number } = {}) {
    const area = await startMantaArea(t, options);
    const { rootDir, objects } = area;
    const clock = { time: Date.now(), now: () => clock.time };
    const { log, records } = recordingLog();
    const keeper = (host: string, store: ObjectStore = objects) => {
        const instance = newUuid();
        const subject = new OwnerKeeper({
            objects: store,
            rootDir,
            host,
            instance: () => Promise.resolve(instance),
            clock,
            log: log.child({ host }),
        });
        return Object.assign(subject, {
            instance,
            find: () => findForeignOwner(objects, rootDir, instance, clock),
        });
    };
    const marker = async () => JSON.parse(await area.read(MARKER)) as unknown;
    return { ...area, clock, records, keeper, marker };
}

void t.test('the first one marks the area and refreshes its marker', async (t) => {
    const { keeper, marker, clock, records, double, rootDir } = await setUp(t);
    const a = keeper('a');
    t.equal(await a.find(), undefined);
    await a.refresh(NEVER);
    const time = new Date(clock.time).toISOString();
    t.strictSame(await marker(), { instance: a.instance, host: 'a', time });
    clock.time += MARKER_FRESH_MS * 10;
    await a.refresh(NEVER);
    t.match(await marker(), { time: new Date(clock.time).toISOString() });
    t.equal(a.foreign, undefined);
    t.equal(await a.find(), undefined);
    t.equal(records.length, 0);
    const [first, second] = double.requests({ kind: 'put', path: `${rootDir}/${MARKER}` });
    t.match(first?.headers, { 'if-none-match': '*', 'content-type': 'application/json' });
    t.match(second?.headers, { 'if-match': /.+/ });
});

void t.test('a fresh marker of another stays, until nobody refreshes it any more', async (t) => {
    const { keeper, marker, clock, records } = await setUp(t);
    const a = keeper('a');
    const b = keeper('b');
    await a.refresh(NEVER);
    const before = await marker();
    clock.time += MARKER_FRESH_MS - 1;
    const owner = { instance: a.instance, host: 'a' };
    t.match(await b.find(), owner);
    await b.refresh(NEVER);
    await b.refresh(NEVER);
    t.match(b.foreign, owner);
    t.strictSame(await marker(), before);
    t.match(records, [
        { level: 50, host: 'b', owner },
        { level: 50, host: 'b', owner },
    ]);
    clock.time += 1;
    t.equal(await b.find(), undefined);
    await b.refresh(NEVER);
    t.equal(b.foreign, undefined);
    t.match(await marker(), { instance: b.instance, host: 'b' });
    t.match(records[2], { level: 40, owner });
    await a.refresh(NEVER);
    t.match(a.foreign, { host: 'b' }, 'now it is the other way round');
});

void t.test('a marker from the future is fresh', async (t) => {
    const { keeper, put, clock } = await setUp(t);
    const time = new Date(clock.time + 1000 * MARKER_FRESH_MS).toISOString();
    await put(MARKER, JSON.stringify({ instance: newUuid(), host: 'early', time }));
    const a = keeper('a');
    await a.refresh(NEVER);
    t.match(a.foreign, { host: 'early' });
});

void t.test('of many that try at the same time one gets the area', async (t) => {
    const { keeper, clock, marker, put } = await setUp(t);
    for (const round of ['empty', 'stale', 'unreadable']) {
        const hosts = ['a', 'b', 'c', 'd', 'e'].map((host) => keeper(host));
        await Promise.all(hosts.map(async (host) => host.refresh(NEVER)));
        const winners = hosts.filter(({ foreign }) => foreign === undefined);
        t.equal(winners.length, 1, round);
        t.match(await marker(), { instance: winners[0]?.instance });
        clock.time += MARKER_FRESH_MS;
        if (round === 'stale') {
            await put(MARKER, '{');
            clock.time = Date.now() + MARKER_FRESH_MS;
        }
    }
});

void t.test('the slower one of two does not overwrite the faster one', async (t) => {
    const { keeper, double, marker, rootDir, clock } = await setUp(t);
    const [a, b, c] = [keeper('a'), keeper('b'), keeper('c')];
    for (const [slow, fast] of [
        [a, b],
        [a, c],
    ] as const) {
        const hold = double.hold({ kind: 'put', path: `${rootDir}/${MARKER}`, times: 1 });
        const refreshing = slow.refresh(NEVER);
        await hold.arrived(1);
        await fast.refresh(NEVER);
        hold.resume();
        await refreshing;
        t.match(await marker(), { instance: fast.instance });
        t.match(slow.foreign, { instance: fast.instance });
        clock.time += MARKER_FRESH_MS;
    }
});

void t.test('a marker that nobody can read is foreign as long as it is young', async (t) => {
    const { keeper, clock, put, read, records, marker, objects } = await setUp(t);
    const a = keeper('a');
    const texts = ['', '{', '[]', '"x"', '{"host":"h"}', '{"instance":7}', 'x'.repeat(5000)];
    for (const text of [...texts, JSON.stringify({ instance: newUuid(), time: 'yesterday' })]) {
        clock.time = Date.now();
        await put(MARKER, text);
        await a.refresh(NEVER);
        t.ok(a.foreign, text.slice(0, 20));
        t.ok(await a.find());
        t.equal(await read(MARKER), text);
        clock.time += MARKER_FRESH_MS + 1000;
        t.equal(await a.find(), undefined);
        await a.refresh(NEVER);
        t.equal(a.foreign, undefined);
        t.match(await marker(), { instance: a.instance });
        t.match(records.at(-1), { level: 40, msg: /taken over/ });
    }
    clock.time = Date.now();
    await put(MARKER, '{');
    const ageless = altered(objects, {
        async *list(path: string) {
            for await (const entry of objects.list(path)) yield { ...entry, mtime: NaN };
        },
    });
    const b = keeper('b', ageless);
    await b.refresh(NEVER);
    t.match(await marker(), { instance: b.instance }, 'of unknown age: replaced');
});

void t.test('an own marker whose answer was lost is no foreign one', async (t) => {
    const { keeper, double, marker } = await setUp(t);
    const a = keeper('a');
    double.inject({ cutAnswer: 'made' }, { kind: 'put', times: 1 });
    await a.refresh(NEVER).catch((error: unknown) => t.match(error, { code: 'StorageIsDown' }));
    await a.refresh(NEVER);
    t.equal(a.foreign, undefined);
    t.match(await marker(), { instance: a.instance });
});

void t.test('Manta away: nothing is known, what was known stays', async (t) => {
    const { keeper, double } = await setUp(t, { callTimeoutMs: 1000 });
    const [a, b] = [keeper('a'), keeper('b')];
    await a.refresh(NEVER);
    await b.refresh(NEVER);
    await double.stop();
    await t.rejects(b.refresh(NEVER), { code: 'StorageIsDown' });
    await t.rejects(b.find(), { code: 'StorageIsDown' });
    t.match(b.foreign, { host: 'a' });
    await double.restart();
    const stop = new AbortController();
    const hold = double.hold({});
    const refreshing = a.refresh(stop.signal);
    await hold.arrived(1);
    stop.abort(new Error('the server stops'));
    await t.rejects(refreshing, { message: 'the server stops' });
    hold.resume();
});

void t.test('an installation is known by its configuration, or by a file that stays', async (t) => {
    const directories = baseDirectories(t.testdir());
    const { log, records } = recordingLog();
    const path = join(directories.run, 'instance');
    const instanceUuid = newUuid();
    t.equal(await instanceOf({ instanceUuid } as Config, directories, log), instanceUuid);
    mkdirSync(directories.run);
    const config = {} as Config;
    const made = await instanceOf(config, directories, log);
    t.ok(isUuid(made));
    t.strictSame(JSON.parse(readFileSync(path, 'utf8')), { instance: made });
    t.equal(statSync(path).mode & 0o777, 0o640);
    t.equal(await instanceOf(config, directories, log), made);
    t.equal(records.length, 0);
    for (const text of ['', 'null', '{"instance":"x"}']) {
        writeFileSync(path, text);
        const next = await instanceOf(config, directories, log);
        t.ok(isUuid(next) && next !== made);
        t.equal(await instanceOf(config, directories, log), next);
    }
    t.match(records, [{ level: 40 }, { level: 40 }, { level: 40 }]);
});
