// AdminPushDockerImage where registries, storages and readers fail (jobs-and-imports 5.6).
import { readdirSync, readlinkSync, rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { RegistryCallKind, RegistryFault, RegistryRefusal } from '../doubles/registry/faults.js';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import type { ImageSpec } from '../helpers/docker-images.js';
import { HttpClient, type Document } from '../helpers/http-client.js';
import { writeFixtures } from '../helpers/images.js';
import { layerBytes, layerFixtures, wholeImage, type WholeImage } from '../helpers/push-bench.js';
import { beginPush, linesOf, push } from '../helpers/push-calls.js';
import { closingLines, errorLine, shortId, statuses } from '../helpers/push-lines.js';
import { startManta } from '../helpers/manta-place.js';
import { eventually, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const SPEC: ImageSpec = {
    format: 'docker',
    layers: [
        { seed: 'base', size: 500_000 },
        { seed: 'top', size: 600_000 },
    ],
};

const [image, distant, large] = await Promise.all([
    wholeImage(SPEC),
    wholeImage({ layers: [{ seed: 'distant', size: 2_000_000 }] }),
    // More than fits into all buffers on the way.
    wholeImage({ layers: [{ seed: 'large', size: 16 * 1024 * 1024 }] }),
]);
const manta = await startManta(t);
const { client, server } = await startServer(t, { storageTypes: ['local', 'manta'], manta: manta.config }, [
    ...layerFixtures(image),
    ...layerFixtures(large),
]);

async function registryOf(t: Test): Promise<RegistryDouble> {
    return new RegistryDouble().start(t);
}

function nameIn(registry: RegistryDouble): string {
    return `${registry.host}/some/image:v1`;
}

function requireThere(t: Test, registry: RegistryDouble, { bytes, blobs }: WholeImage): void {
    t.same(registry.repositories.manifest('some/image', 'v1')?.bytes, bytes);
    for (const [digest, blob] of blobs) {
        t.ok(registry.repositories.blob('some/image', digest)?.equals(blob), digest);
    }
}

/** Files of images that a server has open. */
function openFiles({ pid, baseDir }: ServerProcess): readonly string[] {
    const directory = `/proc/${pid}/fd`;
    return readdirSync(directory)
        .map((fd) => {
            try {
                return readlinkSync(`${directory}/${fd}`);
            } catch {
                // Closed by now.
                return '';
            }
        })
        .filter((path) => path.startsWith(`${baseDir}/images/`));
}

await t.test('what the registry refuses for good is refused at once', async (t) => {
    const rows: readonly (readonly [RegistryCallKind, RegistryRefusal, string, string])[] = [
        ['start-upload', { status: 401, message: 'who are you' }, 'UnauthorizedError', 'who are you'],
        ['put-upload', { status: 403, message: 'not you' }, 'InternalError', 'not you'],
        ['put-manifest', { status: 413, code: 'TOOBIG', message: 'too big' }, 'InternalError', 'too big'],
    ];
    for (const [kind, refuse, code, message] of rows) {
        const registry = await registryOf(t);
        registry.inject({ refuse }, { kind });
        const lines = await push(client, image, nameIn(registry));
        t.same(lines.at(-1), errorLine(code, message));
        t.equal(registry.repositories.manifest('some/image', 'v1'), undefined);
        t.ok(registry.requests({ kind }).length <= 2, 'not tried again');
    }
});

await t.test('what goes wrong once is done again', async (t) => {
    const faults: readonly (readonly [string, RegistryFault, 'put-upload' | 'put-manifest' | 'head-blob'])[] =
        [
            ['a connection that breaks in mid-upload', { cutUploadAt: 100_000 }, 'put-upload'],
            ['no answer, though all is there', { cutAnswer: 'made' }, 'put-upload'],
            ['no answer, and nothing there', { cutAnswer: 'not-made' }, 'put-upload'],
            ['a bad moment', { refuse: { status: 500 } }, 'head-blob'],
            ['too many requests', { refuse: { status: 429, headers: { 'retry-after': '0' } } }, 'put-upload'],
            ['a manifest whose answer is lost', { cutAnswer: 'made' }, 'put-manifest'],
        ];
    // Side by side, as there is a pause in each.
    const pushed = faults.map(async ([name, fault, kind]) => {
        const registry = await registryOf(t);
        registry.inject(fault, { kind, times: 1 });
        const lines = await push(client, image, nameIn(registry));
        t.same(lines.slice(-2), closingLines(image, 'v1'), name);
        requireThere(t, registry, image);
    });
    await Promise.all(pushed);
});

await t.test('what goes wrong again and again is given up', async (t) => {
    const faults: readonly (readonly [RegistryFault, string, RegExp])[] = [
        [{ cutUploadAt: 100_000 }, 'RemoteSourceError', /PUT http/],
        [{ refuse: { status: 503, message: 'closed' } }, 'InternalError', /^closed$/],
    ];
    await Promise.all(
        faults.map(async ([fault, code, message]) => {
            const registry = await registryOf(t);
            const digest = image.layers[1]?.digest ?? '';
            registry.inject(fault, { kind: 'put-upload' });
            registry.repositories.putBlob('some/image', layerBytes(image, 0));
            const lines = await push(client, image, nameIn(registry));
            t.match(lines.at(-1), { type: 'error', error: { code, message } });
            t.same(statuses(lines, shortId(image, 0)), ['Preparing', 'Layer already exists']);
            t.same(statuses(lines, shortId(image, 1)), ['Preparing', 'Image push failed']);
            t.equal(registry.requests({ kind: 'put-upload' }).length, 3);
            t.equal(registry.repositories.blob('some/image', digest), undefined);
        }),
    );
    await eventually('nothing to be open', 5000, () => openFiles(server).length === 0);
});

await t.test('a client that hangs up', async (t) => {
    const registry = await registryOf(t);
    const hold = registry.hold({ kind: 'put-upload' });
    const { request } = beginPush(client, large, nameIn(registry));
    request.on('error', () => undefined);
    await hold.arrived();
    t.equal(openFiles(server).length, 1);
    request.destroy();
    await eventually('nothing to be open', 5000, () => openFiles(server).length === 0);
    hold.resume();
    await registry.waitFor({ kind: 'put-upload' }, { done: true });
    t.equal(registry.repositories.blob('some/image', large.layers[0]?.digest ?? ''), undefined);
    t.same(registry.requests({ kind: 'put-manifest' }), []);
});

/** Puts an image of one layer into Manta, as a server does it. */
async function putIntoManta(t: Test): Promise<void> {
    const [layer] = layerFixtures(distant);
    const uuid = distant.uuids[0] ?? '';
    const manifest: Document = {
        v: 2,
        uuid,
        owner: layer?.owner,
        name: 'docker-layer',
        version: layer?.version,
        type: 'docker',
        os: 'linux',
        published_at: layer?.published_at,
    };
    const bytes = layerBytes(distant, 0);
    t.equal((await client.post(`/images/${uuid}?action=import`, manifest)).status, 200);
    t.equal((await client.put(`/images/${uuid}/file?compression=gzip&storage=manta`, bytes)).status, 200);
    t.equal((await client.post(`/images/${uuid}?action=activate`)).status, 200);
}

await t.test('a layer in Manta', async (t) => {
    await putIntoManta(t);
    const { double } = manta;
    const registry = await registryOf(t);
    double.inject({ cutAfter: 700_000 }, { kind: 'get', times: 1 });
    const broken = await push(client, distant, nameIn(registry));
    t.same(broken.at(-1), errorLine('StorageIsDown', 'storage is down at the moment'));
    t.equal(registry.repositories.blob('some/image', distant.layers[0]?.digest ?? ''), undefined);
    double.inject({ corrupt: 'bytes' }, { kind: 'get', times: 1 });
    const other = await push(client, distant, nameIn(registry));
    t.match(other.at(-1), { type: 'error' }, 'other bytes than those of the layer');
    t.equal(registry.repositories.blob('some/image', distant.layers[0]?.digest ?? ''), undefined);
    const whole = await push(client, distant, nameIn(registry));
    t.same(whole.slice(-2), closingLines(distant, 'v1'));
    requireThere(t, registry, distant);
});

await t.test('a server that stops waits a while, and says so', async (t) => {
    const registry = await registryOf(t);
    const hold = registry.hold({ kind: 'put-upload' });
    const baseDir = temporaryDirectory();
    t.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    writeFixtures(baseDir, layerFixtures(image));
    const stopping = await ServerProcess.start({
        baseDir,
        config: { authType: 'none', drainDelaySec: 1, shutdownTimeoutSec: 2 },
    });
    const { answer } = beginPush(new HttpClient(stopping.port), image, nameIn(registry));
    await hold.arrived(2);
    const by = new HttpClient(stopping.port);
    t.teardown(() => by.close());
    const ended = stopping.stop();
    await eventually('the drain', 5000, async () => (await by.get('/ping')).status === 503);
    const { answer: late } = beginPush(by, image, nameIn(registry));
    t.match(await late, {
        status: 503,
        json: { code: 'ServiceUnavailableError', message: 'server is shutting down' },
    });
    t.same(linesOf(await answer).at(-1), errorLine('ServiceUnavailableError', 'server is shutting down'));
    hold.drop();
    t.equal((await ended).code, 0);
});
