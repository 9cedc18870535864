// Imports by jobs when something fails: the source dies in mid-transfer and comes back, the disk is full, the
// part files are on another disk, the bytes go to Manta and Manta goes away (jobs-and-imports 9.7, 9.8).
import { mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Gate } from '../doubles/gate.js';
import { publishImage } from '../helpers/images.js';
import {
    expectImage,
    Importer,
    offerChain,
    QUICK_JOBS,
    someBytes,
    startSource,
} from '../helpers/import-place.js';
import { InjectedFault, noInjection, noMounting, SmallDisk } from '../helpers/injected-faults.js';
import { startManta } from '../helpers/manta-place.js';
import { eventually, LIMIT_MS } from '../helpers/server-process.js';
import { TcpRelay } from '../helpers/tcp-relay.js';

t.setTimeout(LIMIT_MS);

const MIB = 1_048_576;
const DOWN = { code: 'StorageIsDown', message: 'storage is down at the moment' };

async function expectGone(t: Test, importer: Importer, uuid: string): Promise<void> {
    t.equal((await importer.client.get(`/images/${uuid}`)).status, 404);
    t.equal(importer.stored(uuid), undefined);
    t.same(importer.leftovers(), []);
}

await t.test('the source is killed in mid-transfer, and started again', async (t) => {
    const origin = await new Importer(t).start();
    const bytes = someBytes(8 * MIB);
    const uuid = await publishImage(origin.client, {}, bytes);
    const relay = await TcpRelay.start(origin.server.port);
    t.teardown(() => relay.stop());
    relay.hold(5 * MIB);
    const importer = await new Importer(t).start();
    const job = await importer.begin(uuid, relay.url);
    await eventually('more than half of the bytes', 10_000, () => relay.passed >= 5 * MIB);
    await origin.kill();
    relay.cut();
    await origin.start();
    relay.target = origin.server.port;
    relay.release();
    const ended = await importer.ended(job);
    t.equal(ended.execution, 'succeeded', JSON.stringify(ended.chain_results));
    const audited = origin.server.log.find(({ audit, req }) => {
        const { url = '' } = (req ?? {}) as { readonly url?: string };
        return audit === true && url.endsWith('/file');
    });
    const { headers } = (audited?.['req'] ?? {}) as { readonly headers?: Record<string, string> };
    const offset = Number(/^bytes=(\d+)-$/.exec(headers?.['range'] ?? '')?.[1]);
    t.ok(offset >= MIB && offset <= 5 * MIB, `goes on from byte ${offset}`);
    t.match(audited, { res: { statusCode: 206 } });
    t.match(ended.progress, { resumed_from: offset, attempt: 1, bytes_done: bytes.length });
    t.ok(importer.stored(uuid)?.equals(bytes));
    t.same(importer.leftovers(), []);
});

await t.test('a source that does not come back', async (t) => {
    const source = await startSource(t);
    const importer = await new Importer(t, { jobs: { ...QUICK_JOBS, retries: 2 } }).start();
    const gate = new Gate();
    const [image] = offerChain(source, [{ bytes: someBytes(2 * MIB), gate: { at: MIB, gate } }]);
    const job = await importer.begin(image!.uuid, source.address);
    await gate.arrived();
    await source.stop();
    gate.resume();
    const ended = await importer.ended(job);
    t.match(ended.chain_results.at(-1), {
        name: 'add_image_file',
        error: { code: 'RemoteSourceError', message: /ECONNREFUSED/ },
    });
    await expectGone(t, importer, image!.uuid);
});

await t.test('the disk takes no more bytes', { skip: noInjection() }, async (t) => {
    const source = await startSource(t);
    const importer = await new Importer(t).start({ environment: { UV_THREADPOOL_SIZE: '1' } });
    for (const call of ['write', 'sync'] as const) {
        const gate = new Gate();
        const [image] = offerChain(source, [{ bytes: someBytes(4 * MIB), gate: { at: 3 * MIB, gate } }]);
        const job = await importer.begin(image!.uuid, source.address);
        const path = join(importer.baseDir, 'staging', job, `${image!.uuid}.file0.part`);
        await gate.arrived();
        await eventually('a part file', 5000, () => statSync(path, { throwIfNoEntry: false }) !== undefined);
        const fault = await InjectedFault.into(importer.server.pid, { call, with: 'ENOSPC', path });
        gate.resume();
        const ended = await importer.ended(job);
        t.not((await fault.end()).length, 0, `${call} failed`);
        t.match(ended.chain_results.at(-1), { name: 'add_image_file', error: DOWN });
        await expectGone(t, importer, image!.uuid);
        t.equal((await importer.client.get('/ping')).status, 200);
    }
});

