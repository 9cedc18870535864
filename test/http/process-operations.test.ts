// A server in service: live keys, hand-over, counters, a log without a reader (operations 1.1-1.8, 4.7).
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import {
    FATHER,
    USERS,
    createImage,
    gzipFile,
    manifest,
    publishImage,
    uploadFile,
    writeFixtures,
    type Fixture,
} from '../helpers/images.js';
import {
    LIMIT_MS,
    PROJECT_ROOT,
    ServerProcess,
    eventually,
    freePort,
    runToEnd,
    temporaryDirectory,
    type LogRecord,
} from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';

t.setTimeout(LIMIT_MS);

const OPEN = { authType: 'none' } as const;
const BIG: Fixture = {
    uuid: FATHER,
    name: 'father',
    owner: USERS.vader,
    activated: true,
    published_at: '2012-01-01T00:00:00.000Z',
    file: Buffer.alloc(24 * 1024 * 1024, 'the quick brown fox '),
};

/** A base directory that is removed with the test. */
function sharedBase(test: Test): string {
    const baseDir = temporaryDirectory();
    test.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    return baseDir;
}

function record(baseDir: string, uuid: string): Record<string, unknown> {
    return JSON.parse(readFileSync(join(baseDir, 'manifests', `${uuid}.raw`), 'utf8')) as Record<
        string,
        unknown
    >;
}

await t.test('every live key of this release is applied without a restart', async (test) => {
    const server = await ServerProcess.start({ config: OPEN });
    const client = new HttpClient(server.port);
    const forwarded = { headers: { 'x-forwarded-for': '192.0.2.1' } };
    const audited = (from: number): LogRecord | undefined =>
        server.log.slice(from).find((one) => one['audit'] === true);
    await client.get('/images', forwarded);
    test.equal((await eventually('audit', 5_000, () => audited(0)))['clientAddress'], '192.0.2.1');

    const changes = {
        serverName: 'Changed/1',
        placeholderImageLifespanDays: 1,
        traceEvents: true,
        trustedProxies: [],
        logLevel: 'debug',
        channels: [{ name: 'dev', description: '', default: true }],
        archiveRetentionDays: 3,
        listCacheTtlMs: 100,
        maxSockets: 5,
        shutdownTimeoutSec: 3,
        drainDelaySec: 1,
    };
    server.writeConfig(changes);
    server.signal('SIGHUP');
    const reloaded = await server.waitForLog(({ msg }) => msg === 'configuration reloaded');
    test.same([...(reloaded['keys'] as string[])].sort(), Object.keys(changes).sort(), 'all are live');

    const from = server.log.length;
    const answer = await client.get('/images', forwarded);
    test.equal(answer.header('server'), 'Changed/1');
    test.equal((await eventually('audit', 5_000, () => audited(from)))['clientAddress'], undefined);
    const events = server.log.slice(from).flatMap((one) => (one['evt'] === undefined ? [] : [one['evt']]));
    test.match(events, [
        { name: 'listimages', ph: 'b' },
        { name: 'listimages', ph: 'e' },
    ]);
    test.match((await client.get('/state?db=false')).document, { log: { level: 20 } });
    const uuid = await createImage(client);
    test.same(record(server.baseDir, uuid)['channels'], ['dev']);

    const slow = client.open('PUT', `/images/${uuid}/file?compression=gzip`);
    slow.request.write('never ended');
    const begin = Date.now();
    const { code } = await server.stop();
    test.equal(code, 0);
    const took = Date.now() - begin;
    test.ok(took > 2_500 && took < 8_000, `the limit of the drain is the new one: ${took} ms`);
});

await t.test('a key that is not live: drain, name it, exit 0', async (test) => {
    const server = await ServerProcess.start({ config: OPEN });
    server.writeConfig({ metrics: { port: await freePort() }, serverName: 'Changed/1' });
    server.signal('SIGHUP');
    const { code } = await server.exited;
    test.equal(code, 0);
    const warning = server.log.find(({ keys }) => keys !== undefined);
    test.match(warning, { level: 40, keys: ['metrics.address', 'metrics.port'] });
    rmSync(server.baseDir, { recursive: true, force: true });
});

