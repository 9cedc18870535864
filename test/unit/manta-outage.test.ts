import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import type { MantaObjects } from '#lib/remotes/manta/manta-objects.js';
import {
    DOWN,
    LIMITS,
    OCTETS,
    names,
    objectsBench,
    openStrange,
    refused,
    requireWorking,
    store,
} from '../helpers/manta-objects.js';
import { md5 } from '../helpers/manta-raw.js';

void t.test('an outage is 503 at once, a silence in bounded time, and all is well afterwards', async (t) => {
    const area = await objectsBench(t, { maxSockets: 4, limits: LIMITS });
    const { objects, root, double } = area;
    const path = await store(area, 'o', Buffer.from('x'));
    const calls: (() => Promise<unknown>)[] = [
        () => objects.check(),
        () => objects.makeDirectory(`${root}/d`),
        () => objects.removeDirectory(`${root}/d`),
        () => objects.put(path, Buffer.from('x'), OCTETS),
        async () => (await objects.upload(path, OCTETS)).end(),
        () => objects.open(path),
        () => objects.read(path, 9),
        () => objects.stat(path),
        () => objects.remove(path),
        () => objects.copy(path, `${path}2`),
        () => names(objects, root),
    ];
    const failAll = async (what: string): Promise<void> => {
        const begin = performance.now();
        await Promise.all(calls.map((call) => t.rejects(call(), DOWN, what)));
        t.ok(performance.now() - begin < 4 * LIMITS.call, `${what}: ${performance.now() - begin} ms`);
    };
    await double.stop();
    await failAll('nobody listens');
    await double.restart();
    await requireWorking(t, area);
    const end = double.inject({ hang: true });
    await failAll('silence');
    await failAll('more silence');
    end();
    await requireWorking(t, area);
    for (const fault of [{ refuse: 503 }, { cutAnswer: 'not-made' }] as const) {
        const mend = double.inject(fault);
        await failAll(JSON.stringify(fault));
        mend();
    }
    await requireWorking(t, area);
    t.ok(double.open <= 4, `${double.open} connections`);
    const pending = await objects.upload(path, OCTETS);
    const opened = await objects.open(path);
    double.inject({ hang: true });
    const waiting = [...calls, ...calls].map((call) => t.rejects(call(), DOWN));
    await double.waitFor({ kind: 'mkdir' });
    objects.close();
    await Promise.all(waiting);
    await t.rejects(pending.end(), DOWN);
    await t.rejects(buffer(opened!.stream), DOWN);
});

void t.test('what may be repeated is tried three times', async (t) => {
    const { objects, root, double } = await objectsBench(t);
    await objects.put(`${root}/o`, Buffer.from('x'), OCTETS);
    const calls: (() => Promise<unknown>)[] = [
        () => objects.stat(`${root}/o`),
        () => objects.makeDirectory(`${root}/d`),
        () => objects.read(`${root}/o`, 9),
        () => names(objects, root),
        () => objects.copy(`${root}/o`, `${root}/p`),
        () => objects.remove(`${root}/p`),
    ];
    for (const call of calls) {
        double.clearRequests();
        const end = double.inject({ refuse: 503 }, { times: 2 });
        await call();
        end();
        t.same(
            double
                .requests()
                .map(({ status }) => status)
                .slice(0, 2),
            [503, 503],
        );
        const mend = double.inject({ refuse: 503 }, { times: 3 });
        await t.rejects(call(), DOWN);
        mend();
    }
    double.inject({ refuse: { status: 409, code: 'ConcurrentRequest', message: 'busy' } }, { times: 1 });
    await objects.makeDirectory(`${root}/e`);
    double.clearRequests();
    double.inject({ refuse: 503 }, { times: 1 });
    await t.rejects(objects.put(`${root}/o`, Buffer.from('x'), OCTETS), DOWN);
    t.equal(double.requests().length, 1, 'a put might undo what came in between');
});

void t.test('connections that were closed while nobody used them do not matter', async (t) => {
    const area = await objectsBench(t, { maxSockets: 20 });
    for (let round = 0; round < 5; round += 1) {
        await Promise.all(Array.from({ length: 8 }, () => requireWorking(t, area)));
        area.double.cutConnections();
        await area.objects.remove(`${area.root}/one`);
        area.double.cutConnections();
        await area.objects.upload(`${area.root}/one`, OCTETS).then((upload) => upload.end());
    }
});

