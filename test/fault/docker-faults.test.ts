// Pulls from registries that misbehave or go away, and on disks that fail, with a server as it is started: what
// comes once is survived, what does not end is told in the last line, and nothing half-made stays
// (jobs-and-imports 5.3, 9.7, 9.9). DOCKER_FAULTS=all fails at every step, and waits for what is silent or often tried.
import t from 'tap';
import { ObjectStoreDouble } from '../doubles/registry/object-store.js';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import { TokenServer } from '../doubles/registry/token-server.js';
import type { RegistryFault } from '../doubles/registry/faults.js';
import type { LayerSpec, MadeImage } from '../helpers/docker-images.js';
import { beginPull, encoded, endOfPull, layerUuids, pull } from '../helpers/docker-pulls.js';
import { DockerRegistry, noDockerRegistry } from '../helpers/docker-registry.js';
import { Importer } from '../helpers/import-place.js';
import { InjectedFault, noInjection, type FaultyCall } from '../helpers/injected-faults.js';
import { expectChain, expectOnly } from '../helpers/pulled-images.js';
import { RegistryClient } from '../helpers/registry-client.js';
import { eventually, LIMIT_MS } from '../helpers/server-process.js';
import { TcpRelay } from '../helpers/tcp-relay.js';

const ALL = process.env['DOCKER_FAULTS'] === 'all';

t.setTimeout(LIMIT_MS + (ALL ? 900_000 : 0));

function specs(name: string, count: number, size = 100_000): readonly LayerSpec[] {
    return Array.from({ length: count }, (_none, at) => ({ seed: `${name} ${at}`, size }));
}

/** Puts a fault into the blob of one layer. */
function harm(
    registry: RegistryDouble,
    { layers }: MadeImage,
    at: number,
    fault: RegistryFault,
    times = Infinity,
): void {
    const digest = layers[at]?.digest ?? '';
    registry.inject(fault, { kind: 'get-blob', path: (path) => path.endsWith(digest), times });
}

