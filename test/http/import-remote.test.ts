// AdminImportRemoteImage and the job it starts (jobs-and-imports 3.4, 3.6, 9.6-9.8), from a double of another
// image server and between two servers of ours.
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { Gate } from '../doubles/gate.js';
import type { Answer } from '../helpers/http-client.js';
import { createImage, NOBODY, PNG, publishImage, sha1Hex, UNKNOWN, USERS } from '../helpers/images.js';
import {
    expectImage,
    Importer,
    offerChain,
    someBytes,
    startSource,
    type Job,
} from '../helpers/import-place.js';
import { expectError, type ExpectedError, uuidExists } from '../helpers/rows.js';
import { eventually, LIMIT_MS } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

const source = await startSource(t);
const importer = await new Importer(t).start();
const { client } = importer;

function expectRefusal(t: Test, answer: Answer, expected: ExpectedError): void {
    expectError(t, answer, expected, expected.message);
}

function resultsOf({ chain_results }: Job): unknown[] {
    return chain_results.map(({ name, result, error }) => (error === '' ? result : [name, error]));
}

await t.test('an image with two origins, of which a disabled one is new', async (t) => {
    const [base, middle, top] = offerChain(source, [someBytes(), someBytes(), someBytes(2_000_000)]);
    source.add({ ...middle!.manifest, uuid: middle!.uuid, state: 'disabled', disabled: true }, middle!.files);
    const first = await importer.ended(await importer.begin(base!.uuid, source.address));
    t.same(resultsOf(first), [
        'No origins (skipping import of origins)',
        `Image ${base!.uuid} created`,
        `Image ${base!.uuid} file added`,
        `Image ${base!.uuid} activated`,
    ]);
    const answer = await importer.import(top!.uuid, source.address.replace('//', '//joe:secret@'));
    t.same(Object.keys(answer.document), ['image_uuid', 'job_uuid']);
    t.equal(answer.document['image_uuid'], top!.uuid);
    t.equal(answer.header('workflow-api'), importer.server.url);
    const job = await importer.ended(String(answer.document['job_uuid']));
    t.match(job, {
        name: 'import-remote-image-8.0.0',
        version: '8.0.0',
        engine: 'embedded',
        execution: 'succeeded',
        task: 'import-remote-image',
        image_uuid: top!.uuid,
        target: `/import-remote-${top!.uuid}`,
        timeout: 7270,
        params: {
            origins: [middle!.uuid],
            image_uuid: top!.uuid,
            source: source.address,
            skip_owner_check: false,
            import_id: job.uuid,
        },
        created_images: [middle!.uuid, top!.uuid],
        onerror_results: [],
        progress: {
            images_done: 2,
            images_total: 2,
            bytes_done: 2_200_000,
            bytes_total: 2_200_000,
            attempt: 1,
            resumed_from: 0,
            error: null,
        },
    });
    t.notMatch(JSON.stringify(job), /secret/);
    t.same(resultsOf(job).slice(0, 1), ['Image origins have been imported']);
    for (const image of [base, middle, top]) {
        await expectImage(t, importer, image!, image === middle ? 'disabled' : 'active');
    }
    const { document } = await client.get(`/images/${top!.uuid}?inclProvenance=true`);
    t.match(document, {
        owner: NOBODY,
        published_at: '2020-02-03T04:05:06.789Z',
        provenance: { kind: 'import', source_image: top!.uuid, source_url: source.address },
    });
    t.same(importer.leftovers(), []);
    t.equal(source.requests.at(-1)?.headers['x-request-id'] !== undefined, true);
});

await t.test('the same is asked for twice: one job', async (t) => {
    const gate = new Gate();
    const bytes = someBytes();
    const [image] = offerChain(source, [{ bytes, gate: { at: 1000, gate } }]);
    const job = await importer.begin(image!.uuid, source.address);
    await gate.arrived();
    t.equal(await importer.begin(image!.uuid, source.address), job, 'though its record is there already');
    const other = await startSource(t);
    other.add(image!.manifest as { uuid: string }, [bytes]);
    expectRefusal(t, await importer.import(image!.uuid, other.address), uuidExists(image!.uuid));
    gate.resume();
    t.equal((await importer.ended(job)).execution, 'succeeded');
    expectRefusal(t, await importer.import(image!.uuid, source.address), uuidExists(image!.uuid));
    await expectImage(t, importer, image!);
});

