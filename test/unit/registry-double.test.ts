import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import { ObjectStoreDouble } from '../doubles/registry/object-store.js';
import { TokenServer } from '../doubles/registry/token-server.js';
import { Gate } from '../doubles/gate.js';
import { makeLayer, sha256Digest, type MadeImage } from '../helpers/docker-images.js';
import { OciLayout } from '../helpers/oci-layout.js';
import { RegistryClient } from '../helpers/registry-client.js';
import { eventually, LIMIT_MS, temporaryDirectory } from '../helpers/server-process.js';
import { dockerName, noSkopeo, skopeoCopy, skopeoInspect } from '../helpers/skopeo.js';

// What is shown with the double is worth something only if it is a registry like others.

t.setTimeout(LIMIT_MS);
const directory = temporaryDirectory();
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const BLOB = makeLayer({ seed: 'a blob', size: 200_000 });
const PATH = `some/image/blobs/${BLOB.digest}`;

async function startWithBlob(t: Test): Promise<{ double: RegistryDouble; client: RegistryClient }> {
    const double = await new RegistryDouble().start(t);
    double.repositories.putBlob('some/image', BLOB.bytes);
    return { double, client: new RegistryClient(double.url) };
}

function sameLayers(t: Test, out: string, { layers }: MadeImage): void {
    for (const { digest } of layers) {
        t.equal(sha256Digest(readFileSync(join(out, digest.slice('sha256:'.length)))), digest);
    }
}

void t.test('skopeo copies an image to it and back', { skip: noSkopeo }, async (t) => {
    const double = await new RegistryDouble().start(t);
    const layout = new OciLayout(join(directory, 'layout'));
    const layers = [{ seed: 'a' }, { seed: 'b', packing: 'none' as const }, { seed: 'c', size: 300_000 }];
    for (const location of ['relative', 'absolute', 'query'] as const) {
        double.uploadLocation = location;
        const made = await layout.addImage(location, { layers: [...layers, { seed: location }] });
        const name = dockerName(double.host, `copied/${location}`, 'one');
        await skopeoCopy(layout.name(location), name);
        const seen = await skopeoInspect(name);
        t.equal(seen.Digest, made.digest);
        t.same(
            seen.Layers,
            made.layers.map(({ digest }) => digest),
        );
        const out = join(directory, location);
        await skopeoCopy(name, `dir:${out}`);
        sameLayers(t, out, made);
    }
    t.equal(double.uploads.open, 0);
});

void t.test('skopeo copies an index with tokens', { skip: noSkopeo }, async (t) => {
    const tokens = await new TokenServer({ users: { luke: 'secret' } }).start();
    t.teardown(() => tokens.stop());
    const double = await new RegistryDouble({ auth: { tokens } }).start(t);
    const layout = new OciLayout(join(directory, 'index'));
    const images = [{ layers: [{ seed: 'amd' }] }, { layers: [{ seed: 'arm' }], architecture: 'arm64' }];
    const made = await layout.addIndex('all', { images, attestations: true });
    const name = dockerName(double.host, 'first', 'all');
    await skopeoCopy(layout.name('all'), name, { all: true, to: 'luke:secret' });
    t.equal((await skopeoInspect(name, 'luke:secret')).Digest, made.digest);
    await t.rejects(skopeoInspect(name, 'luke:wrong'), /unauthorized|incorrect/);
    await t.rejects(skopeoInspect(name), /unauthorized|authentication required/);
    const both = { all: true, from: 'luke:secret', to: 'luke:secret' };
    await skopeoCopy(name, dockerName(double.host, 'second', 'all'), both);
    t.same(double.repositories.manifest('second', 'all')?.bytes, made.bytes);
});

