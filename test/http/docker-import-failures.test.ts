// How pulls end that fail: their last line, and that nothing half-made stays (jobs-and-imports 5.1-5.3).
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import { TokenServer } from '../doubles/registry/token-server.js';
import type { ImageSpec } from '../helpers/docker-images.js';
import { HttpClient } from '../helpers/http-client.js';
import { LineReader } from '../helpers/line-reader.js';
import { failureOf, offered, progressOf, stagedFiles, type Told } from '../helpers/pull-bench.js';
import { refusedImages } from '../helpers/refused-images.js';
import { eventually, LIMIT_MS, ServerProcess } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';

t.setTimeout(LIMIT_MS);

const OPEN = { authType: 'none' };
const PASSWORD = 'very secret words';
const registry = await new RegistryDouble().start(t);
const server = await ServerProcess.start({ config: OPEN });
const client = new HttpClient(server.port);
t.teardown(async () => {
    client.close();
    await expectCleanEnd(server);
});

function pathOf(repository: string, tag = '1', host = registry.host): string {
    return `/images?action=import-docker-image&repo=${host}/${repository}&tag=${tag}`;
}

async function open(
    path: string,
    headers: Readonly<Record<string, string>> = {},
    by = client,
): Promise<LineReader> {
    return LineReader.open(by, path, { headers }, 'POST');
}

async function pull(path: string, headers: Readonly<Record<string, string>> = {}): Promise<readonly Told[]> {
    const reader = await open(path, headers);
    if (reader.status !== 200) throw new Error(`status ${reader.status}`);
    return reader.rest();
}

function base64(value: unknown): string {
    return Buffer.from(JSON.stringify(value)).toString('base64');
}

/** The uuids of images with a record, an unactivated one too. */
async function images(of = client): Promise<readonly string[]> {
    return (await of.get('/images?state=all')).uuids;
}

/** Names below a directory of the server, without those of directories. */
function below(baseDir: string, directory: string): readonly string[] {
    const path = join(baseDir, directory);
    if (!existsSync(path)) return [];
    return readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map(({ name }) => name);
}

const PLAIN: ImageSpec = { layers: [{ seed: 'failures' }] };

void t.test('the last line says why', async (t) => {
    await Promise.all(
        Object.entries(refusedImages(registry)).map(async ([name, { offer, code, message }], at) => {
            const repository = `row${at}`;
            await offer(repository);
            const lines = await pull(pathOf(repository));
            const id = `${registry.host}/${repository}`;
            const last = lines.at(-1) ?? {};
            t.equal(Object.keys(last).join(), 'type,id,error', name);
            t.match(last, { type: 'error', id }, name);
            const error = failureOf(lines) as { readonly code: string; readonly message: string };
            const expected = typeof message === 'string' ? message : message(`${id}:1`);
            t.equal(error.code, code, name);
            t.equal(error.message.slice(0, expected.length), expected, name);
            t.match(lines[0], { type: 'status', payload: { status: /^1: Pulling from / } });
        }),
    );
    registry.clearFaults();
    t.same(await images(), []);
    t.same(stagedFiles(server.baseDir), []);
});

void t.test('a registry that cannot be reached', async (t) => {
    const lines = await pull(pathOf('x', '1', '127.0.0.1:1'));
    t.match(failureOf(lines), {
        code: 'RemoteSourceError',
        message: 'GET http://127.0.0.1:1/v2/: connect ECONNREFUSED 127.0.0.1:1',
    });
});