await t.test('two images that share a missing origin', async (t) => {
    const gate = new Gate();
    const [base, one] = offerChain(source, [{ bytes: someBytes(), gate: { at: 1000, gate } }, someBytes()]);
    const other = { uuid: randomUUID(), ...source.add({ public: false, uuid: randomUUID() }, [someBytes()]) };
    const two = {
        ...source.add({ public: false, uuid: other.uuid, origin: base!.uuid }, other.files),
        uuid: other.uuid,
    };
    const jobs = [await importer.begin(one!.uuid, source.address)];
    await gate.arrived();
    jobs.push(await importer.begin(two.uuid, source.address));
    gate.resume();
    for (const uuid of jobs) {
        t.equal((await importer.ended(uuid)).execution, 'succeeded');
    }
    for (const image of [base!, one!, two]) await expectImage(t, importer, image);
    t.equal(source.fileRequests(base!.uuid).length, 1, 'the origin came once');
    const second = await importer.job(jobs[1]!);
    t.same(second.created_images, [two.uuid]);
    t.match(second.progress, { images_total: 1, images_done: 1, bytes_total: 200_000 });
    t.same(importer.leftovers(), []);
});

await t.test('the one who makes the origin for both fails: the other makes it', async (t) => {
    const gate = new Gate();
    const [base, one] = offerChain(source, [
        { bytes: someBytes(), gate: { at: 1000, gate } },
        { bytes: someBytes(), refuse: { status: 404 } },
    ]);
    const uuid = randomUUID();
    const two = { ...source.add({ public: false, uuid, origin: base!.uuid }, [someBytes()]), uuid };
    const first = await importer.begin(one!.uuid, source.address);
    await gate.arrived();
    const second = await importer.begin(two.uuid, source.address);
    gate.resume();
    const failed = await importer.ended(first);
    t.equal(failed.execution, 'failed');
    t.same(
        failed.onerror_results.map(({ result }) => result),
        [`Image ${one!.uuid} deleted`, 'Origin images have been deleted', ''],
    );
    t.equal((await importer.ended(second)).execution, 'succeeded');
    await expectImage(t, importer, base!);
    await expectImage(t, importer, two);
    t.equal((await client.get(`/images/${one!.uuid}`)).status, 404);
    t.same(importer.leftovers(), []);
});

await t.test('an origin that others use meanwhile stays when the import fails', async (t) => {
    const gate = new Gate();
    const [base, top] = offerChain(source, [
        someBytes(),
        { bytes: someBytes(), gate: { at: 1000, gate }, sends: someBytes() },
    ]);
    const job = await importer.begin(top!.uuid, source.address);
    await gate.arrived();
    const dependent = await createImage(client, { origin: base!.uuid });
    gate.resume();
    const { onerror_results: results, execution } = await importer.ended(job);
    t.equal(execution, 'failed');
    t.match(results[1], { name: 'origin_delete_images', error: '' });
    await expectImage(t, importer, base!);
    t.equal((await client.get(`/images/${dependent}`)).status, 200);
    t.equal((await client.get(`/images/${top!.uuid}`)).status, 404);
});

await t.test('the bytes are not those of the manifest', async (t) => {
    const [image] = offerChain(source, [{ bytes: someBytes(), sends: someBytes() }]);
    const job = await importer.ended(await importer.begin(image!.uuid, source.address));
    t.equal(job.execution, 'failed');
    t.match(job.chain_results.at(-1), {
        name: 'add_image_file',
        error: {
            name: 'DownloadError',
            code: 'Download',
            restCode: 'Download',
            statusCode: 400,
            message: /^"sha1" file field, [0-9a-f]{40}, does not match the downloaded file sha1 hash, /,
        },
    });
    t.match(job.onerror_results, [
        { name: 'delete_image', result: `Image ${image!.uuid} deleted`, error: '' },
        { name: 'origin_delete_images', result: 'No origin images to delete', error: '' },
        { name: 'On error', result: '', error: { message: 'Error executing job' } },
    ]);
    t.equal(source.fileRequests(image!.uuid).length, 2, 'once more from zero');
    t.match(job.progress, { attempt: 2, error: { code: 'Download' } });
    t.equal((await client.get(`/images/${image!.uuid}`)).status, 404);
    t.equal(importer.stored(image!.uuid), undefined);
    t.same(importer.leftovers(), []);
});

await t.test('a source that breaks off, stalls, refuses for a moment, and knows no ranges', async (t) => {
    const bytes = someBytes(3_000_000);
    const faults = [
        { cut: { at: 2_000_000, times: 1 } },
        { stall: { at: 2_000_000, times: 1 } },
        { refuse: { status: 503, times: 2 } },
        { cut: { at: 2_000_000, times: 1 }, ranges: 'ignored' as const },
        { cut: { at: 2_000_000, times: 1 }, etag: 'none' as const },
        { cut: { at: 2_000_000, times: 1 }, length: 'none' as const },
    ];
    const images = faults.map((fault) => offerChain(source, [{ bytes, ...fault }])[0]!);
    const jobs = await Promise.all(images.map(({ uuid }) => importer.begin(uuid, source.address)));
    for (const uuid of jobs) t.equal((await importer.ended(uuid)).execution, 'succeeded');
    for (const image of images) await expectImage(t, importer, image);
    const ranges = images.map(({ uuid }) =>
        source
            .fileRequests(uuid)
            .slice(0, -1)
            .map(({ range }) => range),
    );
    t.same(
        ranges,
        [
            [undefined, 'bytes=2000000-'],
            [undefined, 'bytes=2000000-'],
            [undefined, undefined, undefined],
            [undefined, 'bytes=2000000-', undefined],
            [undefined, undefined],
            [undefined, 'bytes=2000000-'],
        ].map((all) => all.slice(0, -1)),
    );
});

