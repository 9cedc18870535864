// The server as a process: command line, exit codes, signals, several processes on one base directory
// (operations 1.1-1.6, 4.7; backends 14 C1, C4).
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HttpClient, type Answer } from '../helpers/http-client.js';
import {
    FATHER,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    imageDirectory,
    manifest,
    publishImage,
    sha1Hex,
    uploadFile,
    writeFixtures,
    type Fixture,
} from '../helpers/images.js';
import { UNAUTHORIZED, expectError, notFound, type ExpectedError } from '../helpers/rows.js';
import {
    PROJECT_ROOT,
    ServerProcess,
    eventually,
    freePort,
    runToEnd,
    temporaryDirectory,
} from '../helpers/server-process.js';
import { createKey, signatureHeaders } from '../helpers/signing.js';

const VERSION = (JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { version: string })
    .version;
const base = temporaryDirectory();
t.teardown(() => rmSync(base, { recursive: true, force: true }));
const OPEN = { authType: 'none' } as const;

function configFile(name: string, content: unknown): string {
    const path = join(base, name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
}

const unavailable = (message: string): ExpectedError => ({
    status: 503,
    code: 'ServiceUnavailableError',
    message,
});

await t.test('switches', async (test) => {
    const good = configFile('good.json', { port: 8080, mode: 'private' });
    const bad = configFile('bad.json', { port: 'x', mode: 'secret', authType: 'basic', drainDelaySec: -1 });
    const runs = {
        h: ['-h'],
        help: ['--help'],
        version: ['--version'],
        unknown: ['-x', '-f', '/nowhere'],
        long: ['--nope'],
        positional: ['surplus'],
        checkGood: ['--check', '-f', good],
        checkBad: ['--check', '--file', bad],
        checkMissing: ['--check', '-f', join(base, 'missing.json')],
    } as const;
    const results = Object.fromEntries(
        await Promise.all(
            Object.entries(runs).map(async ([name, args]) => [name, await runToEnd(args, base)] as const),
        ),
    );
    for (const name of ['h', 'help']) {
        test.equal(results[name]?.code, 0, name);
        test.match(results[name]?.stdout, /--version[\s\S]*--file/, 'the help names the switches');
    }
    test.strictSame([results['version']?.code, results['version']?.stdout], [0, `IMGAPI ${VERSION}\n`]);
    test.equal(results['unknown']?.code, 1, 'unknown option');
    test.match(results['unknown']?.stderr, 'unknown option(s): -x');
    test.match(results['unknown']?.stdout, '--version', 'with the help');
    test.equal(results['long']?.code, 1);
    test.match(results['long']?.stderr, 'unknown option(s): --nope');
    test.equal(results['positional']?.code, 1, 'a positional argument');
    test.equal(results['checkGood']?.code, 0, `a good config: ${results['checkGood']?.stderr ?? ''}`);
    test.notOk(existsSync(join(base, 'manifests')), 'a check starts nothing');
    test.equal(results['checkBad']?.code, 2);
    const problems = `${results['checkBad']?.stdout ?? ''}${results['checkBad']?.stderr ?? ''}`;
    for (const key of ['config.port', 'config.mode', 'config.authType', 'config.drainDelaySec']) {
        test.ok(problems.includes(key), `all problems: ${key}`);
    }
    test.equal(results['checkMissing']?.code, 2, 'a config that is not there');
});

/** Starts a server that must fail, and gives the text of its log. */
async function expectStartFailure(
    test: Test,
    name: string,
    args: readonly string[],
    text: string,
): Promise<void> {
    const result = await runToEnd(args, base);
    test.equal(result.code, 2, `${name}: exit 2`);
    const output = result.stdout + result.stderr;
    test.ok(output.includes('error starting up') && output.includes(text), `${name}: ${output.slice(-500)}`);
}

await t.test('what stops a start', async (test) => {
    const missing = join(base, 'missing.json');
    const blocked = join(base, 'blocked');
    writeFileSync(blocked, 'a file where the base directory should be');
    const busy = createServer().listen(0, '127.0.0.1');
    await once(busy, 'listening');
    const address = busy.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const rows: readonly (readonly [name: string, path: string, text: string])[] = [
        ['missing', missing, `ENOENT: no such file or directory, open '${missing}'`],
        ['no JSON', configFile('broken.json', '{'), `could not parse ${join(base, 'broken.json')}: `],
        ['no object', configFile('array.json', []), 'invalid IMGAPI config: config must be a JSON object'],
        [
            'a type',
            configFile('type.json', { port: 'x' }),
            'invalid IMGAPI config: config.port (finite) is required',
        ],
        [
            'a mode',
            configFile('mode.json', { mode: 'secret' }),
            'invalid IMGAPI config: invalid config.mode: secret',
        ],
        ['a port in use', configFile('port.json', { port, ...OPEN }), 'EADDRINUSE'],
        ['no channels', configFile('channels.json', { channels: [] }), 'empty \\"config.channels\\" array'],
        [
            'a bad channel',
            configFile('channel.json', { channels: [{ name: 'A', description: '' }] }),
            'invalid channel name: \\"A\\", must match /^[a-z][a-z0-9_-]*$/',
        ],
        [
            'channels twice',
            configFile('twice.json', { channels: ['a', 'a'].map((name) => ({ name, description: '' })) }),
            'duplicate channel name: \\"a\\"',
        ],
    ];
    await Promise.all(rows.map(([name, path, text]) => expectStartFailure(test, name, ['-f', path], text)));
    busy.close();

    const newer = temporaryDirectory();
    writeFileSync(join(newer, 'data-version'), JSON.stringify({ version: 999, app: 'a later one' }));
    const config = configFile('free.json', { port: await freePort(), ...OPEN });
    test.equal((await runToEnd(['-f', config], newer)).code, 2, 'data of a later version');
    rmSync(newer, { recursive: true, force: true });
    test.equal((await runToEnd(['-f', config], blocked)).code, 2, 'directories that cannot be made');
});

await t.test('a start: messages, overrides, debug switches', async (test) => {
    const port = await freePort();
    const server = await ServerProcess.start({
        config: { ...OPEN, mode: 'public' },
        args: ['--port', String(port), '-ddd'],
    });
    const messages = server.log.map((record) => record.msg);
    test.ok(messages.includes(`Image API listening on <http://127.0.0.1:${port}>.`), 'where it listens');
    test.ok(messages.includes('loaded config'));
    test.equal(messages.indexOf('startup complete') > messages.indexOf('loaded config'), true);
    test.ok(
        server.log.some((record) => record['src'] !== undefined),
        '-ddd adds source locations',
    );
    test.match(server.log[0], { name: 'imgapi', pid: server.pid, v: 0 });
    test.equal((await new HttpClient(port).get('/ping')).status, 200, '--port wins over the config');
    await test.rejects(new HttpClient(server.port).get('/ping'), { code: 'ECONNREFUSED' });
    await test.rejects(
        new HttpClient(8881).get('/metrics'),
        { code: 'ECONNREFUSED' },
        'no metrics by default',
    );
    for (const name of ['manifests', 'images', 'archive', 'data-version']) {
        test.ok(existsSync(join(server.baseDir, name)), `${name} is there`);
    }
    const exit = await server.stop('SIGINT');
    test.strictSame([exit.code, exit.signal], [1, null], 'SIGINT exits 1');
});

await t.test('metrics when they are asked for', async (test) => {
    const metrics = await freePort();
    const server = await ServerProcess.start({ config: { ...OPEN, metrics: { port: metrics } } });
    const client = new HttpClient(server.port);
    await client.get('/ping', { headers: { 'user-agent': 'tester/1.0 (x)' } });
    const scraper = new HttpClient(metrics);
    const answer = await scraper.get('/metrics');
    test.equal(answer.status, 200);
    test.match(answer.header('content-type'), /^text\/plain; version=0\.0\.4/);
    test.match(
        answer.text,
        /^http_requests_completed\{route="ping",method="GET",user_agent="tester\/1\.0",status_code="200",datacenter="standalone",/m,
    );
    test.match(answer.text, /^http_request_duration_seconds_bucket\{.*le="\+Inf".*\} \d+$/m);
    test.equal((await scraper.get('/other')).status, 404);
    test.equal((await server.stop()).code, 0);
});

const BIG = Buffer.alloc(24 * 1024 * 1024, 'all work and no play makes jack a dull boy. ');
const PUBLISHED: Fixture = {
    uuid: FATHER,
    name: 'father',
    owner: USERS.vader,
    activated: true,
    published_at: '2012-01-01T00:00:00.000Z',
    file: BIG,
};

await t.test('SIGTERM lets a slow upload and a slow download end', async (test) => {
    const baseDir = temporaryDirectory();
    writeFixtures(baseDir, [PUBLISHED]);
    const server = await ServerProcess.start({ baseDir, config: { ...OPEN, drainDelaySec: 1 } });
    const client = new HttpClient(server.port);
    const uuid = await createImage(client);
    const file = gzipFile('uploaded slowly');
    const upload = client.open('PUT', `/images/${uuid}/file?compression=gzip&sha1=${sha1Hex(file)}`);
    upload.request.write(file.subarray(0, 10));
    const download = await client.download(`/images/${FATHER}/file`);
    download.pause();
    await eventually('the upload has begun', 5_000, () => existsSync(imageDirectory(baseDir, uuid)));

    server.signal('SIGTERM');
    const draining = await eventually('ping says so', 3_000, async () => {
        const answer = await new HttpClient(server.port).get('/ping');
        return answer.status === 503 ? answer : undefined;
    });
    expectError(test, draining, unavailable('server is shutting down'), 'ping while draining');
    test.equal(draining.header('connection'), 'close');
    const health = await new HttpClient(server.port).get('/health');
    test.equal(health.status, 503, 'health while draining');
    await eventually('new connections are refused', 5_000, () =>
        new HttpClient(server.port).get('/ping').then(
            () => false,
            (error: unknown) => (error as NodeJS.ErrnoException).code === 'ECONNREFUSED',
        ),
    );
    test.ok(server.alive, 'the process waits for the two');

    upload.request.end(file.subarray(10));
    const answer = await upload.answer;
    test.equal(answer.status, 200, answer.text);
    const parts: Buffer[] = [];
    for await (const part of download) parts.push(part as Buffer);
    test.ok(Buffer.concat(parts).equals(BIG), 'the download is whole');
    const exit = await server.exited;
    test.strictSame([exit.code, exit.signal], [0, null], 'exit 0');
    test.notOk(existsSync(join(baseDir, 'run', 'imgapi.lock')), 'the lock is released');

    const next = await ServerProcess.start({ baseDir, config: OPEN });
    const stored = await new HttpClient(next.port).get(`/images/${uuid}/file`);
    test.ok(stored.body.equals(file), 'the uploaded file is there after a new start');
    test.equal((await next.stop()).code, 0);
    rmSync(baseDir, { recursive: true, force: true });
});

/** A server with an upload that has begun and never ends. */
async function withHangingUpload(config: object): Promise<{ server: ServerProcess; uuid: string }> {
    const server = await ServerProcess.start({ config: { ...OPEN, ...config } });
    const client = new HttpClient(server.port);
    const uuid = await createImage(client);
    const upload = client.open('PUT', `/images/${uuid}/file?compression=gzip`);
    upload.request.write(Buffer.alloc(100_000));
    await eventually('the upload has begun', 5_000, () => existsSync(imageDirectory(server.baseDir, uuid)));
    return { server, uuid };
}

await t.test('the limit of a drain, and a second signal', async (test) => {
    const { server, uuid } = await withHangingUpload({ shutdownTimeoutSec: 1 });
    const images = imageDirectory(server.baseDir, uuid);
    const begin = Date.now();
    server.signal('SIGTERM');
    await eventually(
        'the unfinished upload is removed',
        6_000,
        () => !existsSync(images) || readdirSync(images).length === 0,
    );
    const exit = await server.exited;
    test.ok(Date.now() - begin < 8_000, 'at the limit the rest is cut off');
    test.ok(exit.code !== null, 'and the process ends by itself');
    rmSync(server.baseDir, { recursive: true, force: true });

    const second = await withHangingUpload({ shutdownTimeoutSec: 60 });
    second.server.signal('SIGTERM');
    await second.server.waitForLog((record) => /shut/i.test(record.msg));
    const cut = await second.server.stop('SIGTERM');
    test.strictSame([cut.code, cut.signal], [143, null], 'a second SIGTERM ends it at once');
});

await t.test('SIGHUP', async (test) => {
    const server = await ServerProcess.start({ config: OPEN });
    const client = new HttpClient(server.port);
    const name = async (): Promise<string | undefined> => (await client.get('/ping')).header('server');
    server.writeConfig({
        serverName: 'Changed/1',
        channels: [{ name: 'dev', description: '', default: true }],
    });
    server.signal('SIGHUP');
    await eventually('the new name is used', 5_000, async () => (await name()) === 'Changed/1');
    test.equal((await client.get('/channels')).status, 200, 'channels came with it');
    test.equal((await client.get('/images')).text, '[]');

    writeFileSync(server.configPath, '{ this is no JSON');
    const errors = server.log.filter((record) => record.level === 50).length;
    server.signal('SIGHUP');
    await eventually(
        'the error is logged',
        5_000,
        () => server.log.filter((r) => r.level === 50).length > errors,
    );
    test.equal(await name(), 'Changed/1', 'the old configuration stays');
    server.writeConfig({ serverName: 'Changed/2', mode: 'secret' });
    server.signal('SIGHUP');
    await eventually('again', 5_000, () => server.log.filter((r) => r.level === 50).length > errors + 1);
    test.equal(await name(), 'Changed/1');

    server.writeConfig({ serverName: 'Changed/3' });
    test.equal((await client.post('/state?action=reload')).status, 202, 'the same by request');
    await eventually('the third name is used', 5_000, async () => (await name()) === 'Changed/3');

    server.writeConfig({ mode: 'public' });
    server.signal('SIGHUP');
    const exit = await server.exited;
    test.strictSame([exit.code, exit.signal], [0, null], 'another key: drain and exit 0 to be started again');
    rmSync(server.baseDir, { recursive: true, force: true });
});

await t.test('secrets and the audit record', async (test) => {
    const key = createKey('operator');
    const server = await ServerProcess.start({ config: { authKeys: { operator: [key.publicLine] } } });
    const client = new HttpClient(server.port, key);
    const headers: Record<string, string> = {
        ...signatureHeaders(key),
        'x-registry-auth': 'plantedSecretOne',
        cookie: 'plantedSecretTwo',
    };
    await client.post('/images?password=x', { name: 5 }, { headers, sign: false });
    await client.get('/nope', { headers: { 'x-request-id': 'the-404' } });
    await client.get('/ping', { headers: { 'x-request-id': 'the-ping' } });
    await client.get('/images', { headers: { 'x-request-id': 'the-list' } });
    const audits = (id: string): unknown =>
        server.log.find((record) => record['req_id'] === id && record['audit'] === true);
    await eventually('the list is audited', 5_000, () => audits('the-list') !== undefined);
    test.match(audits('the-list'), {
        msg: 'handled: 200',
        level: 30,
        _audit: true,
        route: 'listimages',
        remoteUser: 'operator',
        req: { method: 'GET', url: '/images' },
        res: { statusCode: 200 },
    });
    test.match(audits('the-404'), { msg: 'handled: 404', route: null });
    test.equal(audits('the-ping'), undefined, 'ping is not audited');
    const create = server.log.find((record) => record.msg === 'handled: 422');
    test.match(create, {
        route: 'createimage',
        req: { body: { name: 5 } },
        res: { body: { code: 'ValidationFailed' } },
    });
    const text = JSON.stringify(server.log);
    const signature = /signature="([^"]+)"/.exec(headers['authorization'] ?? '')?.[1] ?? 'none';
    for (const secret of ['plantedSecretOne', 'plantedSecretTwo', signature]) {
        test.notOk(text.includes(secret), `${secret.slice(0, 20)} is not in the log`);
    }
    test.equal((await server.stop()).code, 0);
});

