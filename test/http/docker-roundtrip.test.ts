// Images of others' registries, made by others' tools, come here and go into other registries as they were.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { sha256Digest, type ImageSpec, type MadeImage, type MadeLayer } from '../helpers/docker-images.js';
import { encoded, layerStatuses, layerUuids, pull, type Pulled } from '../helpers/docker-pulls.js';
import { DockerRegistry, noDockerRegistry } from '../helpers/docker-registry.js';
import type { Document, HttpClient } from '../helpers/http-client.js';
import { OciLayout } from '../helpers/oci-layout.js';
import { RegistryClient } from '../helpers/registry-client.js';
import { temporaryDirectory } from '../helpers/server-process.js';
import { dockerName, noSkopeo, skopeoCopy, skopeoInspect, skopeoRaw } from '../helpers/skopeo.js';
import { startServer } from '../helpers/start-server.js';

const skip = noDockerRegistry || noSkopeo;
const directory = temporaryDirectory();
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

/** Pushes what a pull has told to keep, and gives the lines. */
async function push(client: HttpClient, image: Document, repoAndTag: string): Promise<readonly Document[]> {
    const { image_uuid: uuid, config_digest, image: config, manifest_str } = image;
    const query = new URLSearchParams({ repoAndTag });
    const answer = await client.post(`/images/${String(uuid)}/push?${query.toString()}`, {
        image_uuid: uuid,
        config_digest,
        image: config,
        manifest_str,
    });
    const lines = answer.text
        .split('\r\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Document);
    if (answer.status !== 200 || lines.at(-1)?.['type'] === 'error') throw new Error(answer.text);
    return lines;
}

/** What the lines of a push say of the layers at last. */
function outcomes(lines: readonly Document[], layers: readonly MadeLayer[]): readonly unknown[] {
    return layers.map((layer) => layerStatuses(lines, layer).at(-1));
}

/** A server has an image for each layer, one upon the other, with the bytes that its maker has seen. */
async function expectLayers(t: Test, client: HttpClient, layers: readonly MadeLayer[]): Promise<void> {
    const uuids = layerUuids(layers);
    for (const [at, layer] of layers.entries()) {
        const path = `/images/${uuids[at]}`;
        t.match((await client.get(path)).document, { state: 'active', os: 'linux', type: 'docker' });
        t.equal((await client.get(path)).document['origin'], uuids[at - 1]);
        const { body } = await client.get(`${path}/file`);
        t.equal(sha256Digest(body), layer.digest);
        t.equal(body.length, layer.size);
    }
}

/** A registry has the very image, as somebody else sees it. */
async function expectInRegistry(t: Test, name: string, made: MadeImage): Promise<void> {
    const seen = await skopeoInspect(name);
    t.equal(seen.Digest, made.digest);
    t.same(
        seen.Layers,
        made.layers.map(({ digest }) => digest),
    );
    t.ok((await skopeoRaw(name)).equals(made.bytes), 'the manifest as it was');
    t.equal(sha256Digest(await skopeoRaw(name, 'config')), made.config.digest);
}

function requireImage({ image, lines }: Pulled): Document {
    if (image === undefined) throw new Error(JSON.stringify(lines.at(-1)));
    return image;
}

function getsOf(registry: DockerRegistry, { digest }: MadeLayer): number {
    const wanted = registry.accesses.filter(
        ({ method, target, status }) =>
            method === 'GET' && status < 300 && target.endsWith(`/blobs/${digest}`),
    );
    return wanted.length;
}

void t.test('import, push elsewhere, import by digest', { skip }, async (t) => {
    const { client } = await startServer(t);
    const [first, second] = await Promise.all([DockerRegistry.start(t), DockerRegistry.start(t)]);
    const layout = new OciLayout(join(directory, 'many'));
    const layers = [
        { seed: 'base', size: 700_000 },
        { seed: 'middle', packing: 'none' as const },
        { seed: 'top' },
    ];
    const index = await layout.addIndex('v1', {
        images: [
            { layers: [{ seed: 'arm' }], architecture: 'arm64' },
            { layers, history: 'with-empty', config: { author: 'A & B <a@example.org>' } },
        ],
        attestations: true,
    });
    const made = index.images[1]!;
    await skopeoCopy(layout.name('v1'), dockerName(first.host, 'some/many', 'v1'), { all: true });

    const image = requireImage(await pull(client, `${first.host}/some/many`, 'v1'));
    t.match(image, { config_digest: made.config.digest, manifest_digest: made.digest });
    t.equal(image['image_uuid'], layerUuids(made.layers).at(-1));
    t.equal(image['manifest_str'], made.bytes.toString());
    await expectLayers(t, client, made.layers);

    const mounted = await push(client, image, `${first.host}/other/place:v1`);
    t.same(
        outcomes(mounted, made.layers),
        made.layers.map(() => `Mounted from ${first.host}/some/many`),
    );
    await expectInRegistry(t, dockerName(first.host, 'other/place', 'v1'), made);
    const pushed = await push(client, image, `${second.host}/far/away:v2`);
    t.same(
        outcomes(pushed, made.layers),
        made.layers.map(() => 'Pushed'),
    );
    await expectInRegistry(t, dockerName(second.host, 'far/away', 'v2'), made);
    const again = await push(client, image, `${second.host}/far/away:v3`);
    t.same(
        outcomes(again, made.layers),
        made.layers.map(() => 'Layer already exists'),
    );

    for (const repo of [`${first.host}/other/place`, `${second.host}/far/away`]) {
        const { client: fresh } = await startServer(t);
        const found = requireImage(await pull(fresh, repo, made.digest));
        const same = { ...image, id: found['id'] };
        t.same(found, same);
        await expectLayers(t, fresh, made.layers);
    }
    const upToDate = await pull(client, `${second.host}/far/away`, made.digest);
    t.match(upToDate.lines.at(-1), { payload: { status: /^Status: Image is up to date for / } });
    const fetched = made.layers.map((layer) => getsOf(first, layer) + getsOf(second, layer));
    t.same(fetched, [3, 3, 3], 'each server has fetched each layer once');
});

const FORMATS: Readonly<Record<string, ImageSpec>> = {
    docker: { format: 'docker', layers: [{ seed: 'd1' }, { seed: 'd2', packing: 'none' }] },
    'docker-xz': { format: 'docker', layers: [{ seed: 'x1', packing: 'xz' }, { seed: 'x2' }] },
    'no-history': { layers: [{ seed: 'n1' }, { seed: 'n2' }], history: 'none' },
    'no-type': { layers: [{ seed: 'm1' }], manifest: { mediaType: undefined } },
};

void t.test('images of other forms', { skip }, async (t) => {
    const { client } = await startServer(t);
    const registry = await DockerRegistry.start(t, { schema1: true });
    const straight = new RegistryClient(registry.url);
    for (const [name, spec] of Object.entries(FORMATS)) {
        const made = await straight.putImage(name, 'v1', spec);
        const image = requireImage(await pull(client, `${registry.host}/${name}`, 'v1'));
        t.match(image, { manifest_digest: made.digest, config_digest: made.config.digest }, name);
        await expectLayers(t, client, made.layers);
        await push(client, image, `${registry.host}/copy-of-${name}:v1`);
        const copy = await straight.manifest(`copy-of-${name}`, 'v1');
        t.ok(copy.body.equals(made.bytes), name);
        t.equal(copy.headers['content-type'], made.mediaType);
    }
    const list = await straight.putIndex('docker-list', 'v1', {
        format: 'docker',
        images: [{ layers: [{ seed: 's390' }], architecture: 's390x' }, { layers: [{ seed: 'amd' }] }],
    });
    const chosen = requireImage(await pull(client, `${registry.host}/docker-list`, 'v1'));
    t.equal(chosen['manifest_digest'], list.images[1]?.digest);

    const zstd = { layers: [{ seed: 'z0' }, { seed: 'z1', packing: 'zstd' as const }] };
    await straight.putImage('zstd', 'v1', zstd);
    await straight.putImage('hidden-zstd', 'v1', {
        layers: [{ seed: 'z2', packing: 'zstd', mediaType: 'application/vnd.oci.image.layer.v1.tar' }],
    });
    for (const name of ['zstd', 'hidden-zstd']) {
        const refused = { code: 'NotImplemented', message: 'zstd-compressed layers are not supported' };
        t.same((await pull(client, `${registry.host}/${name}`, 'v1')).failure, refused, name);
    }

    const steps = [{ seed: 'old1' }, { command: 'ENV A=b' }, { seed: 'old2', size: 200_000 }];
    const old = await straight.putSchema1({ name: 'old', tag: 'v1', steps });
    const rebuilt = requireImage(await pull(client, `${registry.host}/old`, 'v1'));
    t.match(rebuilt, { dockerImageVersion: '2.1', image_uuid: layerUuids(old.layers).at(-1) });
    t.match(rebuilt['image'], { rootfs: { diff_ids: old.layers.map(({ diffId }) => diffId) } });
    await expectLayers(t, client, old.layers);
    await push(client, rebuilt, `${registry.host}/new:v1`);
    const name = dockerName(registry.host, 'new', 'v1');
    t.equal((await skopeoInspect(name)).Digest, rebuilt['manifest_digest']);
    // Another tool finds everything that the rebuilt image names.
    await skopeoCopy(name, `dir:${join(directory, 'new')}`);
    t.equal(sha256Digest(await skopeoRaw(name, 'config')), rebuilt['config_digest']);
});

void t.test('private registries', { skip }, async (t) => {
    const { client, server } = await startServer(t);
    const user = { username: 'luke', password: 'a: secret word' };
    const users = { [user.username]: user.password };
    const registries = await Promise.all([
        DockerRegistry.start(t, { basic: users }),
        DockerRegistry.start(t, { tokens: { users } }),
    ]);
    for (const [at, registry] of registries.entries()) {
        const straight = new RegistryClient(registry.url, user);
        const made = await straight.putImage('private/one', 'v1', { layers: [{ seed: `private ${at}` }] });
        const repo = `${registry.host}/private/one`;
        const wrong = { 'x-registry-auth': encoded({ ...user, password: 'other' }) };
        const unknown = { 'x-registry-config': encoded({ 'quay.io': user }) };
        // A manifest that one may not see is none (jobs-and-imports 5.2).
        const notFound = { code: 'ResourceNotFound', message: 'authentication required' };
        t.same((await pull(client, repo, 'v1', unknown)).failure, notFound);
        const refused = {
            code: 'UnauthorizedError',
            message: `authorization server ${registry.tokens?.realm ?? ''}: incorrect username or password`,
        };
        const { failure } = await pull(client, repo, 'v1', wrong);
        t.same(failure, registry.tokens === undefined ? notFound : refused);
        const config = { 'x-registry-config': encoded({ 'quay.io': {}, [registry.host]: user }) };
        const image = requireImage(await pull(client, repo, 'v1', config));
        t.equal(image['manifest_digest'], made.digest);
        await expectLayers(t, client, made.layers);
        const auth = encoded({ ...user, email: 'l@example.org', serveraddress: registry.host });
        const again = await pull(client, repo, made.digest, { 'x-registry-auth': auth });
        t.match(again.lines.at(-1), { payload: { status: /up to date/ } });
    }
    t.notMatch(
        JSON.stringify(server.log),
        /a: secret word|YTogc2VjcmV0/,
        'nothing is logged of the password',
    );
    t.notOk(server.log.some((record) => JSON.stringify(record).includes(encoded(user).slice(0, 40))));
});
