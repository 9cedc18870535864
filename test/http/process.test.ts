// The server as a process: command line, exit codes, log, what a crash leaves (operations 1.1-1.3).
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { FATHER, UNKNOWN, createImage, gzipFile, manifest, publishImage } from '../helpers/images.js';
import {
    LIMIT_MS,
    PROJECT_ROOT,
    ServerProcess,
    eventually,
    freePort,
    runToEnd,
    temporaryDirectory,
} from '../helpers/server-process.js';
import { createKey, signatureHeaders } from '../helpers/signing.js';

t.setTimeout(LIMIT_MS);

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

await t.test('switches', async (test) => {
    const good = configFile('good.json', { port: 8080, mode: 'private' });
    const bad = configFile('bad.json', { port: 'x', mode: 'secret', authType: 'basic', drainDelaySec: -1 });
    const runs = {
        help: ['--help'],
        version: ['--version'],
        unknown: ['-x', '-f', '/nowhere'],
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
    test.equal(results['help']?.code, 0);
    test.match(results['help']?.stdout, /--version[\s\S]*--file/, 'the help names the switches');
    test.strictSame([results['version']?.code, results['version']?.stdout], [0, `IMGAPI ${VERSION}\n`]);
    test.equal(results['unknown']?.code, 1, 'unknown option');
    test.match(results['unknown']?.stderr, 'unknown option(s): -x');
    test.match(results['unknown']?.stdout, '--version', 'with the help');
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
        [
            'a type',
            configFile('type.json', { port: 'x' }),
            'invalid IMGAPI config: config.port (finite) is required',
        ],
        ['a port in use', configFile('port.json', { port, ...OPEN }), 'EADDRINUSE'],
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

await t.test('what is acknowledged survives kill -9; what is broken on disk does no harm', async (test) => {
    const baseDir = temporaryDirectory();
    const first = await ServerProcess.start({ baseDir, config: OPEN });
    const client = new HttpClient(first.port);
    const uuids = await Promise.all(
        Array.from({ length: 20 }, (_, i) => createImage(client, { name: `image-${i}` })),
    );
    const file = gzipFile('survives');
    const published = await publishImage(client, {}, file);
    const acknowledged: string[] = [];
    const storm = Array.from({ length: 6 }, async () => {
        for (let i = 0; i < 10_000; i++) {
            const account = `aaaaaaaa-0000-4000-8000-${String(acknowledged.length).padStart(12, '0')}`;
            const uuid = await createImage(client, { acl: [account] });
            const renamed = await client.post(`/images/${uuid}?action=update`, { name: 'acknowledged' });
            if (renamed.status === 200) acknowledged.push(uuid);
        }
    });
    const ended = Promise.allSettled(storm);
    await eventually('many changes are acknowledged', 10_000, () => acknowledged.length >= 60);
    await first.kill();
    await ended;
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
    const names = await Promise.all(acknowledged.map((uuid) => again.get(`/images/${uuid}`)));
    test.ok(
        names.every((answer) => answer.status === 200 && answer.document['name'] === 'acknowledged'),
        `${acknowledged.length} changes in a storm`,
    );
    const health = await again.get('/health');
    test.strictSame(
        [health.status, health.json],
        [200, { status: 'degraded' }],
        'health tells of broken records',
    );
    second.signal('SIGUSR2');
    await second.waitForLog((record) => record.level === 30 && /state/i.test(record.msg));
    test.ok(second.alive, 'SIGUSR2 logs a summary');
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
