import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { matches } from '../doubles/call-rules.js';
import { RequestLog, type LoggedRequest } from '../doubles/manta/request-log.js';
import { codeOf, mantaBench, md5 } from '../helpers/manta-raw.js';
import { eventually } from '../helpers/server-process.js';

void t.test('refused calls do nothing, as often and where they are told', async (t) => {
    const { client, double, raw, root } = await mantaBench(t);
    double.inject({ refuse: 503 }, { kind: 'mkdir', skip: 1, times: 2 });
    const mkdir = (name: string): Promise<unknown> => client.call('mkdir', `${root}/${name}`, {});
    await mkdir('a');
    await t.rejects(mkdir('b'), { statusCode: 503, code: 'ServiceUnavailable' });
    await client.put(`${root}/o`, Buffer.from('x'));
    await t.rejects(mkdir('b'), { code: 'ServiceUnavailable' });
    t.equal(codeOf(await raw.get(`${root}/b`)), '404 ResourceNotFound');
    await mkdir('b');
    const end = double.inject({ refuse: 507 }, { kind: ['put', 'link'], path: /o2$/ });
    await t.rejects(client.put(`${root}/o2`, Buffer.from('x')), { statusCode: 507, code: 'NotEnoughSpace' });
    await t.rejects(client.call('ln', `${root}/o`, `${root}/o2`, {}), { code: 'NotEnoughSpace' });
    end();
    await client.put(`${root}/o2`, Buffer.from('x'));
    double.inject({ refuse: 500 }, { method: 'DELETE', path: (path) => path.endsWith('/o') });
    t.equal(codeOf(await raw.delete(`${root}/o`)), '500 InternalError');
    double.inject({ refuse: { status: 404, code: 'Odd', message: 'odd' } }, { path: `${root}/o`, times: 1 });
    t.equal(codeOf(await raw.get(`${root}/o`)), '404 Odd');
    double.clearFaults();
    t.equal((await raw.delete(`${root}/o`)).status, 204);
});

void t.test('which calls something is for', (t) => {
    const call = { method: 'GET', kind: 'get', path: '/a/stor/o' } as const;
    const everywhere = /stor/g;
    t.ok(matches({ path: everywhere }, call) && matches({ path: everywhere }, call), 'nothing is kept');
    t.ok(matches({}, call) && matches({ kind: ['put', 'get'] }, call) && matches({ method: 'GET' }, call));
    t.notOk(matches({ kind: 'head' }, call) || matches({ method: 'PUT' }, call));
    t.notOk(matches({ path: '/a/stor' }, call) || matches({ path: () => false }, call));
    t.end();
});

void t.test('a call that hangs is never answered', async (t) => {
    const { client, double, root } = await mantaBench(t);
    double.inject({ hang: true }, { kind: 'mkdir', times: 1 });
    const hung = client.call('mkdir', `${root}/d`, {});
    await double.waitFor({ kind: 'mkdir' });
    await client.call('mkdir', `${root}/e`, {});
    t.equal(double.requests({ kind: 'mkdir' })[0]?.status, undefined);
    t.equal(double.entry(`${root}/d`), undefined);
    double.cutConnections();
    await t.rejects(hung, { code: 'ECONNRESET' });
});

void t.test('bodies that are slow', async (t) => {
    const { client, double, root } = await mantaBench(t);
    const bytes = Buffer.alloc(100_000, 'slow');
    const took = async (work: Promise<unknown>): Promise<number> => {
        const begin = performance.now();
        await work;
        return performance.now() - begin;
    };
    double.inject({ bytesPerSecond: 200_000 }, { kind: ['put', 'get'] });
    t.ok((await took(client.put(`${root}/o`, bytes))) > 450);
    let read = Buffer.alloc(0);
    t.ok((await took(client.read(`${root}/o`).then((all) => (read = Buffer.from(all))))) > 450);
    t.ok(read.equals(bytes));
});

