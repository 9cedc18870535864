// Imports through a real workflow service, API and runner (jobs-and-imports 2, 3.6, 9.5), beside the same
// imports through the embedded engine.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Gate } from '../doubles/gate.js';
import { CHANNELS } from '../helpers/image-bench.js';
import type { Document } from '../helpers/http-client.js';
import {
    expectImage,
    Importer,
    offerChain,
    someBytes,
    startSource,
    type Job,
} from '../helpers/import-place.js';
import { call, connect } from '../helpers/library-client.js';
import { expectError, uuidExists } from '../helpers/rows.js';
import { eventually, LIMIT_MS } from '../helpers/server-process.js';
import { TcpRelay } from '../helpers/tcp-relay.js';
import { startWorkflowService, WORKFLOW_NAMES } from '../helpers/workflow-engines.js';

t.setTimeout(LIMIT_MS);

const DOWN = { status: 503, code: 'ServiceUnavailableError', message: 'Workflow API is down.' };
const BAD_EXECUTION = {
    status: 409,
    code: 'ConflictError',
    message: 'Execution must be one of queued, failed, succeeded, canceled or running',
};

const service = await startWorkflowService(t);
const source = await startSource(t);
const config = { authType: 'none', channels: CHANNELS };
const wfapi = { url: service.url, workflows: WORKFLOW_NAMES, forceMd5Check: true };
const importer = new Importer(t, { ...config, wfapi });
const embedded = new Importer(t, config);
await Promise.all([importer.start(), embedded.start()]);
// The tasks find the server also when it has been started again.
const relay = await TcpRelay.start(importer.server.port);
t.teardown(() => relay.stop());
service.aim({ imgapiUrl: relay.url });
await importer.server.waitForLog(({ msg }) => msg === 'workflows are registered');

const { client } = importer;

function resultsOf({ chain_results }: Job): unknown[] {
    return chain_results.map(({ name, result, error }) => (error === '' ? result : [name, error]));
}

function record({ baseDir }: Importer, uuid: string): Document {
    return JSON.parse(readFileSync(join(baseDir, 'manifests', `${uuid}.raw`), 'utf8')) as Document;
}

/** A record or a document without what says when it was made. */
function timeless(document: Document): unknown {
    return JSON.parse(
        JSON.stringify(document, (key, value: unknown) => (['mtime', 'at'].includes(key) ? 'then' : value)),
    );
}

/** Whether both servers have the same of an image. */
async function expectSame(t: Test, uuid: string, channel: string): Promise<void> {
    const query = `?channel=${channel}&inclProvenance=true&inclAdminFields=true`;
    const [ours, theirs] = await Promise.all(
        [importer, embedded].map(async (one) => {
            const { document } = await one.client.get(`/images/${uuid}${query}`);
            return { document: timeless(document), record: timeless(record(one, uuid)) };
        }),
    );
    t.same(ours, theirs);
    t.ok(importer.stored(uuid)?.equals(embedded.stored(uuid) ?? Buffer.alloc(0)));
}

await t.test('an image with origins, the same as through the embedded engine', async (t) => {
    const chain = offerChain(source, [someBytes(), someBytes(), someBytes(2_000_000)], {
        tags: { a: 'b' },
        icon: true,
        acl: [randomUUID()],
    });
    const top = chain[2]!;
    for (const [index, name] of ['dev', 'release'].entries()) {
        const image = index === 0 ? chain[1]! : top;
        const query = `&channel=${name}&skip_owner_check=true`;
        const jobs = await Promise.all(
            [importer, embedded].map(async (one) =>
                one.ended(await one.begin(image.uuid, source.address, query)),
            ),
        );
        t.same(resultsOf(jobs[0]!), resultsOf(jobs[1]!));
        t.same(jobs[0]!.created_images, jobs[1]!.created_images);
        t.match(jobs[0], {
            execution: 'succeeded',
            name: 'import-remote-image-8.0.0',
            image_uuid: image.uuid,
        });
    }
    for (const [index, { uuid }] of chain.entries()) {
        await expectSame(t, uuid, index === 2 ? 'release' : 'dev');
    }
    t.same(importer.leftovers(), []);
});

await t.test('an image with several files', async (t) => {
    const uuid = randomUUID();
    const files = [someBytes(), someBytes()];
    source.add({ public: false, uuid, type: 'lxd', os: 'linux' }, files);
    for (const one of [importer, embedded]) {
        t.equal((await one.ended(await one.begin(uuid, source.address))).execution, 'succeeded');
        t.ok(one.stored(uuid, 'file1')?.equals(files[1]!));
    }
    await expectSame(t, uuid, 'dev');
});

