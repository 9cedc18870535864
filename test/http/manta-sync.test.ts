// What a server and a Manta area tell each other in the background (operations 1.9, 4.7; backends 12).
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { MantaClient } from '../doubles/manta/client.js';
import type { MantaDouble } from '../doubles/manta/manta-double.js';
import { HttpClient, type Answer, type Document } from '../helpers/http-client.js';
import { mantaClient, startManta, type MantaConfig } from '../helpers/manta-place.js';
import { expectCleanEnd } from '../helpers/start-server.js';
import { LIMIT_MS, ServerProcess, eventually, temporaryDirectory } from '../helpers/server-process.js';
import { createKey, type SigningKey } from '../helpers/signing.js';

t.setTimeout(LIMIT_MS);

const ROOT = '/admin/stor/imgapi';
const MARKER = `${ROOT}/run/owner.json`;
const RELOAD = '/authkeys/reload';
const WAIT = '/authkeys/reload?wait=true';
/** A route that nobody may use without a key. */
const PROTECTED = '/state?db=false';
/** Longer than a result of a health check is kept. */
const HEALTH_LIMIT_MS = 20_000;

const operator = createKey('operator');
const alice = createKey('alice');

interface Place {
    readonly double: MantaDouble;
    readonly client: MantaClient;
    readonly manta: MantaConfig;
}

async function startPlace(test: Test): Promise<Place> {
    const { double, config } = await startManta(test);
    return { double, client: mantaClient(test, config), manta: config };
}

async function put({ client }: Place, path: string, text: string): Promise<void> {
    const full = `${ROOT}/${path}`;
    await client.call('mkdirp', full.slice(0, full.lastIndexOf('/')));
    await client.put(full, Buffer.from(text));
}

async function marker({ client }: Place): Promise<Document> {
    return JSON.parse((await client.read(MARKER)).toString()) as Document;
}

interface Started {
    readonly server: ServerProcess;
    readonly baseDir: string;
    readonly as: (key: SigningKey) => HttpClient;
    readonly client: HttpClient;
}

/** Starts a server that uses the area, on a base directory that may be another's, too. */
async function start(
    test: Test,
    { manta }: Place,
    options: { readonly baseDir?: string; readonly config?: Document } = {},
): Promise<Started> {
    const baseDir = options.baseDir ?? temporaryDirectory();
    const config = {
        authType: 'signature',
        authKeys: { operator: [operator.publicLine] },
        manta,
        ...options.config,
    };
    const server = await ServerProcess.start({ baseDir, config });
    test.teardown(async () => {
        if (server.alive) await expectCleanEnd(server);
        if (options.baseDir === undefined) rmSync(baseDir, { recursive: true, force: true });
    });
    const as = (key: SigningKey): HttpClient => new HttpClient(server.port, key);
    return { server, baseDir, as, client: as(operator) };
}

function sharedBase(test: Test): string {
    const baseDir = temporaryDirectory();
    test.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    return baseDir;
}

async function isKnown({ as }: Started, key: SigningKey): Promise<boolean> {
    return (await as(key).get(PROTECTED)).status === 200;
}

function facts(answer: Answer): readonly unknown[] {
    return [answer.status, answer.status === 200 ? answer.json : answer.error.code];
}

async function ownerCheck({ client }: Started): Promise<Document> {
    const { status, checks } = (await client.get('/health')).document as {
        readonly status: string;
        readonly checks: Readonly<Record<string, Document>>;
    };
    return { status, ...checks['manta.owner'] };
}

await t.test('a key put into Manta can be used once a reload has waited for it', async (test) => {
    const place = await startPlace(test);
    const started = await start(test, place);
    const { client, baseDir } = started;
    for (const layout of ['keys', 'authkeys']) {
        test.equal(await isKnown(started, alice), false);
        await put(place, `${layout}/alice.keys`, `${alice.publicLine}\n`);
        test.strictSame(facts(await client.post(WAIT)), [200, {}]);
        test.equal(await isKnown(started, alice), true, layout);
        const copy = join(baseDir, 'etc', layout, 'manta', 'alice.keys');
        test.equal(readFileSync(copy, 'utf8'), `${alice.publicLine}\n`);
        await place.client.call('unlink', `${ROOT}/${layout}/alice.keys`);
        test.strictSame(facts(await client.post(WAIT)), [200, {}]);
        test.equal(await isKnown(started, alice), false, 'locked out');
        test.notOk(existsSync(copy));
    }
    const wrong = await client.post('/authkeys/reload?wait=perhaps');
    test.strictSame(facts(wrong), [422, 'InvalidParameter']);
    const guest = await new HttpClient(started.server.port).post(WAIT);
    test.equal(guest.status, 401);
});

