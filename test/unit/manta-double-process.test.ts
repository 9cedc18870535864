import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mantaClient, startMantaProcess } from '../helpers/manta-place.js';

void t.test('killed, it has all that it answered, and nothing else', async (t) => {
    const { config, root, double, again, options } = await startMantaProcess(t);
    const client = mantaClient(t, config);
    await client.call('mkdirp', `${root}/a/b`, {});
    await client.put(`${root}/a/o`, Buffer.from('first'));
    await client.put(`${root}/a/o`, Buffer.from('second'), { type: 'text/x-a' });
    await client.call('ln', `${root}/a/o`, `${root}/a/b/l`, {});
    await client.put(`${root}/gone`, Buffer.from('gone'));
    await client.call('unlink', `${root}/gone`, {});
    const before = [await client.info(`${root}/a/o`), await client.list(`${root}/a`)];
    const hold = await double.hold({ kind: 'put' }, 'after');
    const unanswered = client.put(`${root}/unanswered`, Buffer.from('x')).catch((error: unknown) => error);
    await hold.arrived();
    await double.kill();
    t.match(await unanswered, { code: 'ECONNRESET' });
    appendFileSync(join(options.directory, 'journal'), '{"path":"/admin/stor/torn","en');
    writeFileSync(join(options.directory, 'incoming', 'half'), 'half');
    writeFileSync(join(options.directory, 'blobs', 'stray'), 'stray');

    await again();
    const [info, entries] = [await client.info(`${root}/a/o`), await client.list(`${root}/a`)];
    const { etag, md5, size, type } = info;
    t.match(before[0], { etag, md5, size, type });
    t.same(entries, before[1]);
    t.equal((await client.read(`${root}/a/b/l`)).toString(), 'second');
    t.same(
        (await client.list(root)).map(({ name }) => name),
        ['a', 'unanswered'],
    );
    t.same(readdirSync(join(options.directory, 'incoming')), []);
    t.equal(readdirSync(join(options.directory, 'blobs')).length, 2);
});

void t.test('killed in the middle of a body, it has the object of before', async (t) => {
    const { config, root, double, again } = await startMantaProcess(t);
    const client = mantaClient(t, config);
    await client.put(`${root}/o`, Buffer.from('old'));
    await double.inject({ bytesPerSecond: 100_000 }, { kind: 'put' });
    const put = client.put(`${root}/o`, Buffer.alloc(1_000_000, 'new')).catch((error: unknown) => error);
    await double.waitFor({ kind: 'put' }, { nth: 2 });
    await double.kill();
    t.match(await put, { code: /ECONNRESET|EPIPE/ });
    await again();
    t.equal((await client.read(`${root}/o`)).toString(), 'old');
});

void t.test('it does what it is told from another process', async (t) => {
    const { config, root, double } = await startMantaProcess(t, { tls: true });
    const client = mantaClient(t, config);
    const end = await double.inject({ refuse: 503 }, { path: /\/A$/i });
    await t.rejects(client.put(`${root}/a`, Buffer.from('x')), { code: 'ServiceUnavailable' });
    await end();
    await client.put(`${root}/a`, Buffer.from('x'));
    await double.inject({ refuse: 503 });
    await double.clearFaults();
    await double.setSnaplinks(false);
    const link = client.call('ln', `${root}/a`, `${root}/b`, {});
    await t.rejects(link, { code: 'SnaplinksDisabledError' });
    t.same(await double.objects(root), [`${root}/a`]);
    t.match(await double.waitFor({ kind: 'put' }, { nth: 2, done: true }), { status: 204, bytesIn: 1 });
    await t.rejects(double.waitFor({ kind: 'list' }, { limitMs: 1 }), { message: /no such request/ });
    t.equal((await double.requests({ method: 'PUT' })).length, 3);
    await double.clearRequests();
    t.same(await double.requests(), []);

    const hold = await double.hold({ kind: 'mkdir', times: 1 });
    const mkdir = client.call('mkdir', `${root}/d`, {});
    await hold.arrived();
    await hold.resume();
    await mkdir;
    const drop = await double.hold({ kind: 'delete' }, 'after');
    const unlink = client.call('unlink', `${root}/d`, {}).catch((error: unknown) => error);
    await drop.arrived();
    await drop.drop();
    t.match(await unlink, { code: 'ECONNRESET' });

    await double.stopListening();
    await t.rejects(client.read(`${root}/a`), { code: /ECONNREFUSED|ECONNRESET/ });
    await double.restart();
    t.equal((await client.read(`${root}/a`)).toString(), 'x');
    await double.inject({ hang: true }, { kind: 'head' });
    const hung = client.info(`${root}/a`).catch((error: unknown) => error);
    await double.waitFor({ kind: 'head' });
    await double.cutConnections();
    t.match(await hung, { code: 'ECONNRESET' });
    const waiting = double.waitFor({ kind: 'link' }, { nth: 9 });
    await double.stop();
    await t.rejects(waiting, { message: 'the double has ended' });
    await t.rejects(double.requests(), { message: 'the double has ended' });
});