await t.test('what clients are told', async (t) => {
    const [image] = offerChain(source, [someBytes()]);
    const from = source.address.replace('//', '//joe:secret@');
    service.requests.length = 0;
    const query = `action=import-remote&source=${encodeURIComponent(from)}`;
    const headers = { 'x-request-id': 'my-own' };
    const answer = await client.post(`/images/${image!.uuid}?${query}`, undefined, { headers });
    t.same(Object.keys(answer.document), ['image_uuid', 'job_uuid']);
    t.equal(answer.header('workflow-api'), service.url);
    const uuid = String(answer.document['job_uuid']);
    const posted = service.requests.find(({ method }) => method === 'POST');
    t.equal(posted?.headers['x-request-id'], 'my-own');
    t.match(JSON.parse(posted?.body ?? ''), {
        req_id: 'my-own',
        source: from,
        import_id: /-/,
        channel: 'dev',
    });
    t.notMatch((await client.get(`/jobs/${uuid}`)).text, /secret/);
    t.equal((await importer.ended(uuid)).execution, 'succeeded');
    const direct = await service.get<Job>(`/jobs/${uuid}`);
    t.equal(direct.execution, 'succeeded', 'the header names who knows the job');
    t.same((await client.get(`/jobs/${uuid}/info`)).document, []);
    await expectImage(t, importer, image!);
});

await t.test('an import that fails leaves nothing', async (t) => {
    const [base, top] = offerChain(source, [someBytes(), { bytes: someBytes(), sends: someBytes() }]);
    const job = await importer.ended(await importer.begin(top!.uuid, source.address));
    t.match(job, {
        execution: 'failed',
        chain_results: [
            { result: 'Image origins have been imported', error: '' },
            { result: `Image ${top!.uuid} created`, error: '' },
            {
                name: 'add_image_file',
                error: {
                    name: 'DownloadError',
                    message: /^"sha1" file field, [0-9a-f]{40}, does not match/,
                    restCode: 'Download',
                    statusCode: 400,
                },
            },
        ],
        onerror_results: [
            { name: 'delete_image', result: `Image ${top!.uuid} deleted`, error: '' },
            { name: 'origin_delete_images', result: 'Origin images have been deleted', error: '' },
            { name: 'On error', error: 'Error executing job' },
        ],
    });
    for (const { uuid } of [base!, top!]) t.equal((await client.get(`/images/${uuid}`)).status, 404);
    const { document } = await client.get(`/jobs/${job.uuid}/progress`);
    t.match(document, { execution: 'failed', step: null, error: { code: 'Download' } });
    t.same(importer.leftovers(), []);
});