await t.test('a reload that makes a record unreadable does not end the server', async (test) => {
    const baseDir = sharedBase(test);
    const server = await ServerProcess.start({ baseDir, config: OPEN });
    const client = new HttpClient(server.port);
    writeFixtures(baseDir, [{ uuid: FATHER, name: 'father' }]);
    writeFileSync(join(baseDir, 'manifests', 'stray.raw'), 'x');
    server.writeConfig({ channels: [{ name: 'dev', description: '', default: true }] });
    server.signal('SIGHUP');
    server.signal('SIGUSR2');
    const state = await server.waitForLog(({ msg }) => msg === 'state');
    test.match(state, { level: 30, state: { role: 'writer', draining: false, pid: server.pid } });
    await eventually('channels', 5_000, async () => (await client.get('/channels')).status === 200);
    test.equal((await server.stop()).code, 0);
});

await t.test('a drain hands the lock over while a download still runs', async (test) => {
    const baseDir = sharedBase(test);
    writeFixtures(baseDir, [BIG]);
    const old = await ServerProcess.start({ baseDir, config: OPEN });
    const next = await ServerProcess.start({ baseDir, config: OPEN });
    const client = new HttpClient(next.port);
    const download = await new HttpClient(old.port).download(`/images/${FATHER}/file`);
    download.pause();
    const begin = Date.now();
    old.signal('SIGTERM');
    await eventually(
        'the reader takes over',
        5_000,
        async () => (await client.get('/ping?role=writer')).status === 200,
    );
    test.ok(Date.now() - begin < 3_500, `within some 2 s: ${Date.now() - begin} ms`);
    test.ok(old.alive, 'the download keeps the old process alive');
    const uuid = await publishImage(client);
    test.equal((await client.get(`/images/${uuid}`)).document['state'], 'active');
    let size = 0;
    for await (const part of download) size += (part as Buffer).length;
    test.equal(size, BIG.file?.length, 'the download is whole');
    test.equal((await old.exited).code, 0);
    test.equal((await client.post('/images', manifest())).status, 200, 'the lock is not taken away again');
    test.equal((await next.stop()).code, 0);
    test.same(readdirSync(join(baseDir, 'run')).sort(), ['clones', 'deletes', 'exports', 'uploads']);
});

await t.test('--check and --migrate', async (test) => {
    const baseDir = sharedBase(test);
    const path = (settings: object): string => {
        const file = join(baseDir, 'c.json');
        writeFileSync(file, JSON.stringify(settings));
        return file;
    };
    const bad = path({ compat: 'none' });
    const line = 'invalid config.compat: none';
    test.match(await runToEnd(['-f', bad, '--check'], baseDir), { code: 2, stdout: `${line}\n` });
    const start = await runToEnd(['-f', bad], baseDir);
    test.equal(start.code, 2, 'a start says the same');
    test.ok(start.stdout.includes(line));
    const good = path({ ...OPEN, port: await freePort() });
    const holder = await ServerProcess.start({ baseDir, config: OPEN });
    const refused = await runToEnd(['-f', good, '--migrate'], baseDir);
    test.equal(refused.code, 2);
    test.match(refused.stdout, 'run/imgapi.lock is held by another process');
    await holder.stop();
    rmSync(join(baseDir, 'data-version'));
    test.match(await runToEnd(['-f', good, '--migrate'], baseDir), { code: 0 });
    test.match(JSON.parse(readFileSync(join(baseDir, 'data-version'), 'utf8')), { version: 1 });
    test.same(
        readdirSync(join(baseDir, 'run')).sort(),
        ['clones', 'deletes', 'exports', 'uploads'],
        'the lock is free again',
    );
});

await t.test('the metrics port moves with --port; --metrics-port wins', async (test) => {
    const metrics = await freePort();
    const port = await freePort();
    const moved = await freePort();
    const config = { ...OPEN, port, metrics: { port: metrics } };
    const shift = moved - port;
    const target = metrics + shift;
    if (target < 1 || target > 65_535) {
        test.comment('no room for a port moved by as much');
    } else {
        const server = await ServerProcess.start({ config, args: ['--port', String(moved)] });
        test.equal((await new HttpClient(moved).get('/ping')).status, 200);
        test.equal((await new HttpClient(target).get('/metrics')).status, 200);
        await server.stop();
    }
    const quiet = await ServerProcess.start({ config, args: ['--metrics-port', '0'] });
    test.equal((await new HttpClient(port).get('/ping')).status, 200);
    await test.rejects(new HttpClient(metrics).get('/metrics'), { code: 'ECONNREFUSED' });
    await quiet.stop();
});

