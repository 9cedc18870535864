// How a push fails, and what it leaves open then: nothing (jobs-and-imports 5.6).
import { once } from 'node:events';
import { Readable } from 'node:stream';
import t from 'tap';
import { serviceUnavailable } from '#lib/base/errors.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import type { RawImage } from '#lib/manifest/types.js';
import type { Storage } from '#lib/storage/storage.js';
import { FaultyStorage } from '../doubles/faulty-storage.js';
import type { ImageSpec } from '../helpers/docker-images.js';
import { USERS } from '../helpers/images.js';
import { layerBytes, pushBench, readAll, statusError, wholeImage } from '../helpers/push-bench.js';
import { errorLine, shortId, statuses } from '../helpers/push-lines.js';

const DOCKER: ImageSpec = { format: 'docker', layers: [{ seed: 'base' }, { seed: 'top', size: 300_000 }] };

void t.test('layers that are not there, or cannot be used', async (t) => {
    const image = await wholeImage(DOCKER);
    const top = image.uuids[1] ?? '';
    const changes: Readonly<Record<string, Partial<RawImage> | undefined>> = {
        absent: undefined,
        unactivated: { activated: false, state: 'unactivated' },
        disabled: { disabled: true, state: 'disabled' },
    };
    for (const [name, change] of Object.entries(changes)) {
        const { push, plant, bench, registry } = await pushBench(t);
        await plant(image);
        if (change === undefined) await bench.database.del(top);
        else await bench.database.update(top, (raw) => ({ ...raw, ...change }));
        const lines = await push(image);
        t.same(lines.at(-1), errorLine('ResourceNotFound', top), name);
        t.equal(statuses(lines, shortId(image, 1)).length, 0);
        t.equal(registry.manifests.size, 0);
    }
});

void t.test('an account pushes no layers that it may not know of', async (t) => {
    const { push, plant, bench, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    const top = image.uuids[1] ?? '';
    await bench.database.update(top, (raw) => ({ ...raw, public: false }));
    t.same(
        (await push(image, {}, { account: USERS.luke })).at(-1),
        errorLine('ResourceNotFound', top),
        'a stranger',
    );
    for (const account of [USERS.vader, undefined]) {
        const lines = await push(image, {}, account === undefined ? {} : { account });
        t.match(lines.at(-1), { payload: { aux: {} } }, account ?? 'an operator');
    }
    t.same(
        registry.uses.map(({ supplier }) => supplier),
        ['account', 'account', 'operator'],
        'whose registry it is',
    );
});

void t.test('what answers like no registry is none', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    const rows: readonly (readonly [unknown, string, string])[] = [
        [statusError(404, 'NOT_FOUND', 'x'), 'NotAvailable', 'registry quay.io does not support v2'],
        [statusError(500, 'X', 'x'), 'NotAvailable', 'registry quay.io does not support v2'],
        [new OutgoingError('malformed', 'x'), 'NotAvailable', 'registry quay.io does not support v2'],
        [statusError(401, 'UNAUTHORIZED', 'go away'), 'UnauthorizedError', 'go away'],
        [new OutgoingError('connect', 'refused'), 'RemoteSourceError', 'refused'],
        [new OutgoingError('timeout', 'late'), 'RemoteSourceError', 'late'],
    ];
    for (const [error, code, message] of rows) {
        let tries = 0;
        registry.before.ping = () => {
            tries += 1;
            throw error;
        };
        t.same(await push(image), [errorLine(code, message)]);
        t.equal(tries, 1);
    }
});

void t.test('what fails for reasons of the moment is tried again', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    const failures = new Map<string, number>();
    const failOnce = (what: string): void => {
        const count = failures.get(what) ?? 0;
        failures.set(what, count + 1);
        if (count === 0) throw statusError(503, 'UNAVAILABLE', 'not now');
    };
    registry.before = { putBlob: failOnce, putManifest: failOnce };
    t.match((await push(image)).at(-1), { payload: { aux: {} } });
    t.same([...failures.values()], [2, 2, 2, 2]);
    t.same(registry.blobs, image.blobs);
});