void t.test('the first layer that fails ends the others, and none is begun any more', async (t) => {
    const layers = Array.from({ length: 7 }, (_item, at) => ({ seed: `many ${at}` }));
    const image = await registry.putImage('many', '1', { layers });
    const { shortIds } = offered(image);
    const blob = (at: number): string => `/v2/many/blobs/${image.layers[at]?.digest}`;
    for (const at of [0, 2, 3, 4]) registry.inject({ stallAt: 10 }, { path: blob(at) });
    const bad = registry.hold({ path: blob(1) });
    registry.inject({ refuse: { status: 403, message: 'not for you' } }, { path: blob(1) });
    registry.clearRequests();
    const pulled = pull(pathOf('many'));
    await Promise.all([0, 1, 2, 3, 4].map((at) => registry.waitFor({ path: blob(at) })));
    bad.resume();
    const lines = await pulled;
    t.same(failureOf(lines), { code: 'InternalError', message: 'not for you' });
    const said = shortIds.map((shortId) => progressOf(lines, shortId));
    t.same(said[1], []);
    for (const at of [0, 2, 3, 4]) {
        t.equal(said[at]?.at(-1), 'Aborted');
        t.equal(said[at]?.filter((status) => status === 'Aborted').length, 1);
    }
    for (const at of [5, 6]) {
        t.same(said[at], []);
        t.same(registry.requests({ path: blob(at) }), []);
    }
    registry.clearFaults();
    t.same(stagedFiles(server.baseDir), []);
    t.same(await images(), []);
});

void t.test('a client that goes away ends the pull; what is here stays for the next one', async (t) => {
    const image = await registry.putImage('gone', '1', {
        layers: [{ seed: 'g1' }, { seed: 'g2', size: 900_000 }],
    });
    const { uuids, shortIds } = offered(image);
    const path = `/v2/gone/blobs/${image.layers[1]?.digest}`;
    registry.inject({ stallAt: 800_000 }, { path });
    registry.clearRequests();
    const reader = await open(pathOf('gone'));
    const seen = new Set<unknown>();
    while (!(seen.has('Download complete') && seen.has('Downloading'))) {
        const { payload } = await reader.next();
        seen.add((payload as Told)['status']);
    }
    reader.close();
    await registry.waitFor({ path }, { done: true });
    const kept = [`${uuids[0]}.data`, `${uuids[0]}.json`];
    await eventually(
        'only what is whole to stay',
        5000,
        () => stagedFiles(server.baseDir).join() === kept.join(),
    );
    await eventually('the request to end', 5000, () =>
        server.log.some(({ msg, action }) => msg === 'handled: 200' && action === 'import-docker-image'),
    );
    t.same(await images(), []);
    t.same(below(server.baseDir, 'images'), []);
    registry.clearFaults();
    const lines = await pull(pathOf('gone'));
    t.equal(progressOf(lines, shortIds[0])[0], 'Download complete (cached)');
    t.match(lines.at(-1), { payload: { status: /^Status: Downloaded newer image for / } });
    t.equal(registry.downloads(image.layers[0]?.digest ?? '').length, 1);
    t.same(stagedFiles(server.baseDir), []);
});

/** What credentials come to, in the order of the pulls. */
async function expectCredentials(t: Test, of: RegistryDouble, wrongCode: string): Promise<void> {
    await of.putImage('secret', '1', PLAIN);
    const path = pathOf('secret', '1', of.host);
    const right = { username: 'luke', password: PASSWORD };
    const wrong = { ...right, password: 'leia' };
    const done = /^Status: /;
    const rows: readonly (readonly [headers: Readonly<Record<string, string>>, code: string | undefined])[] =
        [
            [{ 'x-registry-auth': base64(right) }, undefined],
            [{ 'x-registry-config': base64({ [of.host]: right, 'quay.io': wrong }) }, undefined],
            [{ 'x-registry-auth': 'e30=', 'x-registry-config': base64({ [of.host]: right }) }, undefined],
            [{ 'x-registry-auth': 'nonsense', 'x-registry-config': base64({ [of.host]: right }) }, undefined],
            [
                { 'x-registry-auth': base64(wrong), 'x-registry-config': base64({ [of.host]: right }) },
                wrongCode,
            ],
            [{ 'x-registry-config': base64({ 'quay.io': right }) }, 'ResourceNotFound'],
            [{ 'x-registry-auth': '%%', 'x-registry-config': 'bnVsbA==' }, 'ResourceNotFound'],
        ];
    for (const [headers, code] of rows) {
        const lines = await pull(path, headers);
        const what = Object.values(headers).join();
        if (code === undefined) t.match(lines.at(-1), { payload: { status: done } }, what);
        else t.match(failureOf(lines), { code }, what);
    }
}

