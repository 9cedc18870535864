import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sha256Digest } from '../helpers/docker-images.js';
import { DockerRegistry, noDockerRegistry } from '../helpers/docker-registry.js';
import { OciLayout } from '../helpers/oci-layout.js';
import { RegistryClient } from '../helpers/registry-client.js';
import { LIMIT_MS, temporaryDirectory } from '../helpers/server-process.js';
import { dockerName, noSkopeo, skopeoCopy, skopeoInspect, skopeoRaw } from '../helpers/skopeo.js';

// What the tests of Docker images are made with, against the tools of others.

t.setTimeout(LIMIT_MS);
const skip = noDockerRegistry || noSkopeo;
const directory = temporaryDirectory();
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

void t.test('an image goes from a layout into the registry and out again', { skip }, async (t) => {
    const registry = await DockerRegistry.start(t);
    const layout = new OciLayout(join(directory, 'layout'));
    const made = await layout.addImage('one', {
        layers: [
            { seed: 'a' },
            { seed: 'b', packing: 'none' },
            { seed: 'c', packing: 'zstd', size: 300_000 },
        ],
        history: 'with-empty',
    });
    const name = dockerName(registry.host, 'some/image', 'one');
    await skopeoCopy(layout.name('one'), name);
    const seen = await skopeoInspect(name);
    t.equal(seen.Digest, made.digest);
    t.same(
        seen.Layers,
        made.layers.map(({ digest }) => digest),
    );
    t.same(await skopeoRaw(name), made.bytes);
    t.same(await skopeoRaw(name, 'config'), made.config.bytes);
    const out = join(directory, 'out');
    await skopeoCopy(name, `dir:${out}`);
    for (const { digest, size } of made.layers) {
        const bytes = readFileSync(join(out, digest.slice('sha256:'.length)));
        t.same([sha256Digest(bytes), bytes.length], [digest, size]);
    }
});

void t.test('an index with attestations', { skip }, async (t) => {
    const registry = await DockerRegistry.start(t);
    const layout = new OciLayout(join(directory, 'many'));
    const made = await layout.addIndex('many', {
        images: [
            { layers: [{ seed: 'arm' }], architecture: 'arm64' },
            { layers: [{ seed: 'amd' }], history: 'none' },
        ],
        attestations: true,
    });
    await skopeoCopy(layout.name('many'), dockerName(registry.host, 'many', 'tag'), { all: true });
    const client = new RegistryClient(registry.url);
    const { body, headers } = await client.manifest('many', 'tag');
    t.same(body, made.bytes);
    t.equal(headers['docker-content-digest'], made.digest);
    t.same((await skopeoInspect(dockerName(registry.host, 'many', made.digest))).Layers, [
        made.images[1]?.layers[0]?.digest,
    ]);
});

void t.test("images of Docker's own format, straight into the registry", { skip }, async (t) => {
    const registry = await DockerRegistry.start(t);
    const client = new RegistryClient(registry.url);
    const layers = [{ seed: 'g' }, { seed: 'x', packing: 'none' as const }];
    const image = await client.putImage('plain', 'two', { format: 'docker', layers });
    t.same((await client.manifest('plain', 'two')).body, image.bytes);
    const index = await client.putIndex('list', 'three', {
        format: 'docker',
        images: [{ layers }, { layers: [{ seed: 's' }], architecture: 's390x' }],
    });
    t.equal((await skopeoInspect(dockerName(registry.host, 'list', 'three'))).Digest, index.digest);
    t.ok(registry.accesses.some(({ method, status }) => method === 'PUT' && status === 201));
});

void t.test('an image of schema 1, signed', { skip }, async (t) => {
    const registry = await DockerRegistry.start(t, { schema1: true });
    const client = new RegistryClient(registry.url);
    for (const algorithm of ['ES256', 'RS256'] as const) {
        const steps = [{ seed: 'base' }, { command: 'ENV A=b' }, { seed: 'top' }, { command: 'CMD ["x"]' }];
        const tag = algorithm.toLowerCase();
        const image = await client.putSchema1({ name: 'old/one', tag, algorithm, steps });
        const { headers, body } = await client.manifest('old/one', tag);
        // The registry puts a signature of its own in the place of ours.
        const signed = image.payload.subarray(0, -'\n}'.length);
        t.same(body.subarray(0, signed.length), signed);
        t.equal(headers['docker-content-digest'], image.digest);
        t.equal(headers['content-type'], image.mediaType);
        const seen = await skopeoInspect(dockerName(registry.host, 'old/one', tag));
        t.equal(seen.Digest, image.digest);
        t.equal(seen.Layers.length, 4);
        // What is signed must be what is there.
        const bytes = Buffer.from(image.bytes.toString().replace('amd64', 'arm64'));
        await t.rejects(client.putManifest('old/one', 'forged', { ...image, bytes }), /a manifest: [45]00/);
    }
});

void t.test('a private registry that asks for a password', { skip }, async (t) => {
    const registry = await DockerRegistry.start(t, { basic: { luke: 'a: secret' } });
    const user = { username: 'luke', password: 'a: secret' };
    const image = await new RegistryClient(registry.url, user).putImage('p', 'v', {
        layers: [{ seed: 'p' }],
    });
    const name = dockerName(registry.host, 'p', 'v');
    t.equal((await skopeoInspect(name, 'luke:a: secret')).Digest, image.digest);
    await t.rejects(skopeoInspect(name, 'luke:other'), /unauthorized|authentication required/);
    t.equal((await new RegistryClient(registry.url).manifest('p', 'v')).status, 401);
});

void t.test('a private registry that asks for tokens', { skip }, async (t) => {
    const registry = await DockerRegistry.start(t, { tokens: { users: { luke: 'secret' } } });
    const user = { username: 'luke', password: 'secret' };
    const image = await new RegistryClient(registry.url, user).putImage('p/q', 'v', {
        layers: [{ seed: 'p' }],
    });
    const name = dockerName(registry.host, 'p/q', 'v');
    t.equal((await skopeoInspect(name, 'luke:secret')).Digest, image.digest);
    await t.rejects(skopeoInspect(name, 'luke:other'), /unauthorized|incorrect/);
    t.equal((await new RegistryClient(registry.url).manifest('p/q', 'v')).status, 401);
});
