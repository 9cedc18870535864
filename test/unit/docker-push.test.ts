// What a push does and says, with a registry in memory (jobs-and-imports 5.6).
import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { MEDIA_TYPES, sha256Digest, type ImageSpec } from '../helpers/docker-images.js';
import { layerBytes, pushBench, readAll, REQUEST_ID, wholeImage } from '../helpers/push-bench.js';
import { closingLines, errorLine, layerLine, shortId, statuses } from '../helpers/push-lines.js';

const DOCKER: ImageSpec = { format: 'docker', layers: [{ seed: 'base' }, { seed: 'top', size: 300_000 }] };
const OTHER_REPO = 'quay.io/c/d';

void t.test('layers, config and manifest go there, and the lines say so', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    registry.blobs.set(image.layers[0]?.digest ?? '', layerBytes(image, 0));
    let opened = 0;
    // The second layer waits for the first one's end, so that the order is certain.
    registry.before.putBlob = async (digest) => {
        if (digest === image.layers[1]?.digest) await new Promise((resolve) => setImmediate(resolve));
        opened += 1;
    };
    const lines = await push(image);
    t.same(
        lines.map((line) => JSON.stringify(line)),
        [
            layerLine(image, 0, 'Preparing'),
            layerLine(image, 1, 'Preparing'),
            layerLine(image, 0, 'Layer already exists'),
            layerLine(image, 1, 'Pushed'),
            ...closingLines(image, '1'),
        ].map((line) => JSON.stringify(line)),
    );
    t.equal(opened, 2, 'one layer and the config');
    t.same(registry.blobs, image.blobs);
    t.same(registry.manifests.get('1'), { bytes: image.bytes, contentType: MEDIA_TYPES.docker.manifest });
    t.same(registry.uses, [{ scope: 'push', supplier: 'operator' }]);
    t.match(registry.uploads, [
        { contentType: 'application/octet-stream', size: layerBytes(image, 1).length, mountFrom: undefined },
        { contentType: 'application/vnd.docker.container.image.v1+json', size: image.config.bytes.length },
    ]);
    const again = await push(image);
    t.same(
        again.slice(2, 4),
        [0, 1].map((at) => layerLine(image, at, 'Layer already exists')),
    );
    t.equal(opened, 2, 'nothing is sent twice');
});

void t.test('credentials are those of the header', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    await push(image, { auth: { username: 'u', password: 'p' } });
    t.same(registry.uses, [
        { scope: 'push', supplier: 'operator', credentials: { username: 'u', password: 'p' } },
    ]);
});

void t.test('layers are taken from where they came from, where that is offered', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image, OTHER_REPO);
    registry.mountable.add(`c/d ${image.layers[0]?.digest ?? ''}`);
    const lines = await push(image);
    t.same(statuses(lines, shortId(image, 0)), ['Preparing', `Mounted from ${OTHER_REPO}`]);
    t.same(statuses(lines, shortId(image, 1)), ['Preparing', 'Pushed'], 'refused, so sent');
    t.same(
        registry.uploads.map(({ mountFrom }) => mountFrom),
        ['c/d', 'c/d', undefined],
        'the config is sent',
    );
    t.equal(registry.blobs.has(image.layers[0]?.digest ?? ''), false);
});

void t.test('nothing is to be had from elsewhere, or from the same repository', async (t) => {
    const image = await wholeImage(DOCKER);
    for (const repo of ['quay.io/a/b', 'busybox', 'example.org/c/d', 'Not A Name', '']) {
        const { push, plant, registry } = await pushBench(t);
        await plant(image, repo);
        t.match((await push(image)).at(-1), { payload: { aux: {} } }, repo);
        t.same(
            registry.uploads.filter(({ mountFrom }) => mountFrom !== undefined),
            [],
            repo,
        );
    }
    const { push, plant, registry } = await pushBench(t);
    await plant(image);
    await push(image, { repoAndTag: 'me/mine:1' });
    t.match(registry.uploads[0], { mountFrom: 'library/busybox' }, 'names of the default registry');
});