await t.test('an image of several files', async (t) => {
    const uuid = randomUUID();
    const files = [someBytes(), someBytes(500_000)];
    const cut = { at: 300_000, times: 1 };
    source.add({ public: false, uuid, type: 'lxd' }, [files[0]!, { bytes: files[1]!, cut }]);
    const job = await importer.ended(await importer.begin(uuid, source.address));
    t.equal(job.execution, 'succeeded', JSON.stringify(job.chain_results));
    for (const [index, bytes] of files.entries()) {
        t.ok(importer.stored(uuid, `file${index}`)?.equals(bytes), `file${index}`);
    }
    t.match(job.progress, { resumed_from: 500_000, attempt: 1 });
    t.match(job.progress, { bytes_done: 700_000, bytes_total: 700_000, images_done: 1 });
});

await t.test('channels of the source, and an owner that is told', async (t) => {
    const channeled = await startSource(t, { channels: ['release', 'dev'], prefix: '/a/b' });
    const bytes = someBytes();
    const uuid = randomUUID();
    channeled.add({ public: false, uuid, channels: ['dev'], icon: true, owner: USERS.luke }, [bytes]);
    const address = `${channeled.address}?channel=dev`;
    const id = await importer.begin(uuid, address);
    const job = await importer.ended(id);
    t.equal(job.execution, 'succeeded', JSON.stringify(job.chain_results));
    t.ok(channeled.requests.every(({ query }) => query.get('channel') === 'dev'));
    t.match((await client.get(`/images/${uuid}`)).document, { state: 'active', owner: NOBODY });
    const channels = ['stable', 'next'].map((name, index) => ({
        name,
        description: name,
        default: index === 0,
    }));
    const ours = await new Importer(t, { channels }).start();
    const next = await ours.begin(uuid, address, '&channel=next');
    t.match(await ours.ended(next), { execution: 'succeeded', params: { channel: 'next' } });
    t.equal((await ours.client.get(`/images/${uuid}?channel=next`)).status, 200);
    t.equal((await ours.client.get(`/images/${uuid}`)).status, 404, 'in no other channel');
});

await t.test('a job is canceled in each of its steps', async (t) => {
    const cancel = async (job: string): Promise<Job> => {
        const answer = await client.post(`/jobs/${job}/cancel`);
        t.equal(answer.status, 200, answer.text);
        return importer.ended(job);
    };
    const gone = async (uuids: readonly string[]): Promise<void> => {
        for (const uuid of uuids) t.equal((await client.get(`/images/${uuid}`)).status, 404, uuid);
        t.same(importer.leftovers(), []);
    };
    // While the file of the origin comes.
    const gates = [new Gate(), new Gate()];
    const held = (gate: Gate | undefined) => ({ bytes: someBytes(), gate: { at: 1000, gate: gate! } });
    const [base, top] = offerChain(source, [held(gates[0]), held(gates[1])]);
    const inOrigin = await importer.begin(top!.uuid, source.address);
    await gates[0]!.arrived();
    const first = await cancel(inOrigin);
    t.match(first, { execution: 'canceled', created_images: [base!.uuid] });
    t.same(
        first.oncancel_results.map(({ result }) => result),
        [`Image ${top!.uuid} was not created by this job`, 'Origin images have been deleted'],
    );
    await gone([base!.uuid, top!.uuid]);
    gates[0]!.resume();
    // While the file of the image comes.
    const inFile = await importer.begin(top!.uuid, source.address);
    await gates[1]!.arrived();
    t.equal((await client.get(`/images/${base!.uuid}`)).document['state'], 'active');
    t.equal((await cancel(inFile)).execution, 'canceled');
    await gone([base!.uuid, top!.uuid]);
    gates[1]!.resume();
    // While the source is asked for the manifest.
    const [silent] = offerChain(source, [someBytes()]);
    source.before = ({ path }) => {
        const asked = source.requests.filter((one) => one.path === path).length;
        if (path === `/images/${silent!.uuid}` && asked > 1) silent!.onManifest.hang = {};
    };
    const inManifest = await importer.begin(silent!.uuid, source.address);
    await eventually('a silent source', 5000, () => silent!.onManifest.hang !== undefined);
    t.equal((await cancel(inManifest)).execution, 'canceled');
    await gone([silent!.uuid]);
    source.before = () => undefined;
    t.match((await importer.job(inManifest)).chain_results.at(-1), { name: 'import_image' });
    expectRefusal(t, await client.post(`/jobs/${inManifest}/cancel`), {
        status: 409,
        code: 'ConflictError',
        message: 'Finished jobs cannot be canceled',
    });
});

