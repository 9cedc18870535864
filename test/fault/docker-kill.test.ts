// The server killed with SIGKILL while it pulls an image, and started again: what was finished of it is not
// fetched again, and nothing half-made stays (jobs-and-imports 5.3, 9.9). KILL_POINTS=all kills at every
// rename and every unlink of a pull.
import t, { type Test } from 'tap';
import { Gate } from '../doubles/gate.js';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import type { LayerSpec, MadeImage, MadeLayer } from '../helpers/docker-images.js';
import {
    beginPull,
    endOfPull,
    layerStatuses,
    layerUuids,
    pull,
    untilLayer,
} from '../helpers/docker-pulls.js';
import { Importer } from '../helpers/import-place.js';
import { InjectedFault, noInjection } from '../helpers/injected-faults.js';
import { startManta } from '../helpers/manta-place.js';
import { expectChain, expectOnly } from '../helpers/pulled-images.js';
import { eventually, LIMIT_MS } from '../helpers/server-process.js';

const ALL_POINTS = process.env['KILL_POINTS'] === 'all';
/** Calls that a pull of two layers makes, about. */
const CALLS = { rename: 40, unlink: 20 } as const;

t.setTimeout(LIMIT_MS + (ALL_POINTS ? 900_000 : 0));

const registry = await new RegistryDouble().start(t);

function specs(name: string, count: number): readonly LayerSpec[] {
    return Array.from({ length: count }, (_none, at) => ({
        seed: `${name} ${at}`,
        size: 100_000,
        packing: at % 2 === 0 ? ('gzip' as const) : ('none' as const),
    }));
}

/** Bytes of a layer that have been sent so far. */
function sentOf({ digest }: MadeLayer): number {
    return registry.downloads(digest).reduce((sum, { bytesOut }) => sum + bytesOut, 0);
}

function expectFetchedOnce(t: Test, layers: readonly MadeLayer[]): void {
    t.same(
        layers.map((layer) => sentOf(layer)),
        layers.map(({ size }) => size),
        'each layer was fetched once',
    );
}

/** Holds the blobs of layers back. */
function holdBack(layers: readonly MadeLayer[]): () => void {
    const digests = new Set(layers.map(({ digest }) => digest));
    const hold = registry.hold({
        kind: 'get-blob',
        path: (path) => digests.has(path.slice(path.lastIndexOf('/') + 1)),
    });
    return () => {
        hold.drop();
        registry.clearFaults();
    };
}

await t.test('killed each time a layer is complete', async (t) => {
    const importer = await new Importer(t).start();
    const { layers } = await registry.putImage('each', 'v1', { layers: specs('each', 3) });
    const repo = `${registry.host}/each`;
    for (const [at, layer] of layers.entries()) {
        const drop = holdBack(layers.slice(at + 1));
        const reader = await beginPull(importer.client, repo, 'v1');
        await untilLayer(reader, layer, 'Download complete');
        await importer.kill();
        drop();
        for (const finished of layers.slice(0, at)) {
            t.ok(layerStatuses(reader.lines, finished).includes('Download complete (cached)'));
        }
        await importer.start();
    }
    const { lines, image } = await pull(importer.client, repo, 'v1');
    t.equal(image?.['image_uuid'], layerUuids(layers).at(-1));
    t.match(lines.at(-1), { payload: { status: /^Status: Downloaded newer image/ } });
    expectFetchedOnce(t, layers);
    await expectChain(t, importer, layers);
    await expectOnly(t, importer, layerUuids(layers));
});

await t.test('killed in the middle of layers', async (t) => {
    const importer = await new Importer(t).start();
    const { layers } = await registry.putImage('middle', 'v1', { layers: specs('middle', 3) });
    const repo = `${registry.host}/middle`;
    const [first, ...others] = layers;
    for (const { digest } of others) {
        registry.inject({ stallAt: 70_000 }, { path: (path) => path.endsWith(digest) });
    }
    const reader = await beginPull(importer.client, repo, 'v1');
    await untilLayer(reader, first!, 'Download complete');
    await eventually('bytes', 10_000, () => others.every((layer) => sentOf(layer) === 70_000));
    await importer.kill();
    registry.clearFaults();
    await importer.start();
    // What a process that is gone has left of them goes with the sweep at the start.
    await expectOnly(t, importer, [], layerUuids(layers).slice(0, 1));
    t.match((await pull(importer.client, repo, 'v1')).image, { image_uuid: layerUuids(layers).at(-1) });
    t.equal(sentOf(first!), first!.size);
    await expectOnly(t, importer, layerUuids(layers));
});