await t.test('keys are copied at the start, on SIGHUP and on a reload that does not wait', async (test) => {
    const place = await startPlace(test);
    const users = ['alice', 'bob', 'carol'].map((user) => createKey(user, 'ecdsa'));
    const [first, second, third] = users as [SigningKey, SigningKey, SigningKey];
    await put(place, 'authkeys/alice.keys', first.publicLine);
    const started = await start(test, place);
    await eventually('the first key', 10_000, () => isKnown(started, first));
    await put(place, 'authkeys/bob.keys', second.publicLine);
    started.server.signal('SIGHUP');
    await eventually('the second key', 10_000, () => isKnown(started, second));
    await put(place, 'keys/carol.keys', third.publicLine);
    test.strictSame(facts(await started.client.post(RELOAD)), [200, {}]);
    await eventually('the third key', 10_000, () => isKnown(started, third));
});

await t.test('Manta away: waiting fails, everything else goes on with the copies', async (test) => {
    const place = await startPlace(test);
    const started = await start(test, place);
    const { client, baseDir } = started;
    await put(place, 'authkeys/alice.keys', alice.publicLine);
    await client.post(WAIT);
    const away: Readonly<Record<string, () => Promise<() => unknown>>> = {
        'refuses connections': async () => {
            await place.double.stop();
            return () => place.double.restart();
        },
        'says 503': async () => place.double.inject({ refuse: 503 }),
    };
    for (const [how, begin] of Object.entries(away)) {
        const end = await begin();
        test.strictSame(facts(await client.post(WAIT)), [503, 'StorageIsDown'], how);
        test.equal(await isKnown(started, alice), true);
        const local = createKey('local');
        const directory = join(baseDir, 'etc/authkeys/local');
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, 'local.keys'), local.publicLine);
        test.strictSame(facts(await client.post(RELOAD)), [200, {}]);
        test.equal(await isKnown(started, local), true, 'local files are loaded');
        rmSync(join(directory, 'local.keys'));
        await end();
        test.strictSame(facts(await client.post(WAIT)), [200, {}]);
    }
    const fatal = started.server.log.filter(({ level, component }) => level > 40 && component === 'authkeys');
    test.strictSame(fatal, [], 'only warnings');
});

await t.test('a silent Manta keeps neither a reload nor a stop', async (test) => {
    const place = await startPlace(test);
    place.double.inject({ hang: true });
    const { client, server } = await start(test, place);
    await place.double.waitFor({ path: `${ROOT}/keys` });
    test.strictSame(facts(await client.post(RELOAD)), [200, {}]);
    const started = performance.now();
    await expectCleanEnd(server);
    const tookMs = performance.now() - started;
    test.ok(tookMs < 10_000, `${tookMs} ms, less than a call to Manta may take`);
});

await t.test('requests for a copy that come together share one', async (test) => {
    const place = await startPlace(test);
    const { client } = await start(test, place);
    await client.post(WAIT);
    place.double.clearRequests();
    const hold = place.double.hold({ path: `${ROOT}/authkeys`, method: 'GET' });
    const first = client.post(WAIT);
    await hold.arrived(1);
    const others = Array.from({ length: 10 }, () => client.post(WAIT));
    test.equal((await client.post(RELOAD)).status, 200, 'who does not wait is not kept');
    await put(place, 'authkeys/alice.keys', alice.publicLine);
    hold.resume();
    const answers = await Promise.all([first, ...others]);
    test.same(
        answers.map(({ status }) => status),
        answers.map(() => 200),
    );
    const lists = place.double.requests({ path: `${ROOT}/authkeys`, method: 'GET' });
    test.ok(lists.length <= 3, `${lists.length} for 12 requests`);
});