void t.test('what goes wrong once', async (t) => {
    const tokens = await new TokenServer({ users: { luke: 'secret' } }).start();
    t.teardown(() => tokens.stop());
    const registry = await new RegistryDouble({ auth: { tokens } }).start(t);
    const store = await new ObjectStoreDouble().start(t);
    const importer = await new Importer(t).start();
    const image = await registry.putImage('once', 'v1', { layers: specs('once', 6, 300_000) });
    const gone = { status: 503, headers: { 'retry-after': '1' } };
    registry.inject(
        { refuse: { status: 429, headers: { 'retry-after': '1' } } },
        { kind: 'get-manifest', times: 1 },
    );
    harm(registry, image, 0, { refuse: gone }, 1);
    harm(registry, image, 1, { cutAt: 200_000 }, 1);
    harm(registry, image, 2, { corruptAt: 250_000 }, 1);
    harm(registry, image, 3, { length: 1000 }, 1);
    harm(registry, image, 4, { cutAnswer: 'made' }, 1);
    harm(registry, image, 5, { contentLength: 300_900 }, 1);
    if (ALL) harm(registry, image, 0, { stallAt: 150_000 }, 2);
    const auth = { 'x-registry-auth': encoded({ username: 'luke', password: 'secret' }) };
    const { failure } = await pull(importer.client, `${registry.host}/once`, 'v1', auth);
    t.same(failure, undefined);
    await expectChain(t, importer, image.layers);
    await expectOnly(t, importer, layerUuids(image.layers));
    const cut = registry.downloads(image.layers[1]!.digest);
    t.same(
        cut.map(({ headers, bytesOut }) => [headers.range, bytesOut]),
        [
            [undefined, 200_000],
            ['bytes=200000-', image.layers[1]!.size - 200_000],
        ],
        'it goes on where it was',
    );

    registry.objectStore = { store, status: 307 };
    const far = await registry.putImage('far', 'v1', { layers: specs('far', 2) });
    const hold = registry.hold({ kind: 'get-blob' });
    const reader = await beginPull(importer.client, `${registry.host}/far`, 'v1', auth);
    await registry.waitFor({ kind: 'get-blob', path: /^\/v2\/far\// });
    registry.expireTokens();
    hold.resume();
    t.same((await endOfPull(reader)).failure, undefined);
    await expectChain(t, importer, far.layers);
    t.ok(store.requests({ kind: 'object' }).length >= 3, 'the config, and each layer');
    for (const { headers } of store.requests()) t.notHas(headers, 'authorization');
    const sent = registry
        .requests()
        .filter(({ headers }) => String(headers.authorization).startsWith('Basic'));
    t.same(sent, [], 'the password is for the token server alone');
});

/** A way a layer is wrong for good, and how the pull ends. */
interface Hopeless {
    readonly fault: RegistryFault;
    readonly failure: { readonly code: string; readonly message: string | RegExp };
    /** It takes longer than others. */
    readonly isSlow?: boolean;
}

const HOPELESS: Readonly<Record<string, Hopeless>> = {
    'another byte': {
        fault: { corruptAt: 99 },
        failure: {
            code: 'Download',
            message: /^layer digest does not match, got sha256:\w{64}, expected sha256:/,
        },
    },
    'fewer bytes': {
        fault: { length: 5000 },
        failure: { code: 'Download', message: /^layer digest does not match, got sha256:/ },
    },
    'a redirect to itself': {
        fault: { redirect: { status: 302, to: '?again' } },
        failure: { code: 'InternalError', message: /redirect/i },
    },
    'a refusal': {
        fault: { refuse: { status: 403, code: 'DENIED', message: 'not for you' } },
        failure: { code: 'InternalError', message: 'not for you' },
    },
    'cut again and again': {
        fault: { cutAt: 5000 },
        failure: {
            code: 'Download',
            message: /^Download error: "Content-Length" header, \d+, does not match downloaded size, 5000$/,
        },
        isSlow: true,
    },
    'out of order': {
        fault: { refuse: { status: 503 } },
        failure: { code: 'InternalError', message: 'service unavailable' },
        isSlow: true,
    },
};

void t.test('what does not get better', async (t) => {
    const registry = await new RegistryDouble().start(t);
    const importer = await new Importer(t).start();
    const rows = Object.entries(HOPELESS).filter(([, { isSlow }]) => ALL || isSlow !== true);
    const finished: string[] = [];
    await Promise.all(
        rows.map(async ([name, { fault, failure }], at) => {
            const repository = `row${at}`;
            const image = await registry.putImage(repository, 'v1', { layers: specs(name, 3) });
            harm(registry, image, 1, fault);
            finished.push(...layerUuids(image.layers).filter((_uuid, layer) => layer !== 1));
            const { lines, failure: told } = await pull(
                importer.client,
                `${registry.host}/${repository}`,
                'v1',
            );
            t.match(told, failure, name);
            t.equal(lines.filter(({ type }) => type === 'error').length, 1, name);
        }),
    );
    await expectOnly(t, importer, [], await stagedOf(importer, finished));
});

/** Of layers that may have been fetched when another one failed, those that were. */
async function stagedOf(importer: Importer, uuids: readonly string[]): Promise<readonly string[]> {
    const paths = new Set(importer.leftovers());
    return uuids.filter((uuid) => paths.has(`staging/docker/${uuid}.json`));
}

void t.test('a registry that goes away and comes back', { skip: noDockerRegistry }, async (t) => {
    const registry = await DockerRegistry.start(t);
    const { layers } = await new RegistryClient(registry.url).putImage('away', 'v1', {
        layers: specs('away', 2, 3_000_000),
    });
    const relay = await TcpRelay.start(registry.port);
    t.teardown(() => relay.stop());
    const importer = await new Importer(t).start();
    relay.hold(1_500_000);
    const pulled = pull(importer.client, `127.0.0.1:${relay.port}/away`, 'v1');
    await eventually('half of a layer', 10_000, () => relay.passed >= 1_500_000);
    await registry.stop();
    relay.cut();
    relay.release();
    await registry.start();
    t.same((await pulled).failure, undefined);
    await expectChain(t, importer, layers);
    await expectOnly(t, importer, layerUuids(layers));
    const parts = registry.accesses.filter(({ status }) => status === 206);
    t.ok(parts.length >= 1, 'it goes on where it was');
});

const steps: readonly (readonly [call: FaultyCall, nth: number])[] = ALL
    ? (['rename', 'sync', 'open', 'mkdir'] as const).flatMap((call) =>
          Array.from({ length: 40 }, (_none, index) => [call, index + 1] as const),
      )
    : [
          ['rename', 4],
          ['rename', 8],
          ['sync', 9],
      ];

void t.test('a disk that fails at one step', { skip: noInjection() }, async (t) => {
    const registry = await new RegistryDouble().start(t);
    const importer = await new Importer(t).start({ environment: { UV_THREADPOOL_SIZE: '1' } });
    const all: string[] = [];
    let failed = 0;
    for (const [call, nth] of steps) {
        const name = `disk-${call}-${nth}`;
        const { layers } = await registry.putImage(name, 'v1', { layers: specs(name, 2, 20_000) });
        const uuids = layerUuids(layers);
        const repo = `${registry.host}/${name}`;
        const fault = await InjectedFault.into(importer.server.pid, { call, with: 'ENOSPC', nth });
        const { image, failure } = await pull(importer.client, repo, 'v1');
        await fault.end();
        if (image === undefined) {
            failed += 1;
            t.match(failure, { code: /^(StorageIsDown|InternalError)$/, message: /\w/ }, name);
            const { records } = await importer.images();
            const made = uuids.filter((uuid) => records.includes(uuid));
            t.same(made, uuids.slice(0, made.length), 'the base first');
            await expectOnly(t, importer, [...all, ...made], await stagedOf(importer, uuids));
            t.same((await pull(importer.client, repo, 'v1')).failure, undefined, name);
        }
        await expectChain(t, importer, layers);
        all.push(...uuids);
    }
    t.ok(failed >= 2, `${failed} of ${steps.length} pulls failed`);
    await expectOnly(t, importer, all);
});