void t.test('the first failure ends the others, and is the one that is told', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage({
        ...DOCKER,
        layers: ['a', 'b', 'c', 'd', 'e'].map((seed) => ({ seed })),
    });
    await plant(image);
    let waiting = 0;
    let ended = 0;
    registry.before.hasBlob = async (digest, signal) => {
        if (digest === image.layers[2]?.digest) throw statusError(403, 'DENIED', 'access is denied');
        waiting += 1;
        if (!signal.aborted) await once(signal, 'abort');
        ended += 1;
        signal.throwIfAborted();
    };
    const lines = await push(image);
    t.same(lines.at(-1), errorLine('InternalError', 'access is denied'));
    t.same(statuses(lines, shortId(image, 2)), ['Preparing', 'Image push failed']);
    t.equal(lines.filter((line) => JSON.stringify(line).includes('Image push failed')).length, 1);
    t.same([waiting, ended], [2, 2], 'those under way were ended, the rest not begun');
});

void t.test('errors of the registry, as they are told', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    const rows: readonly (readonly [number, string, string])[] = [
        [401, 'UNAUTHORIZED', 'UnauthorizedError'],
        [404, 'NAME_UNKNOWN', 'ResourceNotFound'],
        [400, 'DIGEST_INVALID', 'ValidationFailed'],
        [413, 'TOOBIG', 'InternalError'],
    ];
    for (const [status, code, told] of rows) {
        for (const where of ['putBlob', 'putManifest'] as const) {
            registry.before = {
                [where]: () => {
                    throw statusError(status, code, 'in its words');
                },
            };
            registry.blobs.clear();
            t.same((await push(image)).at(-1), errorLine(told, 'in its words'), `${where} ${status}`);
        }
    }
});

void t.test('a file that cannot be read to its end fails for that reason', async (t) => {
    const made: FaultyStorage[] = [];
    const { push, plant, registry, bench } = await pushBench(t, {
        backend: 'local',
        wrapStorage: (storage) => {
            const faulty = new FaultyStorage(storage);
            made.push(faulty);
            return faulty;
        },
    });
    const image = await wholeImage(DOCKER);
    await plant(image);
    const [faulty] = made;
    if (faulty === undefined) throw new Error('no storage');
    faulty.faults.breakReadsAfter(1000);
    t.same(
        (await push(image)).at(-1),
        errorLine('InternalError', 'error reading image file: read broken off'),
        'not for what the registry makes of it',
    );
    t.equal(registry.blobs.size, 0);
    faulty.faults.heal();

    const top = image.uuids[1] ?? '';
    await bench.plantFile(top, 'file0', Buffer.from('too short'));
    t.same(
        (await push(image)).at(-1),
        errorLine('InternalError', `image "${top}" file is corrupt in storage`),
    );
    const other = layerBytes(image, 1).map((byte) => byte ^ 1);
    await bench.plantFile(top, 'file0', Buffer.from(other));
    t.same(
        (await push(image)).at(-1),
        errorLine('ValidationFailed', 'provided digest did not match uploaded content'),
        'the registry knows what it is to get',
    );
    await bench.local.remove(top, 'file0');
    t.same(
        (await push(image)).at(-1),
        errorLine('ResourceNotFound', `image "${top}" file is missing from storage`),
    );
    t.equal(registry.manifests.size, 0);
});

/** Has a storage hand out what `change` makes of its streams; gives those of the storage itself. */
function openedFrom(storage: Storage, change: (stream: Readable) => Readable): readonly Readable[] {
    const opened: Readable[] = [];
    const open = storage.open.bind(storage);
    storage.open = async (...args) => {
        const file = await open(...args);
        if (file === undefined) return undefined;
        opened.push(file.stream);
        return { ...file, stream: change(file.stream) };
    };
    return opened;
}