const READER = 'this process is a reader';

function expectRefusedByReader(test: Test, answer: Answer, name: string): void {
    expectError(test, answer, unavailable(READER), name);
    test.equal(answer.header('retry-after'), '1');
}

await t.test('a writer and a reader on one base directory', async (test) => {
    const baseDir = temporaryDirectory();
    const key = createKey('operator');
    const config = { authKeys: { operator: [key.publicLine] } };
    writeFixtures(baseDir, [{ ...PUBLISHED, file: gzipFile('father') }]);
    let writer = await ServerProcess.start({ baseDir, config });
    let reader = await ServerProcess.start({ baseDir, config });
    let write = new HttpClient(writer.port, key);
    let read = new HttpClient(reader.port, key);

    await test.test('what a reader refuses', async (inner) => {
        for (const [method, path] of [
            ['POST', '/images'],
            ['POST', '/images/foo'],
            ['POST', `/images/${UNKNOWN}?action=import`],
            ['POST', `/images/${FATHER}?action=activate`],
            ['POST', `/images/${FATHER}/acl`],
            ['PUT', `/images/${FATHER}/file`],
            ['PUT', `/images/${UNKNOWN}/icon`],
            ['DELETE', `/images/${FATHER}`],
            ['DELETE', `/images/${FATHER}/icon`],
        ] as const) {
            const body = { headers: { 'content-type': 'application/json' }, body: '{' };
            expectRefusedByReader(inner, await read.request(method, path, body), `${method} ${path}`);
            const anonymous = await read.request(method, path, { ...body, sign: false });
            expectError(inner, anonymous, UNAUTHORIZED, 'authentication comes first');
        }
        const waiting = read.open('PUT', `/images/${FATHER}/file?compression=gzip`, {
            headers: { expect: '100-continue', 'content-length': '5' },
        });
        waiting.request.flushHeaders();
        inner.equal(await waiting.continued, false, 'no byte of a body is asked for');
        expectRefusedByReader(inner, await waiting.answer, 'with Expect');
        waiting.request.destroy();
        inner.equal((await read.get('/images')).status, 200, 'reading goes on');
        inner.equal((await read.get(`/images/${FATHER}/file`)).status, 200);
        inner.equal((await read.post('/state?action=dropcaches')).status, 202);
        inner.equal((await read.post('/authkeys/reload')).status, 200);
    });

    for (const [client, status] of [
        [write, 200],
        [read, 503],
    ] as const) {
        for (const role of ['writer', 'jobs']) {
            const answer = await client.get(`/ping?role=${role}`, { sign: false });
            test.equal(answer.status, status, `${role}: ${status}`);
        }
    }
    expectRefusedByReader(test, await read.get('/ping?role=writer'), 'ping for the writer');
    expectError(
        test,
        await read.get('/ping?role=jobs'),
        unavailable('this process does not run jobs'),
        'ping for jobs',
    );
    test.equal((await read.get('/ping?role=other')).status, 200);

    const file = gzipFile('written by the writer');
    const uuid = await publishImage(write, { name: 'coherent' }, file);
    test.equal((await read.get(`/images/${uuid}`)).status, 200, 'a new image is found by its uuid at once');
    await eventually('the reader lists the new image', 2_000, async () =>
        (await read.get('/images?name=coherent')).uuids.includes(uuid),
    );
    await eventually(
        'in its last state',
        2_000,
        async () => (await read.get(`/images/${uuid}`)).document['state'] === 'active',
    );
    test.ok((await read.get(`/images/${uuid}/file`)).body.equals(file), 'with its file');
    await write.post(`/images/${uuid}?action=update`, { name: 'renamed' });
    await eventually('the reader sees the change', 2_000, async () =>
        (await read.get('/images?name=renamed')).uuids.includes(uuid),
    );
    test.strictSame((await write.get('/images?name=renamed')).uuids, [uuid], 'the writer saw it at once');
    const doomed = await createImage(write);
    await eventually('it arrives', 2_000, async () =>
        (await read.get('/images?state=all')).uuids.includes(doomed),
    );
    await write.delete(`/images/${doomed}`);
    await eventually(
        'the reader sees that it goes',
        2_000,
        async () => (await read.get(`/images/${doomed}`)).status === 404,
    );

    await test.test('kill -9 of the writer', async (inner) => {
        const last = await createImage(write, { name: 'last-words' });
        const hanging = write.open('PUT', `/images/${last}/file?compression=gzip`);
        hanging.request.write(Buffer.alloc(100_000));
        await eventually('an upload has begun', 5_000, () => existsSync(imageDirectory(baseDir, last)));
        await writer.kill();
        const begin = Date.now();
        await eventually(
            'the reader takes over',
            5_000,
            async () => (await read.get('/ping?role=writer')).status === 200,
        );
        inner.ok(Date.now() - begin < 3_500, `within some 2 s: ${Date.now() - begin} ms`);
        const image = await read.get(`/images/${last}`);
        inner.strictSame(
            [image.status, image.document['files']],
            [200, []],
            'what was acknowledged is there, no more',
        );
        inner.equal((await read.post(`/images/${last}?action=update`, { description: 'x' })).status, 200);
        await uploadFile(read, last, gzipFile('the second try'));
        inner.equal((await read.post(`/images/${last}?action=activate`)).status, 200);
    });

    writer = reader;
    write = read;
    reader = await ServerProcess.start({ baseDir, config });
    read = new HttpClient(reader.port, key);
    expectRefusedByReader(test, await read.post('/images', manifest()), 'the next process is a reader again');
    const { code } = await writer.stop();
    test.equal(code, 0);
    await eventually(
        'a release is noticed',
        4_000,
        async () => (await read.get('/ping?role=writer')).status === 200,
    );
    const created = await read.post('/images', manifest());
    test.equal(created.status, 200, 'the reader has become the writer');
    expectError(
        test,
        await read.get(`/images/${UNKNOWN}`),
        notFound(`image ${UNKNOWN} not found`),
        'as ever',
    );
    test.equal((await reader.stop()).code, 0);
    rmSync(baseDir, { recursive: true, force: true });
});

