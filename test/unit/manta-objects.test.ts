import { randomBytes } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import {
    DOWN,
    LIMITS,
    OCTETS,
    names,
    objectsBench,
    openObjects,
    refused,
    requireWorking,
    store,
    uploaded,
} from '../helpers/manta-objects.js';
import { md5 } from '../helpers/manta-raw.js';
import { eventually } from '../helpers/server-process.js';

void t.test('objects and directories', async (t) => {
    const area = await objectsBench(t);
    const { objects, root, double } = area;
    await objects.check();
    const deep = `${root}/imgapi/dc/images/abc`;
    await objects.makeDirectory(deep);
    await objects.makeDirectory(deep);
    t.equal((await objects.stat(deep))?.isDirectory, true);
    const bytes = Buffer.from('some text');
    const path = `${deep}/object ü%`;
    t.match(await objects.put(path, bytes, { contentType: 'text/plain', md5: md5(bytes) }), {
        md5: md5(bytes),
        etag: /./,
    });
    t.match(await objects.stat(path), { size: 9, md5: md5(bytes), etag: /./, isDirectory: false });
    t.match(await objects.read(path, 9), { bytes, etag: /./ });
    await t.rejects(objects.read(path, 8), { message: /9 bytes, more than 8/ });
    t.match(double.requests({ kind: 'put' })[0]?.headers, { 'user-agent': 'IMGAPI/test' });
    await objects.put(path, Buffer.alloc(0), OCTETS);
    t.equal((await objects.read(path, 0))?.bytes.length, 0);
    t.equal(await objects.removeDirectory(deep), false, 'not empty');
    t.equal(await objects.remove(path), true);
    t.equal(await objects.remove(path), false);
    t.equal(await objects.removeDirectory(deep), true);
    t.equal(await objects.removeDirectory(deep), true, 'not there');
    for (const missing of [path, `${root}/none/at/all`]) {
        t.equal(await objects.stat(missing), undefined);
        t.equal(await objects.open(missing), undefined);
        t.equal(await objects.open(missing, { start: 3, end: 2 }), undefined);
        t.equal(await objects.read(missing, 1), undefined);
        t.same(await names(objects, missing), []);
    }
    t.equal(await objects.open(root), undefined, 'a directory is no object');
    t.equal(await objects.open(root, { start: 3, end: 2 }), undefined);
    await t.rejects(objects.put(`${root}/none/x`, bytes, OCTETS), { code: 'DirectoryDoesNotExist' });
    await t.rejects(objects.makeDirectory('/nobody/stor/x'), refused(403));
});

void t.test('conditions', async (t) => {
    const { objects, root } = await objectsBench(t);
    const path = `${root}/marker`;
    const { etag } = await objects.put(path, Buffer.from('a'), { ...OCTETS, ifNew: true });
    await t.rejects(objects.put(path, Buffer.from('b'), { ...OCTETS, ifNew: true }), refused(412));
    await t.rejects(objects.upload(path, { ...OCTETS, ifMatch: 'other' }), refused(412));
    await objects.put(path, Buffer.from('c'), { ...OCTETS, ifMatch: etag! });
    t.equal((await objects.read(path, 9))?.bytes.toString(), 'c');
});

void t.test('long listings come page by page', async (t) => {
    const { objects, root, double } = await objectsBench(t, { maxSockets: 100 });
    await objects.makeDirectory(`${root}/d`);
    const expected = Array.from({ length: 2001 }, (_none, index) => `o${String(index).padStart(4, '0')}`);
    const first = `${root}/d/${expected[0] ?? ''}`;
    await objects.put(first, Buffer.from('x'), OCTETS);
    for (let at = 1; at < expected.length; at += 50) {
        const part = expected.slice(at, at + 50);
        await Promise.all(part.map((name) => objects.copy(first, `${root}/d/${name}`)));
    }
    t.same(await names(objects, `${root}/d`), expected);
    t.equal(double.requests({ kind: 'list' }).length, 3);
    for await (const line of objects.list(`${root}/d`)) {
        t.match(line, { name: 'o0000', isDirectory: false, size: 1 });
        t.ok(Math.abs(line.mtime - Date.now()) < 600_000);
        break;
    }
    await t.rejects(names(objects, first), { code: 'NotADirectory' }, 'an object is no empty directory');
});