await t.test('part files on a small disk of their own', { skip: noMounting() }, async (t) => {
    const source = await startSource(t);
    const importer = new Importer(t);
    const disk = new SmallDisk(join(importer.baseDir, 'staging'), 3 * 1024);
    t.teardown(() => disk.unmount());
    await importer.start();
    const warned = importer.server.log.filter(({ msg }) => msg.startsWith('imports are copied'));
    t.equal(warned.length, 1);
    const [small, large] = [MIB, 4 * MIB].map((size) => offerChain(source, [someBytes(size)])[0]!);
    const failed = await importer.ended(await importer.begin(large!.uuid, source.address));
    t.match(failed.chain_results.at(-1), { name: 'add_image_file', error: DOWN });
    await expectGone(t, importer, large!.uuid);
    const done = await importer.ended(await importer.begin(small!.uuid, source.address));
    t.equal(done.execution, 'succeeded', 'it has room again');
    await expectImage(t, importer, small!);
    t.same(importer.leftovers(), []);
});

await t.test('part files elsewhere, images on a disk that is full', { skip: noMounting() }, async (t) => {
    const source = await startSource(t);
    const importer = new Importer(t);
    const disk = new SmallDisk(join(importer.baseDir, 'images'), 2 * 1024);
    t.teardown(() => disk.unmount());
    await importer.start();
    const [image] = offerChain(source, [someBytes(4 * MIB)]);
    const failed = await importer.ended(await importer.begin(image!.uuid, source.address));
    t.match(failed.chain_results.at(-1), { name: 'add_image_file', error: DOWN });
    await expectGone(t, importer, image!.uuid);
});

await t.test('a directory for part files that is a link', async (t) => {
    const source = await startSource(t);
    const importer = new Importer(t);
    mkdirSync(join(importer.baseDir, 'elsewhere'));
    symlinkSync('elsewhere', join(importer.baseDir, 'staging'));
    await importer.start();
    const [image] = offerChain(source, [someBytes()]);
    t.equal((await importer.ended(await importer.begin(image!.uuid, source.address))).execution, 'succeeded');
    await expectImage(t, importer, image!);
});

await t.test('into Manta', async (t) => {
    const manta = await startManta(t);
    const { double, root } = manta;
    const source = await startSource(t);
    for (const stageForManta of [true, false]) {
        const importer = await new Importer(t, {
            storageTypes: ['local', 'manta'],
            manta: { ...manta.config, baseDir: `imgapi-${stageForManta}` },
            jobs: { backoffMinMs: 20, backoffMaxMs: 50, stageForManta },
        }).start();
        const area = `${root}/imgapi-${stageForManta}`;
        const cut = { at: MIB, times: 1 };
        const images = offerChain(source, [someBytes(), { bytes: someBytes(2 * MIB), cut }]);
        const job = await importer.ended(await importer.begin(images[1]!.uuid, source.address));
        t.equal(job.execution, 'succeeded', JSON.stringify(job.chain_results));
        t.equal(source.fileRequests(images[1]!.uuid).at(-1)?.range, `bytes=${MIB}-`);
        for (const image of images) {
            await expectImage(t, importer, image);
            const { document } = await importer.client.get(`/images/${image.uuid}?inclAdminFields=true`);
            t.match(document, { files: [{ stor: 'manta' }] });
        }
        t.equal(double.objects(`${area}/images`).length, 2, 'nothing but the files');
        // Manta goes away while the bytes are on their way to it.
        const gate = new Gate();
        const [lost] = offerChain(source, [{ bytes: someBytes(2 * MIB), gate: { at: MIB, gate } }]);
        const next = await importer.begin(lost!.uuid, source.address);
        await gate.arrived();
        const mend = double.inject({ refuse: 503 }, { method: 'PUT' });
        gate.resume();
        const failed = await importer.ended(next);
        t.match(failed.chain_results.at(-1), { name: 'add_image_file', error: DOWN });
        mend();
        t.equal((await importer.client.get(`/images/${lost!.uuid}`)).status, 404);
        const wrong = offerChain(source, [{ bytes: someBytes(), sends: someBytes() }])[0]!;
        const mismatch = await importer.ended(await importer.begin(wrong.uuid, source.address));
        t.match(mismatch.chain_results.at(-1), { error: { code: 'Download' } });
        await eventually(
            'nothing of it in Manta',
            20_000,
            () => double.objects(`${area}/images`).length === 2,
        );
        t.same(
            importer.leftovers().filter((path) => !path.startsWith('run/deletes/')),
            [],
        );
    }
});