await t.test('killed while a layer goes into Manta', async (t) => {
    const manta = await startManta(t);
    const config = { storageTypes: ['local', 'manta'], manta: manta.config };
    const importer = await new Importer(t, config).start();
    const { layers } = await registry.putImage('manta', 'v1', { layers: specs('manta', 2) });
    const repo = `${registry.host}/manta`;
    const top = layerUuids(layers).at(-1) ?? '';
    const hold = manta.double.hold({ kind: 'put', path: new RegExp(`/${top}/file0`) }, 'after');
    const reader = await beginPull(importer.client, repo, 'v1');
    await hold.arrived();
    reader.close();
    await importer.kill();
    hold.drop();
    manta.double.clearFaults();
    await importer.start();
    t.same((await pull(importer.client, repo, 'v1')).failure, undefined);
    expectFetchedOnce(t, layers);
    await expectChain(t, importer, layers);
    const area = `${manta.root}/imgapi/images`;
    const isTidy = (): boolean =>
        manta.double.objects(area).length === layers.length && importer.leftovers().length === 0;
    await eventually('what was left to go', 15_000, isTidy).catch(() => {
        t.same([manta.double.objects(area), importer.leftovers()], [], 'what is left');
    });
});

/** Kills the server at one call of a pull, and pulls again. @returns whether the pull got that far */
async function killAt(
    t: Test,
    importer: Importer,
    call: keyof typeof CALLS,
    nth: number,
    image: MadeImage,
    repo: string,
): Promise<boolean> {
    const fault = await InjectedFault.into(importer.server.pid, { call, with: 'kill', nth });
    const first = await pull(importer.client, repo, 'v1').catch(() => undefined);
    if (first?.failure !== undefined) throw new Error(first.failure.message);
    if (first?.image !== undefined) {
        await fault.end();
        return false;
    }
    t.equal((await importer.server.exited).signal, 'SIGKILL');
    await fault.end();
    importer.client.close();
    await importer.start({ environment: { UV_THREADPOOL_SIZE: '1' } });
    const { image: told, failure } = await pull(importer.client, repo, 'v1');
    t.same(failure, undefined);
    t.equal(told?.['image_uuid'], layerUuids(image.layers).at(-1), `${call} ${nth}`);
    await expectChain(t, importer, image.layers);
    return true;
}

const points = ALL_POINTS
    ? (['rename', 'unlink'] as const).flatMap((call) =>
          Array.from({ length: CALLS[call] }, (_none, index) => ({ call, nth: index + 1 })),
      )
    : ([
          { call: 'rename', nth: 9 },
          { call: 'unlink', nth: 2 },
      ] as const);

await t.test('killed at exact steps', { skip: noInjection() }, async (t) => {
    const importer = await new Importer(t).start({ environment: { UV_THREADPOOL_SIZE: '1' } });
    const all: string[] = [];
    let killed = 0;
    for (const { call, nth } of points) {
        const name = `step-${call}-${nth}`;
        const image = await registry.putImage(name, 'v1', { layers: specs(name, 2) });
        all.push(...layerUuids(image.layers));
        const isKilled = await killAt(t, importer, call, nth, image, `${registry.host}/${name}`);
        if (isKilled) killed += 1;
        for (const layer of image.layers) t.ok(sentOf(layer) <= 2 * layer.size);
    }
    t.ok(killed >= 2);
    t.comment(`killed at ${killed} of ${points.length} steps`);
    await expectOnly(t, importer, all, 'aging');
});

await t.test('pulls at the same time that share layers', async (t) => {
    const importer = await new Importer(t).start();
    const shared = specs('shared', 3);
    const own = (name: string): readonly LayerSpec[] => [...shared, ...specs(name, 2)];
    const images = await Promise.all(
        ['one', 'two'].map((name) => registry.putImage(`parallel/${name}`, 'v1', { layers: own(name) })),
    );
    const common = images[0]!.layers.slice(0, shared.length);
    const gate = new Gate();
    for (const { digest } of common) {
        registry.inject({ gate: { at: 1000, gate } }, { path: (path) => path.endsWith(digest) });
    }
    const readers = await Promise.all(
        ['one', 'two'].map((name) => beginPull(importer.client, `${registry.host}/parallel/${name}`, 'v1')),
    );
    // Their own layers come last: then both wait for the others.
    for (const [at, reader] of readers.entries()) {
        await untilLayer(reader, images[at]!.layers.at(-1)!, 'Download complete');
    }
    t.equal(gate.waiting, common.length);
    gate.resume();
    const pulled = await Promise.all(readers.map((reader) => endOfPull(reader)));
    for (const [at, { image, lines }] of pulled.entries()) {
        t.equal(image?.['image_uuid'], layerUuids(images[at]!.layers).at(-1));
        for (const layer of common) t.ok(layerStatuses(lines, layer).includes('Download complete'));
    }
    expectFetchedOnce(t, [...images[0]!.layers, ...images[1]!.layers.slice(3)]);
    await expectOnly(t, importer, [...new Set(images.flatMap(({ layers }) => layerUuids(layers)))]);
});
