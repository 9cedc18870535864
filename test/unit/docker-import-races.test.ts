// How layers become images while others do the same, and what is left when it fails (jobs-and-imports 5.3).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Config } from '#lib/base/config-types.js';
import { imageUuidAlreadyExists, serviceUnavailable } from '#lib/base/errors.js';
import { removeAbandonedImports } from '#lib/images/recover-imports.js';
import type { ImageSpec } from '../helpers/docker-images.js';
import {
    failureOf,
    hookedBench,
    type OfferedImage,
    progressOf,
    type PullBench,
    pullBench,
    readAll,
    stagedFiles,
    type Told,
} from '../helpers/pull-bench.js';

const SPEC: ImageSpec = { layers: [{ seed: 'base' }, { seed: 'top', size: 100_000 }] };

const OF_OTHERS = { x_imgapi: { import_id: '11111111-2222-4333-8444-555555555555' } };
const MADE = ['Pulling fs layer', 'Download complete', 'Activating image', 'Pull complete'];
const MORAY: Partial<Config> = { databaseType: 'moray' };

/** The record of the base layer as its maker has it before it is activated. */
async function plantBase(
    { bench }: PullBench,
    { uuids: [uuid], shortIds: [version] }: OfferedImage,
    more: Readonly<Record<string, unknown>>,
): Promise<void> {
    await bench.plant({
        v: 2,
        uuid,
        owner: '00000000-0000-0000-0000-000000000000',
        name: 'docker-layer',
        version,
        type: 'docker',
        os: 'linux',
        public: false,
        disabled: false,
        activated: false,
        state: 'unactivated',
        acl: [],
        ...more,
    });
}

/** What another process stores that has the same layer. */
async function activateElsewhere({ bench }: PullBench, image: OfferedImage): Promise<void> {
    const [uuid = ''] = image.uuids;
    await bench.plantFile(uuid, 'file0', Buffer.from('theirs'));
    await bench.database.update(uuid, (raw) => {
        const { x_imgapi: mark, ...rest } = raw;
        if (mark === undefined) throw new Error('it was not being made');
        const file = {
            sha1: 'a'.repeat(40),
            size: 6,
            compression: 'gzip',
            digest: image.layers[0]?.digest ?? '',
        } as const;
        return {
            ...rest,
            activated: true,
            state: 'active',
            published_at: '2020-01-01T00:00:00.000Z',
            files: [file],
        };
    });
}

async function expectActive(t: Test, { bench }: PullBench, image: OfferedImage): Promise<void> {
    for (const [at, uuid] of image.uuids.entries()) {
        const raw = await bench.raw(uuid);
        t.equal(raw.state, 'active', `layer ${at}`);
        t.notHas(raw, 'x_imgapi');
        t.equal(raw.files?.[0]?.digest, image.layers[at]?.digest);
        t.ok(await bench.bytes(uuid, 'file0'));
    }
    t.same(stagedFiles(bench.base), []);
    t.equal((await bench.files()).length, image.uuids.length, 'nothing under another name');
}

function expectDone(t: Test, lines: readonly Told[]): void {
    t.match(lines.at(-1), { payload: { status: /^Status: Downloaded newer image for / } });
}

void t.test('what a pull has left that was killed is made anew', async (t) => {
    const place = await pullBench(t, { config: { databaseType: 'local' } });
    const image = await place.offer(SPEC);
    await plantBase(place, image, { ...OF_OTHERS, description: 'left' });
    const lines = await place.pull();
    t.same(progressOf(lines, image.shortIds[0]), MADE);
    await expectActive(t, place, image);
    t.not((await place.bench.raw(image.uuids[0] ?? '')).description, 'left');
});

void t.test('what a pull has left goes also when nobody asks for the image again', async (t) => {
    const place = await hookedBench(t, MORAY);
    const { bench, hooks } = place;
    const [left, made, byHand] = [
        await place.offer(SPEC, 'left'),
        await place.offer({ layers: [{ seed: 'made' }] }, 'made'),
        await place.offer({ layers: [{ seed: 'by hand' }] }, 'by hand'),
    ];
    await plantBase(place, left, OF_OTHERS);
    await plantBase(place, made, OF_OTHERS);
    await plantBase(place, byHand, {});
    // Half a minute later the one is as it was, the other done.
    hooks.get = async (uuid, nth) => {
        if (uuid === made.uuids[0] && nth === 3) await activateElsewhere(place, made);
        if (uuid === left.uuids[0] && nth === 3) bench.clock.time += 31_000;
    };
    await removeAbandonedImports(bench.services, bench.context().log, new AbortController().signal);
    t.notOk(await bench.exists(left.uuids[0] ?? ''));
    t.equal((await bench.raw(made.uuids[0] ?? '')).state, 'active');
    t.equal((await bench.raw(byHand.uuids[0] ?? '')).state, 'unactivated');
});