await t.test('what is counted', async (test) => {
    const metricsPort = await freePort();
    const key = createKey('operator');
    const config = { authKeys: { operator: [key.publicLine] }, metrics: { port: metricsPort } };
    const server = await ServerProcess.start({ config });
    const client = new HttpClient(server.port, key);
    const metric = async (sample: string): Promise<number | undefined> => {
        const { text } = await new HttpClient(metricsPort).get('/metrics');
        const line = text.split('\n').find((one) => one.startsWith(`${sample} `));
        return line === undefined ? undefined : Number(line.slice(sample.length));
    };
    const file = gzipFile('counted bytes');
    const uuid = await createImage(client);

    const wrong = await client.put(`/images/${uuid}/file?compression=gzip&sha1=${'0'.repeat(40)}`, file);
    test.equal(wrong.status, 400);
    test.equal(await metric('imgapi_transfer_failures_total{direction="in",reason="client"}'), 1);
    test.equal(await metric('imgapi_transfer_bytes_total{direction="in",stor="local"}'), file.length);
    await uploadFile(client, uuid, file);
    test.equal(await metric('imgapi_transfer_bytes_total{direction="in",stor="local"}'), 2 * file.length);
    test.equal((await client.post(`/images/${uuid}?action=activate`)).status, 200);
    await client.get(`/images/${uuid}/file`);
    await client.get(`/images/${uuid}/file`, { headers: { range: 'bytes=0-9' } });
    await eventually(
        'the reads are over',
        5_000,
        async () =>
            (await metric('imgapi_transfer_bytes_total{direction="out",stor="local"}')) === file.length + 10,
    );
    test.equal(await metric('imgapi_transfer_failures_total{direction="out",reason="client"}'), undefined);

    const hits = 'imgapi_cache_requests_total{cache="documents",result="hit"}';
    await client.get(`/images/${uuid}`);
    const before = (await metric(hits)) ?? 0;
    await client.get(`/images/${uuid}`);
    test.equal(await metric(hits), before + 1);

    await client.post('/images', manifest(), { sign: false });
    await new HttpClient(server.port, { ...key, user: 'nobody' }).post('/images', manifest());
    await client.get('/ping', { sign: false, headers: { authorization: 'Basic bm86bm8=' } });
    for (const reason of ['missing', 'signature', 'malformed']) {
        test.equal(await metric(`imgapi_auth_failures_total{reason="${reason}"}`), 1, reason);
    }
    for (const dependency of ['database', 'stor.local']) {
        test.equal(await metric(`imgapi_dependency_up{dependency="${dependency}"}`), 1, dependency);
    }
    test.equal(await metric('imgapi_archive_backlog'), 1);
    test.ok(((await metric('imgapi_local_free_bytes')) ?? 0) > 0);
    test.equal(await metric('imgapi_images{state="active",type="zone-dataset"}'), 1);
    test.equal(await metric('imgapi_image_bytes{stor="local"}'), file.length);
    test.equal((await server.stop()).code, 0);
});

await t.test('a log that finds no room or no reader does not end the server', async (test) => {
    const baseDir = sharedBase(test);
    const port = await freePort();
    const config = join(baseDir, 'c.json');
    writeFileSync(config, JSON.stringify({ ...OPEN, port }));
    const client = new HttpClient(port);
    const serve = async (child: ChildProcess): Promise<void> => {
        await eventually('it listens', 20_000, () =>
            client.get('/ping').then(
                ({ status }) => status === 200,
                () => false,
            ),
        );
        child.stdout?.destroy();
        for (let n = 0; n < 3; n += 1) test.equal((await client.get('/images')).status, 200);
        child.kill('SIGTERM');
        const [code] = (await once(child, 'exit')) as [number | null];
        test.equal(code, 0);
    };
    const options = {
        cwd: PROJECT_ROOT,
        env: { ...process.env, IMGAPITEST_LOCAL_BASE_DIR: baseDir },
    };
    for (const stdout of ['pipe', openSync('/dev/full', 'w')] as const) {
        const child = spawn(process.execPath, ['main.js', '-f', config], {
            ...options,
            stdio: ['ignore', stdout, 'ignore'],
        });
        test.teardown(() => child.kill('SIGKILL'));
        await serve(child);
    }
});
