// CreateImageFromVm on a datacenter's server with the embedded engine (jobs-and-imports 1).
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Gate } from '../doubles/gate.js';
import { startDatacenter } from '../helpers/datacenter.js';
import {
    createFromVm,
    endOfJob,
    imageOf,
    jobOf,
    PROTO,
    PROTOS,
    startInstances,
    started,
    steps,
} from '../helpers/from-vm.js';
import type { Document } from '../helpers/http-client.js';
import { imageDirectory, sha1Hex, USERS } from '../helpers/images.js';
import { call, connect } from '../helpers/library-client.js';
import { startMorayPlace } from '../helpers/moray-place.js';
import { eventually, PROJECT_ROOT } from '../helpers/server-process.js';

const { luke } = USERS;
const instances = await startInstances(t);
const { vmapi, cnapi } = instances;
const dc = await startDatacenter(t, {
    images: PROTOS,
    moray: await startMorayPlace(t),
    config: instances.config,
});
const { client, server } = dc;
const vm = instances.add();

const manifest = { name: 'custom', version: '1.2.3', owner: luke };

await t.test('an image is made', async (t) => {
    const hold = new Gate();
    cnapi.plan = { file: Buffer.from('what is on the disk'), hold: { record: hold } };
    cnapi.requests.length = 0;
    vmapi.requests.length = 0;
    const body = {
        description: 'mine',
        tags: { a: 'b' },
        uuid: randomUUID(),
        channels: ['dev'],
        owner: undefined,
    };
    const query = `&account=${luke}&incremental=true&max_origin_depth=3`;
    const path = `/images?action=create-from-vm&vm_uuid=${vm.uuid}${query}`;
    const answer = await client.post(
        path,
        { ...manifest, ...body },
        { headers: { 'x-request-id': 'the-id' } },
    );
    t.equal(answer.header('workflow-api'), `http://127.0.0.1:${server.port}`);
    const { image_uuid: uuid, job_uuid: job } = answer.document;
    t.equal(uuid, body.uuid);
    t.equal(answer.text, JSON.stringify({ image_uuid: uuid, job_uuid: job }, null, 2));

    const placeholder = await client.get(`/images/${String(uuid)}`);
    t.equal(
        JSON.stringify(placeholder.json),
        JSON.stringify({
            v: 2,
            uuid,
            owner: luke,
            name: 'custom',
            version: '1.2.3',
            state: 'creating',
            disabled: false,
            public: false,
            files: [],
            description: 'mine',
            tags: { a: 'b' },
        }),
    );
    const task = await eventually('the task', 10_000, () => cnapi.tasks[0]);
    const script = readFileSync(join(PROJECT_ROOT, 'tools/prepare-image/smartos-prepare-image'), 'utf8');
    const sent = {
        name: 'custom',
        version: '1.2.3',
        owner: luke,
        description: 'mine',
        tags: { a: 'b' },
        uuid,
    };
    t.strictSame(
        { ...task.payload, manifest: undefined },
        {
            jobid: job,
            compression: 'gzip',
            imgapi_url: server.url,
            incremental: true,
            manifest: undefined,
            prepare_image_script: script,
            max_origin_depth: 3,
        },
    );
    t.strictSame(Object.keys(task.payload), [
        'jobid',
        'compression',
        'imgapi_url',
        'incremental',
        'manifest',
        'prepare_image_script',
        'max_origin_depth',
    ]);
    t.strictSame(task.payload.manifest, sent);
    t.equal(task.requestId, 'the-id');
    t.strictSame(
        vmapi.requests.map(({ target, headers }) => [target, headers['x-request-id']]),
        [
            [`/vms/${vm.uuid}?owner_uuid=${luke}`, 'the-id'],
            [`/vms/${vm.uuid}`, 'the-id'],
        ],
    );
    const running = await eventually('the last step', 5000, async () => {
        const now = await jobOf(client, String(job));
        return now['taskId'] === undefined ? undefined : now;
    });
    t.match(running, {
        execution: 'running',
        task: 'create-from-vm',
        name: 'create-from-vm-8.0.0',
        image_uuid: uuid,
        vm_uuid: vm.uuid,
        server_uuid: vm.server_uuid,
        taskId: task.id,
        target: `/create-from-vm-${vm.uuid}`,
    });
    t.equal((running['params'] as Document)['prepare_image_script'], `<${Buffer.byteLength(script)} bytes>`);
    hold.resume();

    const ended = await endOfJob(client, String(job));
    t.equal(ended['execution'], 'succeeded');
    t.strictSame(steps(ended), [
        ['vmapi.get_vm_server', 'Got VM server'],
        ['cnapi.queue_create_from_vm_task', 'Task queued to CNAPI'],
        ['cnapi.poll_task', 'Job succeeded!'],
    ]);
    const image = await imageOf(client, String(uuid));
    t.match(image, {
        state: 'active',
        type: 'zone-dataset',
        os: 'smartos',
        origin: PROTO.smartos,
        users: [{ name: 'admin' }],
        owner: luke,
        tags: { a: 'b' },
        files: [{ sha1: sha1Hex('what is on the disk'), size: 19, compression: 'gzip' }],
    });
    t.ok(image['published_at']);
    t.notMatch(await dc.record(String(uuid)), /expires_at/);
    const progress = await client.get(`/jobs/${String(job)}/progress`);
    t.match(progress.document, { execution: 'succeeded', images_done: 1, images_total: 1, image_uuid: uuid });
    t.strictSame(
        (await client.get(`/images/${String(uuid)}/jobs`)).list.map((one) => one['uuid']),
        [job],
    );
});