void t.test('a file that ends before its last byte', async (t) => {
    const { push, plant, registry, bench } = await pushBench(t);
    const image = await wholeImage({ ...DOCKER, layers: [{ seed: 'short', size: 100_000 }] });
    await plant(image);
    openedFrom(bench.local, () => Readable.from([Buffer.from('all there is')], { objectMode: false }));
    const message = `image "${image.uuids[0] ?? ''}" file is corrupt in storage`;
    t.same((await push(image)).at(-1), errorLine('InternalError', message));
    t.equal(registry.uploads.length, 1, 'it would be no better the next time');
    t.equal(registry.blobs.size, 0);
});

void t.test('a try that failed leaves nothing open for the next', async (t) => {
    const { push, plant, registry, bench } = await pushBench(t, { backend: 'local' });
    const image = await wholeImage({ ...DOCKER, layers: [{ seed: 'a', size: 600_000 }] });
    await plant(image);
    const opened = openedFrom(bench.local, (stream) => stream);
    const put = registry.putBlob.bind(registry);
    const before: boolean[] = [];
    registry.putBlob = async (blob, request) => {
        if (blob.digest === image.config.digest || opened.length > 0) {
            before.push(...opened.map(({ destroyed }) => destroyed));
            return put(blob, request);
        }
        await once(await blob.open(), 'readable');
        throw new OutgoingError('connect', 'reset');
    };
    t.match((await push(image)).at(-1), { payload: { aux: {} } });
    t.same(before.slice(0, 1), [true]);
    t.equal(opened.length, 2);
});

void t.test('a reader that goes ends everything, and nothing stays open', async (t) => {
    const { begin, wanted, plant, registry, bench } = await pushBench(t, { backend: 'local' });
    const layers = ['a', 'b'].map((seed) => ({ seed, size: 600_000 }));
    const image = await wholeImage({ ...DOCKER, layers });
    await plant(image);
    const sources = openedFrom(bench.local, (stream) => stream);
    let begun = 0;
    let wake: () => void = () => undefined;
    const both = new Promise<void>((resolve) => (wake = resolve));
    registry.putBlob = async (blob, { signal }) => {
        const source = await blob.open();
        await once(source, 'readable');
        begun += 1;
        if (begun === 2) wake();
        await once(signal, 'abort');
        throw new OutgoingError('aborted', 'given up');
    };
    const lines = begin(wanted(image));
    await both;
    t.same(
        sources.map(({ destroyed }) => destroyed),
        [false, false],
    );
    await lines.return();
    t.same(
        sources.map(({ destroyed }) => destroyed),
        [true, true],
    );
});

void t.test('a reader that takes nothing holds nothing up, and gets it all later', async (t) => {
    const { begin, wanted, plant, registry } = await pushBench(t);
    const image = await wholeImage({
        ...DOCKER,
        layers: Array.from({ length: 30 }, (_, at) => ({ seed: `${at}` })),
    });
    await plant(image);
    const done = new Promise<void>((resolve) => {
        registry.before.putManifest = () => resolve();
    });
    const lines = begin(wanted(image));
    await done;
    const told = await readAll(lines);
    t.equal(told.length, 62);
    t.match(told.at(-1), { payload: { aux: { Tag: '1' } } });
});

void t.test('a server that stops says so', async (t) => {
    const { begin, wanted, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    for (const where of ['ping', 'hasBlob'] as const) {
        const stop = new AbortController();
        registry.before = {
            [where]: async (_what: string, signal: AbortSignal) => {
                if (!signal.aborted) {
                    setImmediate(() => stop.abort(serviceUnavailable('server is shutting down')));
                    await once(signal, 'abort');
                }
                throw new OutgoingError('aborted', 'given up');
            },
        };
        const lines = await readAll(begin(wanted(image), { signal: stop.signal }));
        t.same(lines.at(-1), errorLine('ServiceUnavailableError', 'server is shutting down'), where);
    }
});