void t.test('a config is sent as Go writes it, if that is what it was', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const plain = await wholeImage({ ...DOCKER, config: { author: 'A & B <a@example.org> \u2028\u2029' } });
    await plant(plain);
    t.match((await push(plain)).at(-1), { payload: { aux: {} } });
    t.same(registry.blobs.get(plain.config.digest), plain.config.bytes, 'as JavaScript writes it');

    const escaped = Buffer.from(
        plain.config.bytes
            .toString()
            .replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`),
    );
    t.not(escaped.length, plain.config.bytes.length);
    const digest = sha256Digest(escaped);
    t.match((await push(plain, { body: { config_digest: digest } })).at(-1), { payload: { aux: {} } });
    t.same(registry.blobs.get(digest), escaped);

    const wrong = `sha256:${'0'.repeat(64)}`;
    registry.manifests.clear();
    const lines = await push(plain, { body: { config_digest: wrong } });
    t.same(
        lines.at(-1),
        errorLine(
            'InvalidParameter',
            `image config digest does not match: ${plain.config.digest} != ${wrong}`,
        ),
    );
    t.equal(registry.manifests.size, 0);
});

void t.test('a manifest is sent as what it is', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const sent = async (spec: Partial<ImageSpec>): Promise<string | undefined> => {
        const image = await wholeImage({ ...DOCKER, ...spec });
        await plant(image).catch((error: unknown) => {
            // The images of these layers are there already.
            if (!(error instanceof ApiError && error.code === 'ImageUuidAlreadyExists')) throw error;
        });
        t.match((await push(image)).at(-1), { payload: { aux: { Digest: image.digest } } });
        t.same(registry.manifests.get('1')?.bytes, image.bytes);
        return registry.manifests.get('1')?.contentType;
    };
    t.equal(await sent({}), MEDIA_TYPES.docker.manifest);
    t.equal(await sent({ format: 'oci' }), MEDIA_TYPES.oci.manifest);
    t.equal(await sent({ format: 'oci', manifest: { mediaType: undefined } }), MEDIA_TYPES.oci.manifest);
    t.equal(await sent({ manifest: { mediaType: undefined } }), MEDIA_TYPES.docker.manifest);
    t.equal(await sent({ manifest: { mediaType: 'text/plain\r\nX-Y: z' } }), MEDIA_TYPES.docker.manifest);
});

void t.test('a digest stands for a tag, and none for latest', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    const lines = await push(image, { repoAndTag: `quay.io/a/b@${image.digest}` });
    t.same(lines.slice(-2), closingLines(image, image.digest));
    t.same([...registry.manifests.keys()], [image.digest]);
    t.same((await push(image, { repoAndTag: 'quay.io/a/b' })).slice(-2), closingLines(image, 'latest'));
});

void t.test('the digest is the one the registry tells', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    const put = registry.putManifest.bind(registry);
    registry.putManifest = async (...args) => {
        await put(...args);
        return undefined;
    };
    t.same((await push(image)).slice(-2), closingLines(image, '1'), 'or ours, if it does not');
    const told = `sha256:${'1'.repeat(64)}`;
    registry.putManifest = async () => told;
    t.same((await push(image)).slice(-2), closingLines(image, '1', told));
});

void t.test('no more than three at a time', async (t) => {
    const { push, plant, registry } = await pushBench(t);
    const seeds = Array.from({ length: 8 }, (_, at) => ({ seed: `${at}` }));
    const image = await wholeImage({ ...DOCKER, layers: seeds });
    await plant(image);
    let running = 0;
    let most = 0;
    registry.before.putBlob = async (digest) => {
        if (digest === image.config.digest) return;
        running += 1;
        most = Math.max(most, running);
        for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
    };
    t.match((await push(image)).at(-1), { payload: { aux: {} } });
    t.equal(most, 3);
});

void t.test('a layer in a storage that is elsewhere', async (t) => {
    const { push, plant, registry, bench } = await pushBench(t, {
        config: { storageTypes: ['local', 'manta'] },
    });
    const image = await wholeImage(DOCKER);
    await plant(image);
    const top = image.uuids[1] ?? '';
    await bench.database.update(top, ({ files = [], ...raw }) => ({
        ...raw,
        files: files.map((file) => ({ ...file, stor: 'manta' })),
    }));
    await bench.local.remove(top, 'file0');
    await bench.plantFile(top, 'file0', layerBytes(image, 1), bench.manta);
    t.match((await push(image)).at(-1), { payload: { aux: {} } });
    t.same(registry.blobs, image.blobs);
});

void t.test('how far a layer is is told every two seconds, if it has come further', async (t) => {
    const { begin, wanted, plant, registry } = await pushBench(t);
    const image = await wholeImage(DOCKER);
    await plant(image);
    const total = layerBytes(image, 1).length;
    let go: () => void = () => undefined;
    const going = new Promise<void>((resolve) => (go = resolve));
    // The first layer has no news, the bytes of the second one are all gone.
    registry.before.putBlob = (digest) => (digest === image.layers[0]?.digest ? going : undefined);
    const receive = registry.receive.bind(registry);
    registry.receive = async (source, onSent) => {
        const bytes = await receive(source, onSent);
        await going;
        return bytes;
    };
    const lines = begin(wanted(image));
    const since = performance.now();
    t.same((await lines.next()).value, layerLine(image, 0, 'Preparing'));
    t.same((await lines.next()).value, layerLine(image, 1, 'Preparing'));
    t.strictSame(
        JSON.stringify((await lines.next()).value),
        JSON.stringify({
            type: 'progress',
            payload: { id: shortId(image, 1), progressDetail: { current: total, total }, status: 'Pushing' },
            id: REQUEST_ID,
        }),
    );
    t.ok(performance.now() - since > 1900);
    go();
    const rest = await readAll(lines);
    t.same(statuses(rest, shortId(image, 0)), ['Pushed']);
    t.same(statuses(rest, shortId(image, 1)), ['Pushed']);
    t.same(rest.slice(-2), closingLines(image, '1'));
});