await t.test('a Linux zone tells its kernel', async (t) => {
    cnapi.plan = { file: Buffer.from('linux') };
    const lx = instances.add({ brand: 'lx', kernel_version: '4.3.0', image_uuid: PROTO.lx });
    const tagged = await started(createFromVm(client, lx, { tags: { kernel_version: '1', a: 1 } }));
    const bare = await started(createFromVm(client, lx));
    for (const { job } of [tagged, bare]) t.equal((await endOfJob(client, job))['execution'], 'succeeded');
    t.strictSame((await imageOf(client, tagged.image))['tags'], { kernel_version: '4.3.0', a: 1 });
    t.strictSame((await imageOf(client, bare.image))['tags'], { kernel_version: '4.3.0' });
    t.equal((await imageOf(client, bare.image))['origin'], undefined, 'not incremental');
    t.equal(cnapi.tasks.at(-1)?.payload.max_origin_depth, undefined);
});

const DID_NOT_RUN = { code: 'PrepareImageDidNotRun', message: 'prepare-image script did not run' };

await t.test('failures end in a failed image', async (t) => {
    const structured = { error: JSON.stringify(DID_NOT_RUN) };
    const rows: readonly (readonly [
        name: string,
        plan: typeof cnapi.plan,
        log: readonly unknown[],
        error: Document,
    ])[] = [
        [
            'before the import',
            { file: Buffer.from('a'), failsAt: 'start', event: structured },
            [],
            DID_NOT_RUN,
        ],
        [
            'after the import, with details',
            { file: Buffer.from('a'), failsAt: 'file', event: structured },
            [{ level: 'error', message: 'so' }],
            { ...DID_NOT_RUN, message: `${DID_NOT_RUN.message}: so` },
        ],
        [
            'after the file',
            { file: Buffer.from('a'), failsAt: 'activate', event: { error: 'boom' } },
            [],
            { message: 'Error: boom', code: 'InternalError' },
        ],
    ];
    for (const [name, plan, log, error] of rows) {
        Object.assign(cnapi, { plan, log });
        const { image, job } = await started(createFromVm(client, vm, { description: name }));
        const ended = await endOfJob(client, job);
        t.equal(ended['execution'], 'failed', name);
        t.strictSame(
            steps(ended, 'onerror_results'),
            [
                ['update_with_error', 'Image updated with publishing error'],
                ['On error', 'Error executing job'],
            ],
            name,
        );
        const failed = await imageOf(client, image);
        t.match(failed, { state: 'failed', files: [], description: name, owner: luke }, name);
        t.strictSame(failed['error'], error, name);
        t.notOk('type' in failed || 'os' in failed, name);
        t.match(await dc.record(image), /expires_at/, `${name}: it goes some time`);
        t.throws(
            () => readFileSync(join(imageDirectory(dc.baseDir, image), 'file0')),
            { code: 'ENOENT' },
            name,
        );
    }
    cnapi.log = [];
});

await t.test('steps that fail', async (t) => {
    const gone = instances.add();
    const hold = new Gate();
    cnapi.plan = { file: Buffer.from('a'), hold: { record: hold } };
    const first = await started(createFromVm(client, gone));
    const second = await started(createFromVm(client, gone));
    vmapi.vms.splice(vmapi.vms.indexOf(gone), 1);
    hold.resume();
    t.equal((await endOfJob(client, first.job))['execution'], 'succeeded');
    const ended = await endOfJob(client, second.job);
    t.strictSame(steps(ended), [['vmapi.get_vm_server', 'VM not found']]);
    t.strictSame((await imageOf(client, second.image))['error'], {
        message: 'ResourceNotFoundError: VM not found',
        code: 'ResourceNotFound',
    });
});