void t.test('bodies that are cut', async (t) => {
    const { client, double, raw, root } = await mantaBench(t);
    const bytes = Buffer.alloc(3_000_000, 'cut');
    await client.put(`${root}/o`, bytes);
    double.inject({ cutAfter: 1_234_567 }, { times: 1 });
    const message = await raw.download(`${root}/o`);
    let received = 0;
    message.on('data', (chunk: Buffer) => (received += chunk.length));
    await t.rejects(once(message, 'end'), { code: 'ECONNRESET' });
    t.equal(received, 1_234_567);
    double.inject({ cutAfter: 1_000_000 }, { kind: 'get', times: 1 });
    t.ok((await client.read(`${root}/o`, { headers: { range: 'bytes=0-999999' } })).length === 1_000_000);
    double.inject({ cutAfter: 1_000_000 }, { kind: 'put', times: 1 });
    const put = client.put(`${root}/o`, Readable.from([Buffer.alloc(2_000_000)]));
    await t.rejects(put, { code: /ECONNRESET|EPIPE/ });
    const logged = await double.waitFor({ kind: 'put' }, { nth: 2, done: true });
    t.ok(logged.bytesIn >= 1_000_000 && logged.status === undefined);
    t.equal((await client.info(`${root}/o`)).md5, md5(bytes));
    t.equal(double.blobs.length, 1);
});

void t.test('cut instead of an answer, with the change made or not', async (t) => {
    const { client, double, root } = await mantaBench(t);
    const calls: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
        put: (name) => client.put(`${root}/${name}`, Buffer.from('x')),
        link: (name) => client.call('ln', `${root}/source`, `${root}/${name}`, {}),
        mkdir: (name) => client.call('mkdir', `${root}/${name}`, {}),
    };
    await client.put(`${root}/source`, Buffer.from('x'));
    for (const [kind, call] of Object.entries(calls)) {
        double.inject({ cutAnswer: 'not-made' }, { times: 1 });
        await t.rejects(call(kind), { code: 'ECONNRESET' });
        t.equal(double.entry(`${root}/${kind}`), undefined);
        double.inject({ cutAnswer: 'made' }, { times: 1 });
        await t.rejects(call(kind), { code: 'ECONNRESET' });
        t.not(double.entry(`${root}/${kind}`), undefined);
        double.inject({ cutAnswer: 'not-made' }, { kind: 'delete', times: 1 });
        await t.rejects(client.call('unlink', `${root}/${kind}`, {}), { code: 'ECONNRESET' });
        t.not(double.entry(`${root}/${kind}`), undefined);
        double.inject({ cutAnswer: 'made' }, { kind: 'delete', times: 1 });
        await t.rejects(client.call('unlink', `${root}/${kind}`, {}), { code: 'ECONNRESET' });
        t.equal(double.entry(`${root}/${kind}`), undefined);
    }
    double.inject({ cutAnswer: 'made' }, { kind: 'get', times: 1 });
    await t.rejects(client.get(`${root}/source`), { code: 'ECONNRESET' });
    t.equal(double.blobs.length, 1);
});

void t.test('bytes and sums that are wrong', async (t) => {
    const { client, double, root } = await mantaBench(t);
    double.inject({ wrongMd5: true }, { kind: 'put', times: 1 });
    const put = await client.put(`${root}/o`, Buffer.from('bytes'));
    t.not(put.headers['computed-md5'], md5('bytes'));
    t.equal((await client.info(`${root}/o`)).md5, md5('bytes'));
    double.inject({ corrupt: 'bytes' }, { kind: 'get', times: 1 });
    await t.rejects(client.read(`${root}/o`), { name: 'ChecksumError' });
    double.inject({ corrupt: 'md5' }, { times: 2 });
    t.not((await client.info(`${root}/o`)).md5, md5('bytes'));
    await t.rejects(client.read(`${root}/o`), { name: 'ChecksumError' });
    t.equal((await client.read(`${root}/o`)).toString(), 'bytes');
});

void t.test('a body may come although nobody has said so', async (t) => {
    const { double, raw, root } = await mantaBench(t);
    double.inject({ noContinue: true, bytesPerSecond: 1e9 });
    const headers = { 'content-length': '4', expect: '100-continue' };
    const { request, answer, continued } = raw.open('PUT', `${root}/o`, { headers });
    request.flushHeaders();
    await double.waitFor({ kind: 'put' });
    request.end('body');
    t.equal(await continued, false);
    t.equal((await answer).status, 204);
    t.equal((await raw.get(`${root}/o`)).text, 'body');
});

