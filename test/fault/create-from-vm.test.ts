// Servers that are killed, or stopped, while an image is made of an instance (jobs-and-imports 9.3, 9.4).
import { rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { CnapiDouble, Task } from '../doubles/cnapi/cnapi-double.js';
import { Gate } from '../doubles/gate.js';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { datacenterConfig } from '../helpers/datacenter.js';
import {
    createFromVm,
    endOfJob,
    imageOf,
    jobOf,
    PROTOS,
    startInstances,
    started,
    steps,
} from '../helpers/from-vm.js';
import { HttpClient } from '../helpers/http-client.js';
import { writeFixtures } from '../helpers/images.js';
import {
    eventually,
    freePort,
    LIMIT_MS,
    ServerProcess,
    temporaryDirectory,
} from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';

t.setTimeout(LIMIT_MS);
const instances = await startInstances(t);
const { cnapi } = instances;
const ufds = await UfdsDouble.start();
const baseDir = temporaryDirectory();
writeFixtures(baseDir, PROTOS);
// Compute nodes are told one address, so all servers have it one after the other.
const port = await freePort();
const config = {
    ...datacenterConfig(ufds.config, { config: { ...instances.config, port } }),
    metrics: { port: 0 },
};
const client = new HttpClient(port);
let server = await ServerProcess.start({ baseDir, config });
t.teardown(async () => {
    await expectCleanEnd(server);
    await ufds.stop();
    client.close();
    rmSync(baseDir, { recursive: true, force: true });
});

async function restart(how: 'kill' | 'stop'): Promise<void> {
    await server[how]();
    server = await ServerProcess.start({ baseDir, config });
}

function taskFor(double: CnapiDouble, image: string): Task | undefined {
    return double.tasks.find(({ payload }) => payload.manifest['uuid'] === image);
}

/** Has an image made by a server that ends while the node is at work, and expects it to be there. */
async function survives(t: Test, how: 'kill' | 'stop', held: 'record' | 'file'): Promise<void> {
    const hold = new Gate();
    cnapi.plan = { file: Buffer.from('a'), hold: { [held]: hold } };
    const { image, job } = await started(createFromVm(client, instances.add()));
    await hold.arrived();
    await eventually('the id of the task', 10_000, async () => (await jobOf(client, job))['taskId']);
    await restart(how);
    t.equal((await imageOf(client, image))['state'], held === 'record' ? 'creating' : 'unactivated');
    hold.resume();
    const ended = await endOfJob(client, job);
    t.equal(ended['execution'], 'succeeded');
    t.equal(ended['restarts'], how === 'kill' ? 1 : 0);
    t.strictSame(
        steps(ended).map(([, result]) => result),
        ['Got VM server', 'Task queued to CNAPI', 'Job succeeded!'],
    );
    t.equal((await imageOf(client, image))['state'], 'active');
    t.equal(cnapi.tasks.filter(({ payload }) => payload.jobid === job).length, 1, 'one task only');
}

await t.test('killed while the node prepares the instance', (t) => survives(t, 'kill', 'record'));
await t.test('stopped while the node sends the file', (t) => survives(t, 'stop', 'file'));

await t.test('killed before CNAPI has said which task it made', async (t) => {
    const hold = new Gate();
    cnapi.plan = { file: Buffer.from('a'), hold: { record: hold } };
    cnapi.answersTasks = false;
    const { image, job } = await started(createFromVm(client, instances.add()));
    await hold.arrived();
    cnapi.answersTasks = true;
    await restart('kill');
    const ended = await endOfJob(client, job);
    t.equal(ended['execution'], 'failed');
    t.strictSame(steps(ended), [
        ['vmapi.get_vm_server', 'Got VM server'],
        ['cnapi.queue_create_from_vm_task', 'job was interrupted by a server restart'],
    ]);
    t.equal(cnapi.tasks.filter(({ payload }) => payload.jobid === job).length, 1, 'not asked twice');
    const failed = await imageOf(client, image);
    t.match(failed, { state: 'failed', error: { code: 'JobInterrupted' } });
    hold.resume();
    await eventually('the end of the task', 10_000, () => taskFor(cnapi, image)?.status === 'failure');
    t.strictSame(await imageOf(client, image), failed, 'the node comes too late');
});

await t.test('killed while CNAPI is out of order, and the task fails meanwhile', async (t) => {
    const hold = new Gate();
    const event = { error: JSON.stringify({ code: 'VmHasNoOrigin', message: 'no origin' }) };
    cnapi.plan = { file: Buffer.from('a'), failsAt: 'file', event, hold: { record: hold } };
    const { image, job } = await started(createFromVm(client, instances.add(), {}, '&incremental=true'));
    await hold.arrived();
    await eventually('the id of the task', 10_000, async () => (await jobOf(client, job))['taskId']);
    await server.kill();
    // The node cannot bring its image, nor clean up.
    hold.resume();
    await eventually('the end of the task', 10_000, () => taskFor(cnapi, image)?.status === 'failure');
    cnapi.taskFaults = { status: 503, times: 1 };
    server = await ServerProcess.start({ baseDir, config });
    const ended = await endOfJob(client, job);
    t.equal(ended['execution'], 'failed');
    t.equal((await imageOf(client, image))['state'], 'failed');
});