void t.test('copies without links', async (t) => {
    const area = await objectsBench(t, { maxSockets: 1, snaplinks: false, limits: LIMITS });
    const { objects, root, double } = area;
    const bytes = randomBytes(2_000_000);
    const path = await store(area, 'o', bytes);
    await Promise.all(Array.from({ length: 6 }, (_none, index) => objects.copy(path, `${root}/c${index}`)));
    for (let index = 0; index < 6; index += 1) {
        t.ok((await objects.read(`${root}/c${index}`, bytes.length))?.bytes.equals(bytes));
    }
    double.clearRequests();
    await objects.copy(path, `${root}/c0`);
    t.equal(double.requests({ kind: 'link' }).length, 0, 'the refusal is remembered');
    t.match(double.requests({ kind: 'put' })[0]?.headers, {
        'content-md5': md5(bytes),
        'content-length': '2000000',
    });
    await t.rejects(objects.copy(`${root}/none`, `${root}/c0`), refused(404));
    for (const fault of [{ cutAfter: 500_000 }, { corrupt: 'bytes' }] as const) {
        const end = double.inject(fault, { kind: 'get' });
        await t.rejects(objects.copy(path, `${root}/new`));
        end();
    }
    const end = double.inject({ cutAfter: 500_000 }, { kind: 'put' });
    await t.rejects(objects.copy(path, `${root}/new`), DOWN);
    end();
    t.equal(await objects.stat(`${root}/new`), undefined);
    await requireWorking(t, area);
    double.snaplinks = true;
    await objects.copy(path, `${root}/link`, { link: false });
    t.equal(double.requests({ kind: 'link' }).length, 0);
    const stop = AbortSignal.abort(new Error('enough'));
    await t.rejects(objects.copy(path, `${root}/new`, { signal: stop }), { message: 'enough' });
});

void t.test('servers that are no Manta', async (t) => {
    const limits = { ...LIMITS, call: 5000, headers: 5000 };
    const strange = (listener: RequestListener): Promise<MantaObjects> =>
        openStrange(t, listener, { limits });
    const path = '/admin/stor/o';
    const page = await strange((_request, response) => {
        response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>not here</h1>');
    });
    await t.rejects(names(page, '/admin/stor'), refused(404), 'no empty directory');
    await t.rejects(page.open(path), refused(404));
    await t.rejects(page.remove(path), refused(404));
    await t.rejects(page.removeDirectory(path), refused(404));
    const moved = await strange((_request, response) => {
        response.writeHead(302, { location: '/elsewhere' }).end();
    });
    await t.rejects(moved.open(path), { code: 'UnexpectedAnswer', status: 302 });
    await t.rejects(moved.put(path, Buffer.from('x'), OCTETS), { code: 'UnexpectedAnswer' });
    await t.rejects(moved.upload(path, OCTETS), { code: 'UnexpectedAnswer' });
    await t.rejects(moved.remove(path), { code: 'UnexpectedAnswer' });
    await t.rejects(moved.copy(path, `${path}2`), { code: 'UnexpectedAnswer' });
    await t.rejects(moved.stat(path), { code: 'UnexpectedAnswer' });
    const broken = await strange((request, response) => {
        const status = request.method === 'GET' ? 500 : 404;
        response.writeHead(status, { 'content-length': 1000 });
        response.write('{"code":', () => request.socket.destroy());
    });
    const begin = performance.now();
    await t.rejects(broken.open(path), DOWN);
    await t.rejects(broken.remove(path), DOWN);
    await t.rejects(broken.put(path, Buffer.from('x'), OCTETS), DOWN);
    t.ok(performance.now() - begin < 4000, 'at once');
    const endless = await strange((_request, response) => {
        response.writeHead(500);
        const more = (): void => {
            if (!response.destroyed) response.write(Buffer.alloc(100_000, 'x'), () => setImmediate(more));
        };
        more();
    });
    await t.rejects(endless.remove(path), DOWN, 'an error answer without end');
    await t.rejects(endless.open(path), DOWN);
    const other = await strange((request, response) => {
        request.resume();
        response.writeHead(200, { 'content-length': 5 }).end('hello');
    });
    await t.rejects(other.open(path, { start: 1 }), { code: 'UnexpectedAnswer' }, 'the range is passed over');
    await t.rejects(other.upload(path, OCTETS), DOWN, 'an answer before the bytes');
    await t.rejects(names(other, path), { code: 'NotADirectory' });
    const unsized = await strange((_request, response) => {
        response
            .writeHead(200, { 'content-type': 'application/x-json-stream; type=directory' })
            .end('{"a":1}\n');
    });
    await t.rejects(names(unsized, path), { code: 'InvalidListing' });
    const switching = await strange((request) => {
        request.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
    });
    await t.rejects(switching.remove(path), DOWN);
    await t.rejects(switching.open(path), DOWN);
});