void t.test('uploads, sized and not, from memory that is used again, plain and by TLS', async (t) => {
    for (const tls of [false, true]) {
        const { objects, root } = await objectsBench(t, { tls });
        const bytes = randomBytes(5_000_000);
        // As the digest threads have it.
        const shared = Buffer.from(new SharedArrayBuffer(700_000));
        for (const size of [bytes.length, undefined]) {
            const path = `${root}/upload-${String(size)}`;
            const upload = await objects.upload(path, { ...OCTETS, ...(size !== undefined && { size }) });
            for (let at = 0; at < bytes.length; at += shared.length) {
                const length = bytes.copy(shared, 0, at);
                await upload.write(shared.subarray(0, length));
                shared.fill(0);
            }
            t.equal(await objects.stat(path), undefined, 'invisible until the end');
            t.match(await upload.end(), { md5: md5(bytes) });
            await upload.abort();
            t.ok((await objects.read(path, bytes.length))?.bytes.equals(bytes), `tls ${tls}`);
        }
        const empty = await objects.upload(`${root}/empty`, OCTETS);
        await empty.write(Buffer.alloc(0));
        await empty.end();
        t.equal((await objects.stat(`${root}/empty`))?.size, 0);
    }
});

void t.test('a certificate nobody trusts is an outage', async (t) => {
    const { config, objects } = await objectsBench(t, { tls: true });
    await objects.check();
    const strict = await openObjects(t, { ...config, insecure: false }, { limits: LIMITS });
    await t.rejects(strict.check(), { ...DOWN, cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } });
});

void t.test(
    'uploads that are refused, break, stall or are given up leave no connection in use',
    async (t) => {
        const area = await objectsBench(t, { maxSockets: 3, limits: LIMITS });
        const { objects, root, double } = area;
        const path = `${root}/up`;
        const chunk = Buffer.alloc(4_000_000, 'x');
        for (let round = 0; round < 4; round += 1) {
            await t.rejects(objects.upload(`${root}/none/x`, { ...OCTETS, size: 3 }), refused(404));
            const over = await objects.upload(path, OCTETS);
            await over.abort();
            await t.rejects(over.write(chunk), DOWN);
            await t.rejects(over.end(), DOWN);
            const half = await objects.upload(path, { ...OCTETS, size: chunk.length * 3 });
            const writing = half.write(chunk);
            await half.abort();
            await t.rejects(writing, DOWN, 'abort ends a write');
            const nearly = await objects.upload(path, OCTETS);
            await nearly.write(chunk);
            const ending = nearly.end();
            await nearly.abort();
            await ending.catch((error: unknown) => t.match(error, DOWN));
            await requireWorking(t, area);
        }
        await objects.remove(path);
        const cases = [
            [{ refuse: 503 }, DOWN],
            [{ refuse: 507 }, DOWN],
            [
                { refuse: { status: 403, code: 'NoMatchingRoleTag', message: 'no' } },
                { code: 'NoMatchingRoleTag' },
            ],
            [{ hang: true }, DOWN],
            [{ noContinue: true }, DOWN],
            [{ cutAfter: 100_000 }, DOWN],
            [{ bytesPerSecond: 100_000 }, DOWN],
            [{ cutAnswer: 'not-made' }, DOWN],
        ] as const;
        for (const [fault, expected] of cases) {
            const end = double.inject(fault, { kind: 'put' });
            await t.rejects(
                async () =>
                    uploaded(
                        await objects.upload(path, { ...OCTETS, size: 16_000_000 }),
                        Buffer.alloc(16_000_000),
                        4_000_000,
                    ),
                expected,
                JSON.stringify(fault),
            );
            end();
            await requireWorking(t, area);
            t.equal(await objects.stat(path), undefined);
        }
        const upload = await objects.upload(path, { ...OCTETS, md5: md5('other') });
        await t.rejects(uploaded(upload, Buffer.from('bytes'), 5), { code: 'ContentMD5Mismatch' });
        await requireWorking(t, area);
    },
);

