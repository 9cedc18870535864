import { runInNewContext } from 'node:vm';
import t from 'tap';
import { readWorkflow, WORKFLOWS } from '#lib/jobs/wfapi/workflow-files.js';
import type { Workflow } from '#lib/remotes/workflow-service.js';
import { type Answer, type Answers, requests, runJob } from '../helpers/workflow-runs.js';

const IMAGE = '10000000-0000-4000-8000-000000000001';
const OWNER = '10000000-0000-4000-8000-000000000002';
const VM = '10000000-0000-4000-8000-000000000004';

const [fromVm, importRemote] = (await Promise.all(WORKFLOWS.map(readWorkflow))) as [Workflow, Workflow];

const texts = ({ chain, onerror, oncancel }: Workflow): readonly string[] =>
    [...chain, ...onerror, ...oncancel].flatMap(({ body, fallback }) => [
        body,
        ...(fallback === undefined ? [] : [fallback]),
    ]);

void t.test('every function stands alone', (t) => {
    for (const text of [fromVm, importRemote].flatMap(texts)) {
        const compiled = runInNewContext(`(${text})`, {}) as (...args: unknown[]) => unknown;
        t.equal(typeof compiled, 'function');
        t.equal(String(compiled), text, 'a service that compiles it and asks for its text has the same');
    }
    t.end();
});

void t.test('steps, limits and names', (t) => {
    const shape = ({ name, version, timeout, chain, onerror, oncancel }: Workflow): unknown => ({
        facts: [name, version, timeout],
        steps: [chain, onerror, oncancel].map((list) =>
            list.map((step) =>
                `${step.name} ${step.timeout} ${step.retry} ${step.fallback ? 'fallback' : ''}`.trim(),
            ),
        ),
    });
    t.same(shape(fromVm), {
        facts: ['create-from-vm-8.0.0', '8.0.0', 3630],
        steps: [
            [
                'vmapi.get_vm_server 10 1 fallback',
                'cnapi.queue_create_from_vm_task 10 1 fallback',
                'cnapi.poll_task 3600 1 fallback',
            ],
            ['update_with_error 60 1', 'On error 10 1'],
            ['update_with_cancel 60 1'],
        ],
    });
    t.same(shape(importRemote), {
        facts: ['import-remote-image-8.0.0', '8.0.0', 7250],
        steps: [
            [
                'origin_import_images 3600 1',
                'import_image 60 1',
                'add_image_file 3600 1',
                'activate_image 10 1',
            ],
            ['delete_image 60 1', 'origin_delete_images 60 1', 'On error 10 1'],
            ['delete_image 10 1', 'origin_delete_images 10 1'],
        ],
    });
    t.end();
});

const FROM_VM = {
    image_uuid: IMAGE,
    vm_uuid: VM,
    owner_uuid: OWNER,
    compression: 'gzip',
    incremental: true,
    prepare_image_script: '#!/bin/sh',
    manifest: { name: 'a', uuid: IMAGE },
};

/** VMAPI, CNAPI and IMGAPI for one job; a task is told of once for each of `tasks`. */
function datacenter(
    tasks: readonly (Answer | object)[],
    more: { readonly isCanceled?: boolean } = {},
): { answers: Answers; updates: unknown[] } {
    const updates: unknown[] = [];
    const rest = [...tasks];
    return {
        updates,
        answers: (asked) => {
            const { url, body } = asked;
            if (url.host === 'vmapi') return { status: 200, body: { uuid: VM, server_uuid: 'the-server' } };
            if (url.host === 'cnapi' && url.pathname.endsWith('/images')) {
                return { status: 202, body: { id: 'the-task' } };
            }
            if (url.host === 'cnapi') {
                const task = rest.length > 1 ? rest.shift() : rest[0];
                return task === undefined || ('status' in task && typeof task.status === 'number')
                    ? (task as Answer)
                    : { status: 200, body: task };
            }
            if (url.pathname.startsWith('/jobs')) {
                return { status: 200, body: { execution: more.isCanceled ? 'canceled' : 'running' } };
            }
            updates.push(body);
            return { status: 200, body: {} };
        },
    };
}

const failed = (history: readonly unknown[]): object => ({ status: 'failure', history });