await t.test('what others have made meanwhile is not touched', async (t) => {
    const gate = new Gate();
    const [image] = offerChain(source, [{ bytes: someBytes(), gate: { at: 1000, gate } }]);
    const job = await importer.begin(image!.uuid, source.address);
    await gate.arrived();
    t.equal((await client.delete(`/images/${image!.uuid}`)).status, 204);
    const again = await client.post(`/images/${image!.uuid}?action=import`, {
        ...image!.manifest,
        files: undefined,
        state: undefined,
    });
    t.equal(again.status, 200, again.text);
    const own = someBytes();
    const put = await client.put(`/images/${image!.uuid}/file?compression=none`, own);
    t.equal(put.status, 200, put.text);
    gate.resume();
    const ended = await importer.ended(job);
    t.equal(ended.execution, 'failed');
    t.equal(ended.onerror_results[0]?.result, `Image ${image!.uuid} was not created by this job`);
    const { document } = await client.get(`/images/${image!.uuid}`);
    t.match(document, { state: 'unactivated', files: [{ compression: 'none', sha1: sha1Hex(own) }] });
    t.ok(importer.stored(image!.uuid)?.equals(own), 'with the bytes that were sent for it');
});

await t.test('simultaneous direct imports of two images that share an origin, beside a job', async (t) => {
    const gate = new Gate();
    const [base, one] = offerChain(source, [{ bytes: someBytes(), gate: { at: 1000, gate } }, someBytes()]);
    const [two, three] = [randomUUID(), randomUUID()].map((uuid) => ({
        ...source.add({ public: false, uuid, origin: base!.uuid }, [someBytes()]),
        uuid,
    }));
    const call = async (method: string, path: string): Promise<number> =>
        (await client.request(method, `/images/${path}source=${encodeURIComponent(source.address)}`)).status;
    const direct = async (uuid: string): Promise<number> => {
        const made = await call('POST', `${uuid}?action=import&`);
        if (made !== 200) return made;
        t.equal(await call('PUT', `${uuid}/file?`), 200);
        return call('POST', `${uuid}?action=activate&`);
    };
    // The job finds the record of the others when it is about to make its own.
    let others: Promise<number[]> | undefined;
    source.before = ({ path }) => {
        const asked = source.requests.filter((request) => request.path === path);
        if (path === `/images/${base!.uuid}` && asked.length === 2) {
            base!.onManifest.delayMs = 500;
            setImmediate(() => {
                base!.onManifest.delayMs = 0;
                others = Promise.all([direct(base!.uuid), direct(base!.uuid)]);
            });
        }
    };
    const job = await importer.begin(three!.uuid, source.address);
    await gate.arrived();
    t.equal((await client.get(`/images/${base!.uuid}`)).document['state'], 'unactivated');
    gate.resume();
    t.same((await others)?.sort(), [200, 409]);
    t.same(await Promise.all([direct(one!.uuid), direct(two!.uuid)]), [200, 200]);
    const ended = await importer.ended(job);
    t.equal(ended.execution, 'succeeded', JSON.stringify(ended.chain_results));
    for (const image of [base!, one!, two!, three!]) await expectImage(t, importer, image);
    source.before = () => undefined;
    t.same(importer.leftovers(), []);
});

await t.test('between two servers of ours', async (t) => {
    const origin = await new Importer(t).start();
    const bytes = someBytes(1_000_000);
    const base = await publishImage(origin.client, {}, bytes);
    const png = { headers: { 'content-type': 'image/png' } };
    const icon = await origin.client.put(`/images/${base}/icon`, PNG, png);
    t.equal(icon.status, 200, icon.text);
    const top = await publishImage(origin.client, { origin: base, tags: { role: 'db' } }, bytes);
    const job = await importer.ended(await importer.begin(top, origin.server.url));
    t.equal(job.execution, 'succeeded', JSON.stringify(job.chain_results));
    for (const uuid of [base, top]) {
        const there = (await origin.client.get(`/images/${uuid}`)).document;
        const { document: here } = await client.get(`/images/${uuid}`);
        t.same({ ...here, icon: there['icon'] }, { ...there, owner: NOBODY, icon: there['icon'] });
    }
    expectRefusal(t, await importer.import(UNKNOWN, origin.server.url), {
        status: 503,
        code: 'RemoteSourceError',
        message: `Unable to get manifest for image ${UNKNOWN}. Error from remote: image ${UNKNOWN} not found`,
    });
});