void t.test('tokens are for what they say, and for a time', async (t) => {
    const tokens = await new TokenServer({
        users: { luke: 'secret' },
        refreshTokens: { 'a refresh token': 'luke' },
        anonymous: ['pull'],
    }).start();
    t.teardown(() => tokens.stop());
    const double = await new RegistryDouble({ auth: { tokens } }).start(t);
    const { layers } = await double.putImage('a', 'one', { layers: [{ seed: 'a' }] });
    const form = { grant_type: 'refresh_token', refresh_token: 'a refresh token', service: tokens.service };
    const tokenFor = async (scope: string, init: RequestInit = {}): Promise<string> => {
        const query = new URLSearchParams({ service: tokens.service, scope });
        const answer = await fetch(`${tokens.realm}?${query.toString()}`, init);
        const { token } = (await answer.json()) as { readonly token?: string };
        return token ?? `none (${answer.status})`;
    };
    const ask = async (
        token: string,
        method = 'GET',
        path = `a/blobs/${layers[0]?.digest}`,
    ): Promise<unknown> => {
        const headers = { authorization: `Bearer ${token}` };
        const answer = await fetch(`${double.url}/v2/${path}`, { method, headers });
        await answer.arrayBuffer();
        const [, error] = /error="(\w+)"/.exec(answer.headers.get('www-authenticate') ?? '') ?? [];
        return error ?? answer.status;
    };
    const pull = await tokenFor('repository:a:pull');
    t.equal(await ask(pull), 200);
    t.equal(await ask(pull, 'GET', 'b/manifests/x'), 'insufficient_scope');
    t.equal(await ask(pull, 'POST', 'a/blobs/uploads/'), 'insufficient_scope');
    t.equal(await ask(`${pull.slice(0, -8)}AAAAAAAA`), 'invalid_token');
    const both = 'repository:a:pull,push';
    const asLuke = { headers: { authorization: `Basic ${Buffer.from('luke:secret').toString('base64')}` } };
    t.equal(await ask(await tokenFor(both), 'POST', 'a/blobs/uploads/'), 'insufficient_scope');
    t.equal(await ask(await tokenFor(both, asLuke), 'POST', 'a/blobs/uploads/'), 202);
    const body = new URLSearchParams({ ...form, scope: both });
    t.equal(await ask(await tokenFor('', { method: 'POST', body }), 'POST', 'a/blobs/uploads/'), 202);
    body.set('refresh_token', 'other');
    t.equal(await tokenFor('', { method: 'POST', body }), 'none (401)');
    double.expireTokens();
    t.equal(await ask(pull), 'invalid_token');
    t.equal(await ask(await tokenFor('repository:a:pull')), 200);
    tokens.behaviour.lifeSeconds = -1;
    t.equal(await ask(await tokenFor('repository:a:pull')), 'invalid_token');
    tokens.behaviour.keys = [];
    t.equal(await tokenFor('repository:a:pull'), 'none (200)');
});

void t.test('skopeo takes blobs from the store it is sent to', { skip: noSkopeo }, async (t) => {
    const double = await new RegistryDouble({ auth: { basic: { luke: 'secret' } } }).start(t);
    const store = await new ObjectStoreDouble().start(t);
    double.objectStore = { store, status: 307 };
    const image = await double.putImage('far', 'away', { layers: [{ seed: 'far' }], format: 'docker' });
    const out = join(directory, 'far');
    await skopeoCopy(dockerName(double.host, 'far', 'away'), `dir:${out}`, { from: 'luke:secret' });
    sameLayers(t, out, image);
    t.equal(store.requests({ kind: 'object' }).length, 2);
    const headers = { authorization: 'Basic x' };
    t.equal(
        (await new RegistryClient(store.url).request('GET', store.link(BLOB.bytes), { headers })).status,
        400,
    );
    double.uploadLocation = store;
    const user = { username: 'luke', password: 'secret' };
    await new RegistryClient(double.url, user).putBlob('far', BLOB.bytes);
    t.same(double.repositories.blob('far', BLOB.digest), BLOB.bytes);
});

void t.test('it reads schema 1 as others do', { skip: noSkopeo }, async (t) => {
    const double = await new RegistryDouble().start(t);
    const steps = [{ seed: 'old' }, { command: 'ENV a=b' }];
    const made = await double.putSchema1({ name: 'old', tag: 'one', steps });
    t.equal((await skopeoInspect(dockerName(double.host, 'old', 'one'))).Digest, made.digest);
    const client = new RegistryClient(double.url);
    t.equal(await client.putManifest('old', 'two', made), made.digest);
});

void t.test('uploads that are not what they say', async (t) => {
    const double = await new RegistryDouble().start(t);
    const client = new RegistryClient(double.url);
    const path = 'some/blobs/uploads/';
    const wrong = await client.request('POST', `${path}?digest=${BLOB.digest}`, { body: Buffer.from('x') });
    t.equal(wrong.status, 400);
    t.match(JSON.parse(wrong.body.toString()), { errors: [{ code: 'DIGEST_INVALID' }] });
    const { headers } = await client.request('POST', path);
    const parts = [BLOB.bytes.subarray(0, 1000), BLOB.bytes.subarray(1000)];
    const location = String(headers.location);
    const patched = await client.request('PATCH', location, {
        body: parts[0]!,
        headers: { 'content-range': '0-999' },
    });
    t.match(patched, { status: 202, headers: { range: '0-999' } });
    const again = { body: parts[0]!, headers: { 'content-range': '0-999' } };
    t.equal((await client.request('PATCH', location, again)).status, 416);
    const done = await client.request('PUT', `${location}?digest=${BLOB.digest}`, { body: parts[1]! });
    t.match(done, { status: 201, headers: { 'docker-content-digest': BLOB.digest } });
    t.equal((await client.request('PUT', `${location}?digest=${BLOB.digest}`)).status, 404);
    const value = { schemaVersion: 2, config: { digest: sha256Digest('nothing') }, layers: [] };
    const manifest = { mediaType: 'x', bytes: Buffer.from(JSON.stringify(value)) };
    await t.rejects(client.putManifest('some', 'tag', manifest), /MANIFEST_BLOB_UNKNOWN/);
    const mounted = await client.request('POST', `other/blobs/uploads/?mount=${BLOB.digest}&from=some`);
    t.equal(mounted.status, 201);
    double.mounts = false;
    t.equal(
        (await client.request('POST', `third/blobs/uploads/?mount=${BLOB.digest}&from=some`)).status,
        202,
    );
});