await t.test('a process without the lock leaves copying to the one that has it', async (test) => {
    const place = await startPlace(test);
    const baseDir = sharedBase(test);
    const holder = await start(test, place, { baseDir });
    await holder.client.post(WAIT);
    const other = await start(test, place, { baseDir });
    await put(place, 'authkeys/alice.keys', alice.publicLine);
    const refused = await other.client.post(WAIT);
    test.strictSame(facts(refused), [503, 'ServiceUnavailableError']);
    test.equal(refused.header('retry-after'), '1');
    test.strictSame(facts(await other.client.post(RELOAD)), [200, {}]);
    test.notOk(existsSync(join(baseDir, 'etc/authkeys/manta/alice.keys')));
    test.strictSame(facts(await holder.client.post(WAIT)), [200, {}]);
    await eventually('the copy to be seen', 10_000, () => isKnown(other, alice));
    const { instance } = await marker(place);

    await holder.server.kill();
    const bob = createKey('bob');
    await put(place, 'authkeys/bob.keys', bob.publicLine);
    await eventually('the other one to copy', 20_000, () => isKnown(other, bob));
    test.strictSame(facts(await other.client.post(WAIT)), [200, {}]);
    test.strictSame((await marker(place))['instance'], instance, 'one installation');
    test.match(await ownerCheck(other), { ok: true });
});

await t.test('without signatures nobody asks Manta for keys', async (test) => {
    const place = await startPlace(test);
    await put(place, 'authkeys/alice.keys', alice.publicLine);
    place.double.clearRequests();
    const { client } = await start(test, place, { config: { authType: 'none', authKeys: undefined } });
    test.strictSame(facts(await client.post(WAIT)), [200, {}]);
    await eventually('the marker', 10_000, () => place.double.entry(MARKER) !== undefined);
    test.strictSame(place.double.requests({ path: /keys/ }), []);
});

await t.test('two hosts on one area: the second one says so and leaves the marker', async (test) => {
    const place = await startPlace(test);
    const first = await start(test, place);
    await eventually('the marker', 10_000, () => place.double.entry(MARKER) !== undefined);
    const owner = await marker(place);
    test.match(owner, { instance: /^[0-9a-f-]{36}$/, host: /./, time: /Z$/ });
    const own = JSON.parse(readFileSync(join(first.baseDir, 'run/instance'), 'utf8')) as Document;
    test.equal(own['instance'], owner['instance']);

    const second = await start(test, place);
    const told = await second.server.waitForLog(
        ({ component, level }) => component === 'owner' && level === 50,
    );
    test.match(told, { owner });
    test.match(await ownerCheck(second), { status: 'degraded', ok: false, owner });
    test.match(await ownerCheck(first), { status: 'ok', ok: true });
    test.strictSame(await marker(place), owner);
    test.equal((await second.client.get('/images')).status, 200, 'it serves all the same');

    await expectCleanEnd(first.server);
    test.strictSame(await marker(place), owner, 'a stop leaves it');
    await place.client.call('unlink', MARKER);
    second.server.signal('SIGHUP');
    await eventually('health', HEALTH_LIMIT_MS, async () => (await ownerCheck(second))['ok'] === true);
    test.not((await marker(place))['instance'], owner['instance'], 'what an operator removed is free');
});

await t.test('a restart is no other host, and a configured instance is taken', async (test) => {
    const place = await startPlace(test);
    const baseDir = sharedBase(test);
    const owners: unknown[] = [];
    for (const run of ['first', 'second']) {
        const started = await start(test, place, { baseDir });
        await place.double.waitFor({ kind: 'put', path: MARKER }, { done: true });
        owners.push((await marker(place))['instance']);
        test.match(await ownerCheck(started), { ok: true }, run);
        await expectCleanEnd(started.server);
        place.double.clearRequests();
    }
    test.equal(owners[0], owners[1]);
    const stale = { instance: owners[0], host: 'gone', time: new Date(Date.now() - 7_300_000).toISOString() };
    await put(place, 'run/owner.json', JSON.stringify(stale));
    place.double.clearRequests();
    const instanceUuid = 'f0f0f0f0-0000-4000-8000-000000000001';
    const other = await start(test, place, { config: { instanceUuid } });
    await place.double.waitFor({ kind: 'put', path: MARKER }, { done: true });
    test.match(await marker(place), { instance: instanceUuid });
    await other.server.waitForLog(({ component, level }) => component === 'owner' && level === 40);
    test.notOk(existsSync(join(other.baseDir, 'run/instance')));
});

await t.test('without an area there is no marker to look at', async (test) => {
    const baseDir = sharedBase(test);
    const config = { authType: 'signature', authKeys: { operator: [operator.publicLine] } };
    const server = await ServerProcess.start({ baseDir, config });
    test.teardown(() => expectCleanEnd(server));
    const client = new HttpClient(server.port, operator);
    const { checks } = (await client.get('/health')).document as { readonly checks: Document };
    test.notOk('manta.owner' in checks);
    test.strictSame(facts(await client.post(WAIT)), [200, {}]);
});