await t.test('jobs of one instance run one after the other', async (t) => {
    const before = cnapi.tasks.length;
    const hold = new Gate();
    cnapi.plan = { file: Buffer.from('a'), hold: { file: hold } };
    const first = await started(createFromVm(client, vm));
    const second = await started(createFromVm(client, vm));
    await eventually('the first record', 10_000, async () => {
        return (await imageOf(client, first.image))['state'] === 'unactivated';
    });
    t.equal((await jobOf(client, second.job))['execution'], 'queued');
    t.equal(cnapi.tasks.length, before + 1);
    const other = instances.add();
    const meanwhile = await started(createFromVm(client, other));
    await eventually('a job of another one', 10_000, () => cnapi.tasks.length === before + 2);
    hold.resume();
    for (const { job, image } of [first, second, meanwhile]) {
        t.equal((await endOfJob(client, job))['execution'], 'succeeded');
        t.equal((await imageOf(client, image))['state'], 'active');
    }
    t.equal(cnapi.tasks.length, before + 3);
});

await t.test('CNAPI is forgetful and often out of order', async (t) => {
    cnapi.plan = { file: Buffer.from('a') };
    cnapi.taskFaults = { status: 404, times: 2 };
    const unknown = await started(createFromVm(client, vm));
    t.equal((await endOfJob(client, unknown.job))['execution'], 'succeeded', 'a task not known at first');
    cnapi.taskFaults = { status: 503, times: 2 };
    const down = await started(createFromVm(client, vm));
    t.equal((await endOfJob(client, down.job))['execution'], 'succeeded', 'errors between');
    t.equal(cnapi.taskFaults.times, 0);
});

await t.test('cancel', async (t) => {
    const hold = new Gate();
    cnapi.plan = { file: Buffer.from('a'), hold: { record: hold } };
    const first = await started(createFromVm(client, vm));
    const queued = await started(createFromVm(client, vm));
    await hold.arrived();
    for (const { job, image } of [queued, first]) {
        t.equal((await client.post(`/jobs/${job}/cancel`)).document['execution'], 'canceled');
        const failed = await eventually('the failed image', 10_000, async () => {
            const now = await imageOf(client, image);
            return now['state'] === 'failed' ? now : undefined;
        });
        t.strictSame(failed['error'], { message: 'image creation was canceled', code: 'Canceled' });
        const ended = await eventually('the end of what follows', 10_000, async () => {
            const now = await jobOf(client, job);
            return steps(now, 'oncancel_results').length > 0 ? now : undefined;
        });
        t.strictSame(steps(ended, 'oncancel_results'), [
            ['update_with_cancel', 'Image updated with cancellation'],
        ]);
        t.equal(ended['execution'], 'canceled');
    }
    hold.resume();
    const task = cnapi.tasks.find(({ payload }) => payload.manifest['uuid'] === first.image);
    await eventually('the end of the task', 10_000, () => task?.status === 'failure');
    t.match(JSON.stringify(task?.history), /ImageUuidAlreadyExists/, 'the node comes too late');
    t.equal((await imageOf(client, first.image))['state'], 'failed');
    t.notOk(cnapi.tasks.some(({ payload }) => payload.manifest['uuid'] === queued.image));
});

await t.test('a compute node deletes what it cannot finish', async (t) => {
    const hold = new Gate();
    cnapi.plan = { file: Buffer.from('a'), hold: { file: hold } };
    const { image, job } = await started(createFromVm(client, vm, { tags: { a: 'b' } }));
    await eventually(
        'the record',
        10_000,
        async () => (await imageOf(client, image))['state'] === 'unactivated',
    );
    const node = { headers: { 'user-agent': 'imgadm/3.8.0 (node)' } };
    t.equal((await client.request('DELETE', `/images/${image}`, node)).status, 204);
    t.match(await imageOf(client, image), { state: 'creating', tags: { a: 'b' }, files: [] });
    t.equal((await client.request('DELETE', `/images/${image}`, node)).status, 204, 'again');
    t.equal((await imageOf(client, image))['state'], 'creating');
    const other = { headers: { 'user-agent': 'curl/8' } };
    t.equal((await client.request('DELETE', `/images/${image}`, other)).status, 204, 'of anybody else');
    t.equal((await client.get(`/images/${image}`)).status, 404);
    hold.resume();
    t.equal((await endOfJob(client, job))['execution'], 'failed');
    t.equal((await client.get(`/images/${image}`)).status, 404, 'nobody brings it back');

    const made = await client.post('/images', { ...manifest, type: 'zone-dataset', os: 'smartos' });
    const uuid = String(made.document['uuid']);
    t.equal((await client.request('DELETE', `/images/${uuid}`, node)).status, 204, 'without a job');
    t.equal((await client.get(`/images/${uuid}`)).status, 404);
});

await t.test('the client library waits for the image', async (t) => {
    cnapi.plan = { file: Buffer.from('for the library') };
    const library = connect(t, server, undefined);
    const options = { vm_uuid: vm.uuid, incremental: true };
    const image = await call(library, 'createImageFromVmAndWait', manifest, options, luke);
    t.match(image, { state: 'active', name: 'custom', owner: luke });
});