void t.test('an upload ends when its signal is aborted', async (t) => {
    const { objects, root, double } = await objectsBench(t);
    const path = `${root}/up`;
    const stop = new AbortController();
    const { signal } = stop;
    const upload = await objects.upload(path, { ...OCTETS, signal });
    await upload.write(Buffer.from('x'));
    const reason = new Error('enough');
    stop.abort(reason);
    await t.rejects(upload.end(), reason);
    await t.rejects(objects.upload(path, { ...OCTETS, signal }), reason);
    const hold = double.hold({ kind: 'put' });
    const late = new AbortController();
    const starting = objects.upload(path, { ...OCTETS, signal: late.signal });
    await hold.arrived();
    late.abort(reason);
    await t.rejects(starting, reason);
    hold.resume();
    const ended = new AbortController();
    const fine = await objects.upload(path, { ...OCTETS, signal: ended.signal });
    await fine.end();
    await eventually('no listener', 1000, () => getEventListeners(ended.signal, 'abort').length === 0);
    t.equal(getEventListeners(late.signal, 'abort').length, 0);
});

void t.test('ranges', async (t) => {
    const area = await objectsBench(t);
    const bytes = randomBytes(600_000);
    const path = await store(area, 'o', bytes);
    const empty = await store(area, 'empty', Buffer.alloc(0));
    for (const [start, end] of [
        [0, 0],
        [0, 599_999],
        [5, 1_000_000],
        [599_999, undefined],
        [100, 200_000],
        [600_000, undefined],
        [900_000, 900_010],
        [7, 6],
    ] as const) {
        const opened = await area.objects.open(path, { start, ...(end !== undefined && { end }) });
        const expected = bytes.subarray(start, (end ?? bytes.length) + 1);
        const found = await buffer(opened!.stream);
        t.ok(found.equals(expected), `${start}-${String(end)}`);
        t.match(opened, { size: 600_000, md5: md5(bytes) });
        t.equal(opened!.bytesRead(), expected.length);
    }
    for (const range of [{}, { start: 0 }, { start: 0, end: 5 }, { start: 4 }]) {
        const opened = await area.objects.open(empty, range);
        t.equal(opened?.size, 0);
        t.equal((await buffer(opened!.stream)).length, 0);
    }
});

void t.test(
    'downloads that break, stall, are changed or given up fail and leave no connection in use',
    async (t) => {
        const area = await objectsBench(t, { maxSockets: 3, limits: LIMITS });
        const { objects, double } = area;
        const path = await store(area, 'o', randomBytes(6_000_000));
        const cases = [
            [{ cutAfter: 1_000_000 }, DOWN],
            [{ bytesPerSecond: 1 }, DOWN],
            [{ corrupt: 'bytes' }, { message: /Content-MD5 is ".*", expected ".*"/ }],
            [{ corrupt: 'md5' }, { message: /Content-MD5 is/ }],
        ] as const;
        for (const [fault, expected] of cases) {
            const end = double.inject(fault, { kind: 'get' });
            const opened = await objects.open(path);
            await t.rejects(buffer(opened!.stream), expected, JSON.stringify(fault));
            end();
            await requireWorking(t, area);
        }
        const stop = new AbortController();
        for (let round = 0; round < 8; round += 1) {
            const opened = await objects.open(path, { signal: stop.signal });
            if (round % 2 === 0) await once(opened!.stream, 'readable');
            opened!.stream.destroy();
            await once(opened!.stream, 'close');
            const small = await objects.open(path, { start: 0, end: 10 });
            // All of it is here, and nobody has read it.
            await once(small!.stream, 'readable');
            small!.stream.destroy();
            await buffer((await objects.open(path, { end: 9, signal: stop.signal }))!.stream);
        }
        await requireWorking(t, area);
        t.equal(getEventListeners(stop.signal, 'abort').length, 0);
        const opened = await objects.open(path, { signal: stop.signal });
        stop.abort(new Error('enough'));
        await t.rejects(buffer(opened!.stream), { message: 'enough' });
        await t.rejects(objects.open(path, { signal: stop.signal }), { message: 'enough' });
        t.ok(double.open <= 3, `${double.open} connections`);
    },
);

void t.test('a slow reader is waited for', async (t) => {
    const area = await objectsBench(t, { limits: { stall: 300 } });
    const bytes = randomBytes(3_000_000);
    const opened = await area.objects.open(await store(area, 'o', bytes));
    const { stream } = opened!;
    const stalled = new Promise((resolve) => setTimeout(resolve, 700));
    await once(stream, 'readable');
    await stalled;
    t.ok((await buffer(stream)).equals(bytes));
});