await t.test('what is acknowledged survives kill -9; what is broken on disk does no harm', async (test) => {
    const baseDir = temporaryDirectory();
    const first = await ServerProcess.start({ baseDir, config: OPEN });
    const client = new HttpClient(first.port);
    const uuids = await Promise.all(
        Array.from({ length: 20 }, (_, i) => createImage(client, { name: `image-${i}` })),
    );
    const file = gzipFile('survives');
    const published = await publishImage(client, {}, file);
    await first.kill();
    const manifests = join(baseDir, 'manifests');
    writeFileSync(join(manifests, `${UNKNOWN}.raw`), '{ "uuid": "trunc');
    writeFileSync(join(manifests, `${FATHER}.raw`), 'null');
    writeFileSync(join(manifests, 'README'), 'hello');
    writeFileSync(join(manifests, `${UNKNOWN}.raw.abc.tmp`), '{}');
    mkdirSync(join(manifests, 'a1000000-0000-4000-8000-000000000009.raw'));
    const second = await ServerProcess.start({ baseDir, config: OPEN });
    const again = new HttpClient(second.port);
    for (const uuid of uuids) test.equal((await again.get(`/images/${uuid}`)).status, 200);
    test.ok((await again.get(`/images/${published}/file`)).body.equals(file));
    test.equal((await again.get(`/images/${UNKNOWN}`)).status, 404, 'a broken record is no image');
    test.notOk(existsSync(join(manifests, `${UNKNOWN}.raw.abc.tmp`)), 'an unfinished write is removed');
    const over = await again.post(`/images/${UNKNOWN}?action=import`, manifest({ uuid: UNKNOWN }));
    test.equal(over.status, 200, 'its uuid can be used');
    const kept = readdirSync(join(baseDir, 'quarantine')).filter((name) =>
        name.startsWith(`${UNKNOWN}.raw.`),
    );
    test.equal(kept.length, 1, 'and the broken record is kept aside');
    const idle = connect(second.port, '127.0.0.1').on('error', () => undefined);
    await once(idle, 'connect');
    test.equal((await second.stop()).code, 0, 'an idle connection does not hold a stop');
    idle.destroy();
    rmSync(baseDir, { recursive: true, force: true });
});
