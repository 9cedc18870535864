// CreateImageFromVm through a real workflow service (jobs-and-imports 1, 2).
import t from 'tap';
import { startDatacenter } from '../helpers/datacenter.js';
import {
    createFromVm,
    endOfJob,
    imageOf,
    PROTO,
    PROTOS,
    startInstances,
    started,
    steps,
} from '../helpers/from-vm.js';
import { sha1Hex, USERS } from '../helpers/images.js';
import { expectError } from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';
import { startWorkflowService, WORKFLOW_NAMES } from '../helpers/workflow-engines.js';

const DOWN = { status: 503, code: 'ServiceUnavailableError', message: 'Workflow API is down.' };

const instances = await startInstances(t);
const { cnapi, vmapi } = instances;
const service = await startWorkflowService(t);
const wfapi = { url: service.url, workflows: WORKFLOW_NAMES };
const { client, server } = await startDatacenter(t, {
    images: PROTOS,
    config: { ...instances.config, wfapi },
});
service.aim({ imgapiUrl: server.url, vmapiUrl: vmapi.url, cnapiUrl: cnapi.url });
await server.waitForLog(({ msg }) => msg === 'workflows are registered');
const vm = instances.add();

await t.test('an image is made', async (t) => {
    cnapi.plan = { file: Buffer.from('what is on the disk') };
    const answer = await createFromVm(
        client,
        vm,
        { tags: { a: 'b' } },
        '&incremental=true&max_origin_depth=4',
    );
    t.equal(answer.header('workflow-api'), service.url);
    const { image, job } = await started(Promise.resolve(answer));
    const ended = await endOfJob(client, job);
    t.strictSame(steps(ended), [
        ['vmapi.get_vm_server', 'Got VM server'],
        ['cnapi.queue_create_from_vm_task', 'Task queued to CNAPI'],
        ['cnapi.poll_task', 'Job succeeded!'],
    ]);
    t.match(await imageOf(client, image), {
        state: 'active',
        origin: PROTO.smartos,
        owner: USERS.luke,
        tags: { a: 'b' },
        files: [{ sha1: sha1Hex('what is on the disk') }],
    });
    t.match(cnapi.tasks[0]?.payload, {
        jobid: job,
        compression: 'gzip',
        imgapi_url: server.url,
        incremental: true,
        max_origin_depth: 4,
        prepare_image_script: /^#!/,
        manifest: { uuid: image, name: 'custom' },
    });
});

await t.test('a failure after the import leaves a failed image', async (t) => {
    const error = { message: 'prepare-image script did not run', code: 'PrepareImageDidNotRun' };
    cnapi.plan = {
        file: Buffer.from('a'),
        failsAt: 'file',
        event: { error: JSON.stringify(error), details: { error: 'why' } },
    };
    cnapi.log = [{ level: 'error', message: 'so' }];
    const { image, job } = await started(createFromVm(client, vm, { description: 'mine' }));
    t.equal((await endOfJob(client, job))['execution'], 'failed');
    const failed = await imageOf(client, image);
    t.match(failed, { state: 'failed', files: [], description: 'mine', owner: USERS.luke });
    t.strictSame(failed['error'], { ...error, message: `${error.message}, why: so` });
    t.notOk('type' in failed);
});

await t.test('no workflow service, no placeholder', async (t) => {
    const before = (await client.get('/images?state=all')).list.length;
    service.intercept = ({ method, path }) =>
        method === 'POST' && path === '/jobs'
            ? { status: 500, body: { code: 'InternalError', message: 'x' } }
            : undefined;
    const refused = await createFromVm(client, vm);
    t.equal(refused.status, 500, 'its refusal is passed on');
    service.intercept = () => undefined;
    await service.stop();
    expectError(t, await createFromVm(client, vm), DOWN, 'no connection');
    const list = await eventually('the list', 5000, async () => (await client.get('/images?state=all')).list);
    t.equal(list.length, before);
    t.strictSame((await client.get('/images?state=creating')).list, []);
    await service.start();
});