void t.test('another process that is making the image of a layer is waited for', async (t) => {
    const place = await hookedBench(t, MORAY);
    const image = await place.offer(SPEC);
    await plantBase(place, image, OF_OTHERS);
    const [uuid] = image.uuids;
    // The first is before the download, the second when it comes to the image.
    place.hooks.get = (asked, nth) =>
        asked === uuid && nth === 4 ? activateElsewhere(place, image) : undefined;
    const lines = await place.pull();
    t.same(progressOf(lines, image.shortIds[0]), MADE.slice(0, 2), 'silent from there on');
    expectDone(t, lines);
    await expectActive(t, place, image);
    t.equal((await place.bench.bytes(uuid ?? '', 'file0'))?.toString(), 'theirs');
});

void t.test('a process that gets no further is given up after a while', async (t) => {
    const place = await hookedBench(t, MORAY);
    const image = await place.offer(SPEC);
    await plantBase(place, image, OF_OTHERS);
    const [uuid] = image.uuids;
    let isLate = false;
    place.hooks.get = (asked, nth) => {
        if (asked === uuid && nth === 4) {
            place.bench.clock.time += 31_000;
            isLate = true;
        }
    };
    place.hooks.del = () => t.ok(isLate, 'not before');
    const lines = await place.pull();
    t.same(progressOf(lines, image.shortIds[0]), MADE);
    await expectActive(t, place, image);
    t.ok(isLate);
});

void t.test('a record that its maker takes back in time is no hindrance', async (t) => {
    const place = await hookedBench(t, MORAY);
    const image = await place.offer(SPEC);
    await plantBase(place, image, OF_OTHERS);
    const [uuid] = image.uuids;
    place.hooks.get = async (asked, nth) => {
        if (asked === uuid && nth === 3) await place.bench.database.del(asked);
    };
    const lines = await place.pull();
    t.same(progressOf(lines, image.shortIds[0]), MADE);
    await expectActive(t, place, image);
});

/** A record that is no pull's stays, and is in the way. */
async function expectInTheWay(t: Test, what: string, more: Readonly<Record<string, unknown>>): Promise<void> {
    const place = await hookedBench(t, { databaseType: 'local' });
    const image = await place.offer(SPEC);
    await plantBase(place, image, more);
    const [uuid = ''] = image.uuids;
    const before = await place.bench.raw(uuid);
    place.hooks.get = (_uuid, nth) => (place.bench.clock.time += nth === 4 ? 31_000 : 0);
    const lines = await place.pull();
    const { code, message } = imageUuidAlreadyExists(uuid);
    t.same(failureOf(lines), { code, message }, what);
    t.same(await place.bench.raw(uuid), before, what);
    t.same(await place.bench.files(), [], what);
    t.equal(stagedFiles(place.bench.base).length, 4, 'both layers wait for the next pull');
}

void t.test('what others have made by hand, or have a job for, stays', async (t) => {
    await expectInTheWay(t, 'by hand', {});
    const provenance = { kind: 'import', source_image: 'x', at: '2020-01-01T00:00:00.000Z' };
    await expectInTheWay(t, 'by a job', { x_imgapi: { ...OF_OTHERS.x_imgapi, provenance } });
});

void t.test('who was overtaken on the way goes on with what is there', async (t) => {
    const place = await hookedBench(t, MORAY);
    const image = await place.offer(SPEC);
    const [uuid] = image.uuids;
    place.hooks.create = async (raw) => {
        if (raw.uuid === uuid) {
            await plantBase(place, image, OF_OTHERS);
            await activateElsewhere(place, image);
        }
    };
    const lines = await place.pull();
    t.same(progressOf(lines, image.shortIds[0]), MADE.slice(0, 2));
    expectDone(t, lines);
    const archived = join(place.bench.base, 'archive', uuid?.slice(0, 3) ?? '', `${uuid}.json`);
    t.match(JSON.parse(readFileSync(archived, 'utf8')), { state: 'active' }, 'the archive has what is there');
    await expectActive(t, place, image);
});

void t.test('whose record was taken over finds what the other has made', async (t) => {
    const place = await hookedBench(t, MORAY);
    const image = await place.offer(SPEC);
    const [uuid] = image.uuids;
    // Before the file is put into the record, somebody has given this pull up, and is done with the layer.
    place.hooks.created = async (raw) => {
        if (raw.uuid === uuid) {
            await place.bench.database.del(raw.uuid);
            await plantBase(place, image, OF_OTHERS);
            await activateElsewhere(place, image);
        }
    };
    const lines = await place.pull();
    t.same(progressOf(lines, image.shortIds[0]), MADE.slice(0, 2));
    await expectActive(t, place, image);
    t.equal((await place.bench.bytes(uuid ?? '', 'file0'))?.toString(), 'theirs');
});