void t.test('calls are held before they do anything, or before they are answered', async (t) => {
    const { client, double, root } = await mantaBench(t);
    const mkdir = (name: string): Promise<unknown> => client.call('mkdir', `${root}/${name}`, {});
    const before = double.hold({ kind: 'mkdir', times: 1 });
    const first = mkdir('a');
    await before.arrived();
    t.equal(double.entry(`${root}/a`), undefined);
    await mkdir('other');
    before.resume();
    await first;
    const after = double.hold({ path: `${root}/b` }, 'after');
    const second = mkdir('b');
    await after.arrived();
    t.not(double.entry(`${root}/b`), undefined);
    after.drop();
    await t.rejects(second, { code: 'ECONNRESET' });
    const dropped = double.hold({ path: /c$/ });
    const third = Promise.allSettled([mkdir('c'), client.put(`${root}/cc`, Buffer.from('x'))]);
    await dropped.arrived(2);
    t.equal(dropped.waiting, 2);
    dropped.drop();
    t.same(
        (await third).map(({ status }) => status),
        ['rejected', 'rejected'],
    );
    t.same([double.entry(`${root}/c`), double.entry(`${root}/cc`)], [undefined, undefined]);
    await t.rejects(mkdir('c'), { code: 'ECONNRESET' }, 'later ones too');
    double.clearFaults();
    const cleared = double.hold({}, 'before');
    const fourth = mkdir('c');
    await cleared.arrived();
    double.clearFaults();
    await fourth;
});

void t.test('who is gone while a put is held leaves nothing open', async (t) => {
    const { double, raw, root } = await mantaBench(t);
    const hold = double.hold({ kind: 'put' });
    const { request, answer } = raw.open('PUT', `${root}/o`, { headers: { 'content-length': '4' } });
    answer.catch(() => undefined);
    request.write('bo');
    await hold.arrived();
    request.destroy();
    await t.rejects(answer);
    await eventually('the end of the connection', 10_000, () => double.open === 0);
    hold.resume();
    t.match(await double.waitFor({ kind: 'put' }, { done: true }), { status: undefined });
    t.equal(double.entry(`${root}/o`), undefined);
});

void t.test('it stops, and starts again where it was', async (t) => {
    const { client, double, root } = await mantaBench(t);
    await client.put(`${root}/o`, Buffer.from('x'));
    const { url, connections } = double;
    await double.stop();
    t.equal(double.open, 0);
    await t.rejects(client.read(`${root}/o`), { code: /ECONNREFUSED|ECONNRESET/ });
    await double.restart();
    t.equal(double.url, url);
    t.equal((await client.read(`${root}/o`)).toString(), 'x');
    t.ok(double.connections > connections);
});

void t.test('requests are logged, waited for and forgotten', async (t) => {
    const { client, double, root } = await mantaBench(t);
    const second = double.waitFor({ kind: 'mkdir' }, { nth: 2 });
    await client.call('mkdirp', `${root}/a/b`, {});
    t.match(await second, { method: 'PUT', path: `${root}/a/b`, headers: { accept: 'application/json' } });
    await client.put(`${root}/a/o`, Buffer.from('four'));
    await buffer((await client.get(`${root}/a/o`)).stream);
    const done = await double.waitFor({ kind: 'get' }, { done: true });
    t.match(done, { status: 200, bytesOut: 4, account: 'admin', done: true });
    t.match(double.requests({ kind: 'put' })[0], {
        status: 204,
        bytesIn: 4,
        headers: { expect: /continue/ },
    });
    await client.list(`${root}/a`);
    t.match(double.requests({ kind: 'list' })[0], { query: { limit: '1000' } });
    await t.rejects(double.waitFor({ kind: 'link' }, { limitMs: 10 }), { message: /no such request/ });
    double.clearRequests();
    t.same(double.requests(), []);
    const log = new RequestLog();
    const request = { method: 'GET', path: '/', query: {}, kind: 'get', headers: {} } as const;
    const add = (bytesIn: number): void =>
        log.add({ ...request, bytesIn, bytesOut: 0, done: true } satisfies LoggedRequest);
    for (let i = 1; i <= 50_000; i++) add(i);
    const kept = log.find();
    t.ok(kept.length >= 10_000 && kept.length <= 20_000);
    t.equal(kept.at(-1)?.bytesIn, 50_000);
});