void t.test('Basic credentials', async (t) => {
    const of = await new RegistryDouble({ auth: { basic: { luke: PASSWORD } } }).start(t);
    // The registry says no more than that one may not see the manifest.
    await expectCredentials(t, of, 'ResourceNotFound');
});

void t.test('tokens', async (t) => {
    const tokens = await new TokenServer({
        users: { luke: PASSWORD },
        refreshTokens: { [PASSWORD]: 'luke' },
    }).start();
    t.teardown(() => tokens.stop());
    const of = await new RegistryDouble({ auth: { tokens } }).start(t);
    await expectCredentials(t, of, 'UnauthorizedError');

    const auth = { 'x-registry-auth': base64({ identitytoken: PASSWORD }) };
    t.equal((await client.post(pathOf('secret', '1', of.host), undefined, { headers: auth })).status, 400);
    server.writeConfig({ dockerIdentityToken: true });
    server.signal('SIGHUP');
    await eventually('the new configuration', 5000, async () => {
        const answer = await client.post(pathOf('secret', '1', of.host), undefined, { headers: auth });
        if (answer.status !== 200) return false;
        t.match(answer.text, /Status: Image is up to date/);
        return true;
    });
    const log = JSON.stringify(server.log);
    for (const secret of [PASSWORD, base64(PASSWORD).slice(0, -2), base64({ identitytoken: PASSWORD })]) {
        t.notOk(log.includes(secret), 'no secret is logged');
    }
    t.ok(
        server.log.some(
            ({ msg }) => msg === 'header "x-registry-auth" is ignored: it is not base64 of a JSON object',
        ),
    );
});

/** A server of its own with a pull that waits for the bytes of its last layer. */
async function heldPull(
    t: Test,
    name: string,
    config: Readonly<Record<string, unknown>>,
): Promise<{
    readonly own: ServerProcess;
    readonly reader: LineReader;
    readonly resume: () => void;
    readonly by: HttpClient;
}> {
    const image = await registry.putImage(name, '1', {
        layers: [{ seed: `${name} 1` }, { seed: `${name} 2` }],
    });
    const path = `/v2/${name}/blobs/${image.layers[1]?.digest}`;
    const hold = registry.hold({ path });
    const own = await ServerProcess.start({ config: { ...OPEN, ...config } });
    t.teardown(() => own.stop());
    const by = new HttpClient(own.port);
    t.teardown(() => by.close());
    const reader = await open(pathOf(name), {}, by);
    await registry.waitFor({ path });
    return { own, reader, by, resume: () => hold.resume() };
}

/** A server that is to stop finishes its pulls, and begins none. */
async function finishes(t: Test): Promise<void> {
    const { own, reader, by, resume } = await heldPull(t, 'drained', { drainDelaySec: 1 });
    own.signal('SIGTERM');
    await eventually('the drain', 5000, async () => (await by.get('/ping')).status === 503);
    const answer = await by.post(pathOf('drained'));
    t.equal(answer.status, 503);
    t.same(answer.json, { code: 'ServiceUnavailableError', message: 'server is shutting down' });
    resume();
    const lines = await reader.rest();
    t.match(lines.at(-1), { payload: { status: /^Status: Downloaded newer image for / } });
    t.equal((await own.exited).code, 0);
    t.equal(below(own.baseDir, 'manifests').length, 2);
}

/** A server that may wait no longer says so, and leaves nothing half-made. */
async function breaksOff(t: Test): Promise<void> {
    const { own, reader } = await heldPull(t, 'cut', { shutdownTimeoutSec: 1 });
    own.signal('SIGTERM');
    const lines = await reader.rest();
    t.same(failureOf(lines), { code: 'ServiceUnavailableError', message: 'server is shutting down' });
    t.equal((await own.exited).code, 0);
    t.same(below(own.baseDir, 'manifests'), []);
    t.same(below(own.baseDir, 'images'), []);
    t.same(
        stagedFiles(own.baseDir).filter((name) => name.endsWith('.part')),
        [],
    );
}

void t.test('the end of the server', async (t) => {
    // Both mostly wait.
    await Promise.all([finishes(t), breaksOff(t)]);
});