void t.test('nothing is made of a layer that was deleted and is being made anew', async (t) => {
    const place = await hookedBench(t, MORAY);
    const image = await place.offer(SPEC);
    const [base = '', top = ''] = image.uuids;
    place.hooks.create = async ({ uuid }) => {
        if (uuid === top) {
            delete place.hooks.create;
            await place.bench.database.del(base);
            await plantBase(place, image, OF_OTHERS);
        }
    };
    t.same(failureOf(await place.pull()), {
        code: 'OriginDoesNotExist',
        message: `origin image "${base}" does not exist`,
    });
    t.notOk(await place.bench.exists(top), 'who is making the layer may take it back');
    await activateElsewhere(place, image);
    expectDone(t, await place.pull());
    await expectActive(t, place, image);
});

void t.test('a record that cannot be filled is taken back, and nothing is fetched twice', async (t) => {
    const place = await hookedBench(t);
    const { hooks, bench, registry } = place;
    const image = await place.offer(SPEC);
    const [base = '', top = ''] = image.uuids;
    // The second pull gets further.
    for (const [nth, broken] of [
        [1, 'its file'],
        [3, 'the activation'],
    ] as const) {
        hooks.update = (uuid, count) => {
            if (uuid === top && count === nth) throw serviceUnavailable('service unavailable');
        };
        const lines = await place.pull();
        t.same(failureOf(lines), { code: 'ServiceUnavailableError', message: 'service unavailable' }, broken);
        t.equal((await bench.raw(base)).state, 'active', 'the base is a valid image');
        t.notOk(await bench.exists(top));
        const files = await bench.files();
        t.same(
            files.map(({ uuid, name }) => `${uuid} ${name}`),
            [`${base} file0`],
        );
        t.equal(await bench.pendingDeletes(), 0);
        t.same(stagedFiles(bench.base), [`${top}.data`, `${top}.json`]);
    }
    delete hooks.update;
    const lines = await place.pull();
    t.same(progressOf(lines, image.shortIds[0]), ['Already exists']);
    t.same(progressOf(lines, image.shortIds[1]), ['Download complete (cached)', ...MADE.slice(2)]);
    for (const { digest } of image.layers) t.equal(registry.downloads(digest).length, 1);
    await expectActive(t, place, image);
});

void t.test('a record is taken back as soon as the database can be asked again', async (t) => {
    const place = await hookedBench(t);
    const { hooks, bench } = place;
    const image = await place.offer(SPEC);
    const [base = ''] = image.uuids;
    const stop = new AbortController();
    let refused = 0;
    hooks.created = () => stop.abort(serviceUnavailable('server is shutting down'));
    hooks.del = () => {
        refused += 1;
        if (refused === 1) throw serviceUnavailable('service unavailable');
    };
    const lines = await place.pull('latest', { signal: stop.signal });
    t.same(failureOf(lines), { code: 'ServiceUnavailableError', message: 'server is shutting down' });
    t.equal(refused, 2);
    t.notOk(await bench.exists(base));
    t.same(await bench.files(), []);
    t.equal(stagedFiles(bench.base).length, 4);
});

void t.test('nobody reads any more: what is under way is ended, and waited for', async (t) => {
    const place = await hookedBench(t);
    const { hooks, bench } = place;
    const image = await place.offer(SPEC);
    const lines = place.begin();
    await new Promise<void>((resolve) => (hooks.created = () => resolve()));
    await lines.return();
    t.notOk(await bench.exists(image.uuids[0] ?? ''));
    t.same(await bench.files(), []);
    delete hooks.created;
    await readAll(place.begin(), '');
    await expectActive(t, place, image);
});

void t.test('pulls of the same image at the same time fetch each layer once', async (t) => {
    const place = await pullBench(t);
    const image = await place.offer(SPEC);
    const hold = place.registry.hold({ kind: 'get-blob', path: new RegExp(image.layers[1]?.digest ?? '') });
    const pulls = [place.pull(), place.pull(), place.pull()];
    await place.registry.waitFor({ kind: 'get-blob', path: new RegExp(image.layers[1]?.digest ?? '') });
    hold.resume();
    for (const lines of await Promise.all(pulls)) t.match(lines.at(-1), { type: 'status' });
    for (const { digest } of image.layers) t.equal(place.registry.downloads(digest).length, 1);
    const said = (await Promise.all(pulls)).flatMap((lines) => progressOf(lines, image.shortIds[1]));
    t.equal(said.filter((status) => status === 'Pull complete').length, 1, 'one of them makes the image');
    await expectActive(t, place, image);
});