void t.test('parts of blobs', async (t) => {
    const { double, client } = await startWithBlob(t);
    const part = (range: string, more = {}): ReturnType<RegistryClient['request']> =>
        client.request('GET', PATH, { headers: { range, ...more } });
    const { length } = BLOB.bytes;
    const tail = await part('bytes=1000-', { 'if-range': `"${BLOB.digest}"` });
    t.match(tail, { status: 206, headers: { 'content-range': `bytes 1000-${length - 1}/${length}` } });
    t.same(tail.body, BLOB.bytes.subarray(1000));
    t.equal((await part('bytes=1000-', { 'if-range': '"other"' })).status, 200);
    t.equal((await part(`bytes=${length}-`)).status, 416);
    double.inject({ ranges: 'ignored' });
    t.equal((await part('bytes=1000-')).status, 200);
    const head = await client.request('HEAD', PATH);
    t.match(head, { status: 200, headers: { 'content-length': String(length) } });
    t.equal(double.downloads(BLOB.digest).length, 4);
});

void t.test('what goes wrong with blobs when it is told to', async (t) => {
    const { double, client } = await startWithBlob(t);
    const get = (): ReturnType<RegistryClient['request']> => client.request('GET', PATH);
    const { length } = BLOB.bytes;
    double.inject({ corruptAt: 70_000 }, { times: 1 });
    const { body } = await get();
    t.equal(body.length, length);
    t.equal(body.compare(BLOB.bytes, 0, 70_000, 0, 70_000), 0);
    t.not(body[70_000], BLOB.bytes[70_000]);
    for (const other of [10, length + 10]) {
        double.inject({ length: other }, { times: 1 });
        const { headers, body: sent } = await get();
        t.same([headers['content-length'], sent.length], [String(other), other]);
    }
    double.inject({ cutAt: 100_000 }, { times: 1 });
    await t.rejects(get(), /aborted/);
    t.equal(double.downloads(BLOB.digest).at(-1)?.bytesOut, 100_000);
    double.inject({ contentLength: length + 5 }, { times: 1 });
    await t.rejects(get(), /aborted/);
    const headers = { 'retry-after': '7' };
    double.inject({ refuse: { status: 429, headers } }, { kind: 'get-blob', times: 1 });
    t.match(await get(), { status: 429, headers });
    double.inject({ redirect: { status: 302, to: '../elsewhere' } }, { times: 1 });
    t.match(await get(), { status: 302, headers: { location: '../elsewhere' } });
    double.inject({ headers: { 'docker-content-digest': 'sha256:0' } }, { times: 1 });
    t.match(await get(), { headers: { 'docker-content-digest': 'sha256:0' } });
    t.same((await get()).body, BLOB.bytes);
});

void t.test('what stops, and what never ends', async (t) => {
    const { double } = await startWithBlob(t);
    const faults = [
        [{ stallAt: 50_000 }, 50_000],
        [{ endless: true }, 1_000_000],
        [{ hang: true }, 0],
    ] as const;
    for (const [fault, sent] of faults) {
        const end = double.inject(fault);
        const abort = new AbortController();
        const reading = fetch(`${double.url}/v2/${PATH}`, { signal: abort.signal }).then((answer) =>
            answer.arrayBuffer(),
        );
        reading.catch(() => undefined);
        const request = await double.waitFor({ kind: 'get-blob' });
        await eventually('bytes', 5_000, () => request.bytesOut >= sent);
        t.equal(request.done, false);
        abort.abort();
        await t.rejects(reading);
        await double.waitFor({ kind: 'get-blob' }, { done: true });
        end();
        double.clearRequests();
    }
    const gate = new Gate();
    double.inject({ gate: { at: 12_345, gate } });
    const whole = new RegistryClient(double.url).request('GET', PATH);
    await gate.arrived();
    t.equal(double.downloads(BLOB.digest)[0]?.bytesOut, 12_345);
    gate.resume();
    t.same((await whole).body, BLOB.bytes);
});