void t.test('an image of an instance', async (t) => {
    const { answers, updates } = datacenter([
        { status: 404, body: { code: 'ResourceNotFound', message: 'no task' } },
        { status: 'active' },
        ...Array.from({ length: 5 }, () => undefined),
        { status: 'active' },
        { status: 503, body: {} },
        { status: 'complete' },
    ]);
    const { job, asked } = await runJob(fromVm, FROM_VM, answers);
    t.equal(job.execution, 'succeeded');
    t.same(
        job.chain_results.map(({ result }) => result),
        ['Got VM server', 'Task queued to CNAPI', 'Job succeeded!'],
    );
    t.same([job.params['server_uuid'], job.taskId], ['the-server', 'the-task']);
    t.equal(requests(asked)[0], `GET /vms/${VM}`);
    const queued = asked.find(({ method }) => method === 'POST');
    t.equal(queued?.url.href, `http://cnapi/servers/the-server/vms/${VM}/images`);
    t.equal(
        JSON.stringify(queued?.body),
        JSON.stringify({
            jobid: 'the-job',
            compression: 'gzip',
            imgapi_url: 'http://imgapi',
            incremental: true,
            manifest: FROM_VM.manifest,
            prepare_image_script: '#!/bin/sh',
        }),
    );
    t.same(updates, []);
});

void t.test('why an image of an instance could not be made', async (t) => {
    const log = {
        name: 'finish',
        event: {
            log: [{ level: 'error', message: 'd1' }, { level: 'info' }, { level: 'error', message: 'd2' }],
        },
    };
    const structured = JSON.stringify({ code: 'PrepareImageDidNotRun', message: 'it did not run' });
    const cases: readonly (readonly [string, readonly unknown[], object])[] = [
        ['text', [{ name: 'error', event: { error: 'boom' } }], { message: 'Error: boom' }],
        [
            'text with details',
            [{ name: 'error', event: { error: 'boom', details: { error: 'why' } } }, log],
            { message: 'Error: boom, why: d1, d2' },
        ],
        ['an object', [{ name: 'error', event: { error: { message: 'boom' } } }], { message: 'Error: boom' }],
        ['nothing', [], { message: 'Error: Unexpected error occured' }],
        ['only a log', [log], { message: 'Error: Unexpected error occured: d1, d2' }],
        [
            'structured, with a log that must not hide the code',
            [{ name: 'error', event: { error: structured } }, log],
            { message: 'it did not run: d1, d2', code: 'PrepareImageDidNotRun' },
        ],
        [
            'structured, with details',
            [{ name: 'error', event: { error: structured, details: { error: 'why' } } }, log],
            { message: 'it did not run, why: d1, d2', code: 'PrepareImageDidNotRun' },
        ],
        ['broken JSON', [{ name: 'error', event: { error: '{boom' } }], { message: 'Error: {boom' }],
    ];
    for (const [what, history, error] of cases) {
        const { answers, updates } = datacenter([failed(history)]);
        const { job } = await runJob(fromVm, FROM_VM, answers);
        t.match(updates, [{ state: 'failed', error }], what);
        t.same(
            job.onerror_results.map(({ result, error: failure }) => result || failure),
            ['Image updated with publishing error', 'Error executing job'],
        );
    }
    const { answers, updates } = datacenter([
        failed([{ name: 'error', event: { error: 'x'.repeat(30_000) } }]),
    ]);
    await runJob(fromVm, FROM_VM, answers);
    const [{ error }] = updates as [{ error: { message: string } }];
    t.match(
        error.message,
        /^Error: x+\n\.\.\. content elided \(full message was 30007 characters\) \.\.\.\nx+$/,
    );
    t.ok(error.message.length < 20_200);
});

void t.test('CNAPI that fails again and again, and a cancel', async (t) => {
    const away = datacenter([undefined]);
    const { job, asked } = await runJob(fromVm, FROM_VM, away.answers);
    t.equal(job.execution, 'failed');
    t.equal(asked.filter(({ url }) => url.pathname.startsWith('/tasks')).length, 6);
    t.match(away.updates, [{ error: { message: 'Error: connect ECONNREFUSED' } }]);

    for (const at of ['queue', 'poll']) {
        const facts = { isCanceled: at === 'queue' };
        const { answers, updates } = datacenter([{ status: 'active' }], facts);
        const end = await runJob(fromVm, FROM_VM, (request) => {
            facts.isCanceled ||= request.url.pathname.startsWith('/tasks');
            return answers(request);
        });
        t.equal(end.job.execution, 'canceled', at);
        t.equal(end.job.taskId, at === 'queue' ? undefined : 'the-task', 'no node is asked for nothing');
        t.match(updates, [{ state: 'failed', error: { code: 'Canceled' } }]);
    }
});
