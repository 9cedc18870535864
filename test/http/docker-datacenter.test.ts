// Docker images in a datacenter: records in Moray, files in Manta, several servers that make them at the same
// time (jobs-and-imports 5.3, 5.6), and a registry that speaks TLS.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import { ADMIN, startDatacenter, type Datacenter } from '../helpers/datacenter.js';
import { sha256Digest, type LayerSpec, type MadeImage } from '../helpers/docker-images.js';
import {
    beginPull,
    endOfPull,
    layerStatuses,
    layerUuids,
    pull,
    untilLayer,
} from '../helpers/docker-pulls.js';
import { DockerRegistry, noDockerRegistry } from '../helpers/docker-registry.js';
import { HttpClient } from '../helpers/http-client.js';
import { startManta } from '../helpers/manta-place.js';
import { startMorayPlace } from '../helpers/moray-place.js';
import { RegistryClient } from '../helpers/registry-client.js';
import { selfSigned } from '../helpers/self-signed.js';
import { startServer } from '../helpers/start-server.js';

const manta = await startManta(t);
const AREA = `${manta.root}/imgapi/testdc/images`;
const dc = await startDatacenter(t, {
    images: [],
    processes: 2,
    moray: await startMorayPlace(t),
    config: { storageTypes: ['local', 'manta'], manta: manta.config },
});
const clients = dc.servers.map(({ port }) => new HttpClient(port));
t.teardown(() => clients.forEach((client) => client.close()));
const registry = await new RegistryDouble().start(t);

function specs(name: string, count: number): readonly LayerSpec[] {
    return Array.from({ length: count }, (_none, at) => ({ seed: `${name} ${at}`, size: 200_000 }));
}

/** What of Docker's layers waits in a datacenter. */
function staged({ baseDir }: Datacenter): readonly string[] {
    const directory = join(baseDir, 'staging', 'docker');
    return existsSync(directory) ? readdirSync(directory) : [];
}

/** Each layer is an image of the operator, with its bytes in Manta and nowhere else. */
async function expectInManta(t: Test, { layers }: MadeImage): Promise<void> {
    const uuids = layerUuids(layers);
    for (const [at, uuid] of uuids.entries()) {
        const path = `/images/${uuid}`;
        const { document } = await dc.client.get(`${path}?inclAdminFields=true`);
        t.match(document, { owner: ADMIN, public: true, state: 'active', origin: uuids[at - 1] });
        t.match(document['files'], [{ stor: 'manta', size: layers[at]?.size }]);
        t.equal(sha256Digest((await dc.client.get(`${path}/file`)).body), layers[at]?.digest);
        const mine = manta.double.objects(AREA).filter((name) => name.includes(uuid));
        t.same(mine, [`${AREA}/${uuid.slice(0, 3)}/${uuid}/file0`]);
    }
}

void t.test('two servers pull the same image at the same time', async (t) => {
    const image = await registry.putImage('both', 'v1', { layers: specs('both', 4) });
    const last = image.layers.at(-1)!;
    const hold = registry.hold({ kind: 'get-blob', path: (path) => path.endsWith(last.digest) });
    const readers = await Promise.all(
        clients.map((client) => beginPull(client, `${registry.host}/both`, 'v1')),
    );
    await hold.arrived(2);
    hold.resume();
    for (const { image: told, failure } of await Promise.all(readers.map(endOfPull))) {
        t.same(failure, undefined);
        t.equal(told?.['image_uuid'], layerUuids(image.layers).at(-1));
    }
    await expectInManta(t, image);
    t.same(staged(dc), []);
    t.same((await dc.client.get('/images?state=all')).uuids.sort(), layerUuids(image.layers).toSorted());
});

void t.test('a file that another server has used up is fetched again', async (t) => {
    const [shared, own] = [specs('used', 1), specs('own', 1)];
    const image = await registry.putImage('used', 'v1', { layers: [...shared, ...own] });
    await registry.putImage('base', 'v1', { layers: shared });
    const [base, top] = image.layers;
    const hold = registry.hold({ kind: 'get-blob', path: (path) => path.endsWith(top!.digest) });
    const reader = await beginPull(clients[0]!, `${registry.host}/used`, 'v1');
    await untilLayer(reader, base!, 'Download complete');
    const other = await pull(clients[1]!, `${registry.host}/base`, 'v1');
    t.same(layerStatuses(other.lines, base!)[0], 'Download complete (cached)');
    const [uuid] = layerUuids(image.layers);
    t.equal((await dc.client.delete(`/images/${uuid}`)).status, 204);
    hold.resume();
    t.same((await endOfPull(reader)).failure, undefined);
    t.equal(registry.downloads(base!.digest).length, 2);
    await expectInManta(t, image);
    t.same(staged(dc), []);
});

void t.test('out of Manta into another repository', async (t) => {
    const image = await registry.putImage('first', 'v1', { layers: specs('first', 2), format: 'docker' });
    const told = (await pull(dc.client, `${registry.host}/first`, 'v1')).image;
    registry.mounts = false;
    const { text } = await dc.client.post(
        `/images/${String(told?.['image_uuid'])}/push?repoAndTag=${registry.host}/second:v2`,
        told,
    );
    t.match(text, /"status":"v2: digest: /);
    t.same(registry.repositories.manifest('second', 'v2')?.bytes, image.bytes);
    for (const { digest } of image.layers) t.ok(registry.repositories.blob('second', digest));
});

void t.test('a Manta that fails, and works again', async (t) => {
    const image = await registry.putImage('outage', 'v1', { layers: specs('outage', 2) });
    const uuids = layerUuids(image.layers);
    const end = manta.double.inject({ refuse: 503 }, { kind: 'put', path: new RegExp(`${uuids[1]}/file0`) });
    const { failure } = await pull(dc.client, `${registry.host}/outage`, 'v1');
    t.match(failure, { code: 'StorageIsDown' });
    t.equal((await dc.client.get(`/images/${uuids[0]}`)).document['state'], 'active', 'the base is an image');
    t.equal((await dc.client.get(`/images/${uuids[1]}`)).status, 404, 'the other layer has no record');
    t.same(staged(dc).toSorted(), [`${uuids[1]}.data`, `${uuids[1]}.json`], 'but waits');
    end();
    registry.clearRequests();
    t.same((await pull(dc.client, `${registry.host}/outage`, 'v1')).failure, undefined);
    t.same(registry.downloads(image.layers[1]!.digest), [], 'and is not fetched again');
    await expectInManta(t, image);
    t.same(staged(dc), []);
});

void t.test('a registry whose certificate nobody knows', { skip: noDockerRegistry }, async (t) => {
    const secure = await DockerRegistry.start(t, { tls: selfSigned('127.0.0.1') });
    const made = await new RegistryClient(secure.url).putImage('tls', 'v1', { layers: [{ seed: 'tls' }] });
    const repo = `https://${secure.host}/tls`;
    const { failure } = await pull(dc.client, repo, 'v1');
    t.match(failure, { message: /self-signed certificate/ });
    const { client } = await startServer(t, { dockerRegistryInsecure: true });
    const told = (await pull(client, repo, 'v1')).image;
    t.equal(told?.['manifest_digest'], made.digest);
    const path = `/images/${String(told?.['image_uuid'])}/push?repoAndTag=${encodeURIComponent(`${repo}:v2`)}`;
    t.match((await client.post(path, told)).text, /"status":"v2: digest: /);
    t.same((await new RegistryClient(secure.url).manifest('tls', 'v2')).body, made.bytes);
});