await t.test('the same is asked for twice, and past the server', async (t) => {
    const gate = new Gate();
    const bytes = someBytes();
    const [image] = offerChain(source, [{ bytes, gate: { at: 1000, gate } }]);
    const { uuid } = image!;
    const first = await importer.begin(uuid, source.address);
    await gate.arrived();
    t.equal(await importer.begin(uuid, source.address), first);
    const other = await startSource(t);
    other.add(image!.manifest as { uuid: string }, [bytes]);
    const refused = await importer.import(uuid, other.address);
    expectError(t, refused, uuidExists(uuid), 'from somewhere else');

    const { params, target, workflow_uuid: workflow } = await service.get<Document>(`/jobs/${first}`);
    const answer = await fetch(`${service.url}/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
            ...(params as Document),
            import_id: randomUUID(),
            req_id: 'b',
            target,
            workflow,
        }),
    });
    const second = await importer.ended(((await answer.json()) as Job).uuid);
    t.equal(second.execution, 'failed');
    t.match(second.chain_results.at(-1), {
        name: 'import_image',
        error: { restCode: 'ImageUuidAlreadyExists' },
    });
    t.match(second.onerror_results[0], { result: `Image ${uuid} was not created by this job` });
    gate.resume();
    t.equal((await importer.ended(first)).execution, 'succeeded');
    await expectImage(t, importer, image!);
});

await t.test('two images that share a missing origin; progress; lists', async (t) => {
    const gate = new Gate();
    const [base, one] = offerChain(source, [{ bytes: someBytes(), gate: { at: 1000, gate } }, someBytes()]);
    const uuid = randomUUID();
    const two = { ...source.add({ public: false, uuid, origin: base!.uuid }, [someBytes()]), uuid };
    const first = await importer.begin(one!.uuid, source.address);
    await gate.arrived();
    const second = await importer.begin(two.uuid, source.address);
    const moving = await eventually('bytes', 10_000, async () => {
        const { document } = await client.get(`/jobs/${first}/progress`);
        return Number(document['bytes_done']) > 0 && document;
    });
    t.match(moving, {
        job_uuid: first,
        image_uuid: one!.uuid,
        execution: 'running',
        step: 'origin_import_images',
        current_image: base!.uuid,
        images_done: 0,
        images_total: 2,
        bytes_total: 400_000,
        image_bytes_total: 200_000,
    });
    t.equal((await client.get(`/images/${one!.uuid}/progress`)).document['job_uuid'], first);
    t.equal((await client.get(`/images/${base!.uuid}/progress`)).document['job_uuid'], second, 'the newest');
    gate.resume();
    for (const job of [first, second]) t.equal((await importer.ended(job)).execution, 'succeeded');
    for (const image of [base!, one!, two]) await expectImage(t, importer, image);
    t.same((await importer.job(second)).created_images, [two.uuid]);
    t.equal(source.fileRequests(base!.uuid).length, 1, 'the origin came once');
    t.match((await client.get(`/jobs/${first}/progress`)).document, {
        images_done: 2,
        bytes_done: 400_000,
        bytes_total: 400_000,
    });

    const uuids = async (path: string): Promise<unknown> => {
        const { document } = await client.get(path);
        return (document as unknown as readonly Job[]).map((job) => job.uuid);
    };
    t.same(await uuids(`/images/${uuid}/jobs`), [second]);
    t.same(await uuids(`/images/${uuid}/jobs?execution=failed`), []);
    t.same(await uuids(`/images/${uuid}/jobs?task=create-from-vm`), []);
    t.same(await uuids(`/jobs?image_uuid=${uuid}&execution=succeeded`), [second]);
    t.same(await uuids('/jobs?limit=2'), [second, first]);
    t.same(await uuids('/jobs?limit=1&offset=1'), [first]);
    t.same(await uuids('/jobs?engine=embedded'), [], 'none of them is in files of this server');
    for (const path of [`/images/${uuid}/jobs?execution=odd`, '/jobs?execution=odd']) {
        expectError(t, await client.get(path), BAD_EXECUTION, path);
    }
});

await t.test('a cancel ends the transfer and removes what was made', async (t) => {
    const gate = new Gate();
    const [base, top] = offerChain(source, [someBytes(), { bytes: someBytes(), gate: { at: 1000, gate } }]);
    const uuid = await importer.begin(top!.uuid, source.address);
    await gate.arrived();
    t.equal((await client.get(`/images/${base!.uuid}`)).document['state'], 'active');
    const answer = await client.post(`/jobs/${uuid}/cancel`);
    t.match(answer, { status: 200, document: { uuid, execution: 'canceled' } });
    const job = await eventually('the clean-up', 20_000, async () => {
        const current = await importer.job(uuid);
        return current.oncancel_results?.length === 2 && current;
    });
    t.same(
        job.oncancel_results.map(({ result }) => result),
        [`Image ${top!.uuid} deleted`, 'Origin images have been deleted'],
    );
    gate.resume();
    for (const image of [base!, top!]) t.equal((await client.get(`/images/${image.uuid}`)).status, 404);
    await eventually('the end of the transfer', 10_000, () => importer.leftovers().length === 0);
    t.equal((await importer.job(uuid)).execution, 'canceled');
});

await t.test('the client library waits for jobs where the header points', async (t) => {
    const library = connect(t, importer.server, undefined);
    const [good] = offerChain(source, [someBytes()]);
    const done = await call(library, 'adminImportRemoteImageAndWait', good!.uuid, source.address, {});
    t.match(done, { uuid: good!.uuid, state: 'active' });
});

await t.test('a workflow service that is away, and comes back', async (t) => {
    const [image] = offerChain(source, [someBytes()]);
    const known = await importer.begin(image!.uuid, source.address);
    await importer.ended(known);
    await service.stop();
    const [next] = offerChain(source, [someBytes()]);
    for (const path of [`/jobs/${known}`, '/jobs', `/images/${image!.uuid}/jobs`]) {
        expectError(t, await client.get(path), DOWN, path);
    }
    expectError(t, await importer.import(next!.uuid, source.address), DOWN, 'an import');
    t.equal((await client.get(`/images/${image!.uuid}`)).status, 200, 'everything else goes on');
    t.same((await client.get('/jobs?engine=embedded')).status, 200);
    await service.start();
    await eventually('the service', 30_000, async () => (await client.get('/jobs?limit=1')).status === 200);
    await eventually('a job', 30_000, async () => {
        return (await importer.import(next!.uuid, source.address)).status === 200;
    });
});

await t.test('a server that is killed while it transfers is cleaned up when it is back', async (t) => {
    const gate = new Gate();
    const [base, top] = offerChain(source, [someBytes(), { bytes: someBytes(), gate: { at: 1000, gate } }]);
    const job = await importer.begin(top!.uuid, source.address);
    await gate.arrived();
    await importer.kill();
    await eventually('the clean-up', 10_000, async () => {
        const { chain_results: results } = await service.get<Job>(`/jobs/${job}`);
        return results.length === 3 && results[2]!.error !== '';
    });
    await importer.start();
    gate.resume();
    relay.target = importer.server.port;
    const ended = await eventually('the end of the job', 30_000, async () => {
        const current = await service.get<Job>(`/jobs/${job}`);
        return current.execution === 'failed' && current;
    });
    t.same(
        ended.onerror_results.map(({ result, error }) => result || error),
        [`Image ${top!.uuid} deleted`, 'Origin images have been deleted', 'Error executing job'],
    );
    for (const { uuid } of [base!, top!]) {
        t.equal((await importer.client.get(`/images/${uuid}`)).status, 404);
    }
    t.match(importer.leftovers(), [/^images\/.*\/file0\./], 'what the kill cut off is swept when it is old');
});
