// One process and its jobs: what they show, where they end, who gets which (jobs-and-imports 9.2, 9.3, 9.6).
import { randomUUID } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { imageNotFound } from '#lib/base/errors.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import type { StepResult } from '#lib/jobs/job.js';
import { Gate } from '../doubles/gate.js';
import { jobOf, jobThat, kindOf, overJob, runningEngine, stepOf, wishOf } from '../helpers/job-engines.js';

const EXECUTIONS = { queued: 0, failed: 0, succeeded: 0, canceled: 0, running: 0 };

/** What came of the steps, in few words. */
function outcomes(results: unknown): readonly (readonly unknown[])[] {
    return (results as readonly StepResult[]).map(({ name, result, error }) => [
        name,
        result,
        typeof error === 'string' ? error : error.message,
    ]);
}

void t.test('a job that succeeds, as it is shown', async (t) => {
    const gate = new Gate();
    const origin = randomUUID();
    const kind = kindOf(
        [
            stepOf('first', async (run) => {
                t.notOk(run.isRepeated);
                await gate.pass();
                await run.noteCreated(origin);
                await run.noteCreated(origin);
                await run.remember({ a: 1, b: 2 });
                await run.remember({ b: null, c: 3 });
                run.inform({ found: origin });
                run.finished({ image_uuid: origin, state: 'active' });
                writeFileSync(join(await run.staging(), 'x.part'), 'x');
            }),
            stepOf(
                'second',
                async (run) => {
                    t.same(run.memory, { a: 1, c: 3 });
                    t.same(run.created, [origin]);
                    t.equal(run.hidden['secret'], 'shh');
                    t.match(run.params, { task: 'import-remote-image', source: /u:p@/ });
                    await run.show({ server_uuid: origin, taskId: 't1' });
                    t.equal(run.params['server_uuid'], origin);
                    await t.rejects(run.show({ execution: 'succeeded' }), TypeError);
                },
                ({ hidden }) => Number(hidden['limit']),
            ),
        ],
        { onError: [{ name: 'undo', timeout: 5, run: () => Promise.resolve('') }] },
    );
    const { engine, directories, records } = await runningEngine(t, [kind]);
    const vm = randomUUID();
    const wish = wishOf(
        {
            vm_uuid: vm,
            source: 'https://u:p@images.example.com?channel=dev',
            prepare_image_script: '#!/bin/bash\n\u00fc',
            req_id: 'r1',
        },
        { hidden: { secret: 'shh', limit: 9000 } },
    );
    t.same(await engine.start(wish), { uuid: wish.uuid, attached: false });
    await gate.arrived();
    const { document: running, progress: early } = await jobOf(engine, wish.uuid);
    t.match(running, { execution: 'running', chain_results: [], runner_id: /-/ });
    t.match(early, { job_uuid: wish.uuid, execution: 'running', step: 'first', error: null });
    t.same(await engine.counts(), { ...EXECUTIONS, running: 1 });
    gate.resume();
    const { document, progress, finished } = await overJob(engine, wish.uuid);
    t.same(Object.keys(JSON.parse(JSON.stringify(document)) as object), [
        ...['uuid', 'name', 'version', 'engine', 'execution', 'task', 'vm_uuid', 'image_uuid', 'server_uuid'],
        ...['target', 'params', 'chain', 'chain_results', 'onerror', 'onerror_results', 'oncancel'],
        ...[
            'oncancel_results',
            'created_images',
            'created_at',
            'exec_after',
            'started',
            'elapsed',
            'timeout',
        ],
        ...['num_attempts', 'max_attempts', 'restarts', 'runner_id', 'info', 'progress', 'taskId'],
    ]);
    t.match(document, {
        engine: 'embedded',
        execution: 'succeeded',
        name: 'import-remote-image-8.0.0',
        target: wish.target,
        params: {
            image_uuid: wish.imageUuid,
            source: 'https://images.example.com?channel=dev',
            prepare_image_script: '<14 bytes>',
            task: 'import-remote-image',
        },
        chain: [
            { uuid: /-/, name: 'first', timeout: 60, retry: 1 },
            { name: 'second', timeout: 9000 },
        ],
        onerror: [{ name: 'undo', timeout: 5, retry: 1 }],
        created_images: [origin],
        timeout: 9060,
        restarts: 0,
        runner_id: null,
        info: [{ data: { found: origin }, date: /^20.*Z$/ }],
    });
    t.same(outcomes(document['chain_results']), [
        ['first', 'first done', ''],
        ['second', 'second done', ''],
    ]);
    t.notMatch(JSON.stringify(document), /shh|u:p@|"own"|memory/);
    t.same(progress, {
        job_uuid: wish.uuid,
        image_uuid: wish.imageUuid,
        task: wish.task,
        execution: 'succeeded',
        ...(document['progress'] as object),
    });
    t.equal(progress.step, null);
    t.same(finished, [{ image_uuid: origin, state: 'active' }]);
    t.notOk(existsSync(join(directories.staging, wish.uuid)), 'what it has staged is gone');
    t.match(
        records.filter(({ msg }) => msg === 'job step'),
        [
            {
                component: 'jobs',
                job_uuid: wish.uuid,
                req_id: 'r1',
                level: 30,
                step: 'first',
                result: 'first done',
            },
            { step: 'second' },
        ],
    );
});

void t.test('why steps fail, and what follows', async (t) => {
    const body = { code: 'NotFoundError', message: 'no' };
    const cases: readonly (readonly [unknown, Readonly<Record<string, unknown>>])[] = [
        [
            imageNotFound('u'),
            {
                name: 'ResourceNotFoundError',
                message: 'image u not found',
                code: 'ResourceNotFound',
                restCode: 'ResourceNotFound',
                statusCode: 404,
            },
        ],
        [
            new OutgoingError('status', 'GET http://u:p@h/x answered 404', { status: 404, body }),
            {
                name: 'OutgoingError',
                message: 'GET http://***@h/x answered 404',
                restCode: 'NotFoundError',
                statusCode: 404,
            },
        ],
        [
            Object.assign(new Error("ENOSPC: no space left, open '/data/x'"), { code: 'ENOSPC' }),
            { name: 'Error', message: 'ENOSPC: no space left on device', code: 'ENOSPC' },
        ],
        [
            Object.assign(new Error('odd'), { restCode: 'Odd', statusCode: 418 }),
            { message: 'odd', restCode: 'Odd', statusCode: 418 },
        ],
        ['no error at all', { name: 'Error', message: 'unexpected error' }],
    ];
    for (const [thrown, expected] of cases) {
        const kind = kindOf(
            [
                stepOf('good', () => 'fine'),
                stepOf('bad', () => {
                    throw thrown;
                }),
                stepOf('never', () => t.fail('the chain ends at the first failure')),
            ],
            {
                onError: [
                    {
                        name: 'a',
                        timeout: 5,
                        run: (_run, end) => Promise.resolve(`${end.execution}: ${end.error.message}`),
                    },
                    { name: 'b', timeout: 5, run: () => Promise.reject(new Error('cannot')) },
                    { name: 'c', timeout: 0.01, run: () => new Promise(() => undefined) },
                    {
                        name: 'On error',
                        timeout: 5,
                        run: () => Promise.reject(new Error('Error executing job')),
                    },
                ],
                onCancel: [{ name: 'x', timeout: 5, run: async () => String(t.fail('not canceled')) }],
            },
        );
        const { engine } = await runningEngine(t, [kind], { timing: { graceMs: 10 } });
        const { uuid } = await engine.start(wishOf());
        const { document, progress } = await overJob(engine, uuid);
        t.match(document, {
            execution: 'failed',
            chain_results: [{ error: '' }, { name: 'bad', result: '', error: expected }],
        });
        t.same(outcomes(document['onerror_results']), [
            ['a', `failed: ${String(expected['message'])}`, ''],
            ['b', '', 'cannot'],
            ['c', '', 'task timeout error'],
            ['On error', '', 'Error executing job'],
        ]);
        t.same(document['oncancel_results'], []);
        t.match(progress, { error: { message: expected['message'] } });
    }
});

void t.test('limits of steps and of jobs, and a step that does not end', async (t) => {
    const until = (run: { readonly signal: AbortSignal }) =>
        new Promise((_resolve, reject) => {
            run.signal.addEventListener('abort', () => reject(run.signal.reason as Error));
        });
    const late = new Gate();
    const kinds = {
        step: kindOf([stepOf('slow', until, 0.02)]),
        job: kindOf([stepOf('quick', () => '', 0.001), stepOf('slow', until, 0.02)], { timeout: 0.01 }),
        deaf: kindOf([
            stepOf(
                'deaf',
                async (run) => {
                    await late.pass();
                    await t.rejects(run.noteCreated(randomUUID()), /over/);
                    run.finished({ image_uuid: randomUUID(), state: 'active' });
                },
                0.01,
            ),
        ]),
    };
    for (const [name, kind] of Object.entries(kinds)) {
        const { engine, records } = await runningEngine(t, [kind], { timing: { graceMs: 20 } });
        const { uuid } = await engine.start(wishOf());
        const { document } = await overJob(engine, uuid);
        const message = name === 'job' ? /^(workflow timeout|task timeout error)$/ : 'task timeout error';
        const [last] = (document['chain_results'] as StepResult[]).slice(-1);
        t.match(last?.error, { name: 'TaskTimeoutError', message }, name);
        if (name === 'deaf') {
            t.ok(records.some(({ msg }) => msg.startsWith('the step does not end')));
            late.resume();
            await new Promise((resolve) => setImmediate(resolve));
            t.match(await jobOf(engine, uuid), { document: { created_images: [] }, finished: [] });
        }
    }
});

void t.test('the total of a job is the sum of its steps at least', async (t) => {
    const slow = stepOf(
        'slow',
        (run) => new Promise((resolve) => run.signal.addEventListener('abort', resolve)),
        0.05,
    );
    const steps = [stepOf('a', () => '', 0.02), slow];
    const { engine } = await runningEngine(t, [kindOf(steps, { timeout: 0.001 })]);
    const { uuid } = await engine.start(wishOf());
    const { document } = await overJob(engine, uuid);
    t.equal(document['timeout'], 0.07);
    t.equal(document.execution, 'succeeded', 'a step that ends in spite of its limit has ended');
});

void t.test('cancel', async (t) => {
    const gate = new Gate();
    const undone: string[] = [];
    const kind = kindOf(
        [
            stepOf('a', (run) =>
                run.params['fails'] === true
                    ? Promise.reject(new Error('bad'))
                    : new Promise((_resolve, reject) => {
                          run.signal.addEventListener('abort', () => reject(run.signal.reason as Error));
                      }),
            ),
            stepOf('b', () => t.fail('canceled before')),
        ],
        {
            onError: [
                {
                    name: 'wait',
                    timeout: 60,
                    run: async () => {
                        await gate.pass();
                        return 'waited';
                    },
                },
                { name: 'not this', timeout: 5, run: async () => String(t.fail('canceled meanwhile')) },
            ],
            onCancel: [
                {
                    name: 'undo',
                    timeout: 5,
                    run: (run, end) => {
                        undone.push(run.uuid);
                        return Promise.resolve(`${end.execution} ${String(end.error.code)}`);
                    },
                },
            ],
        },
    );
    const { engine } = await runningEngine(t, [kind], { jobs: { maxRunning: 1 } });
    const running = await engine.start(wishOf());
    const queued = await engine.start(wishOf());
    await jobThat(engine, running.uuid, ({ progress }) => progress.step === 'a');
    t.match(await engine.cancel(queued.uuid), {
        execution: 'canceled',
        chain_results: [{ name: 'a', result: '', error: 'canceled' }],
        started: undefined,
    });
    t.match(await engine.cancel(running.uuid), {
        execution: 'canceled',
        chain_results: [{ name: 'a', result: '', error: 'canceled' }],
    });
    for (const { uuid } of [running, queued]) {
        const { document, progress } = await overJob(engine, uuid);
        t.same(outcomes(document['chain_results']), [['a', '', 'canceled']]);
        t.same(outcomes(document['oncancel_results']), [['undo', 'canceled Canceled', '']]);
        t.match(progress, { execution: 'canceled', error: { code: 'Canceled', message: 'canceled' } });
        await t.rejects(engine.cancel(uuid), {
            code: 'ConflictError',
            message: 'Finished jobs cannot be canceled',
        });
    }
    t.same(undone.sort(), [running.uuid, queued.uuid].sort(), 'once each');
    const missing = randomUUID();
    await t.rejects(engine.cancel(missing), {
        status: 404,
        message: `Job with uuid '${missing}' does not exist`,
    });

    const failing = await engine.start(wishOf({ fails: true }));
    await gate.arrived();
    t.match(await engine.cancel(failing.uuid), { execution: 'canceled' });
    gate.resume();
    const { document } = await overJob(engine, failing.uuid);
    t.match(document, {
        execution: 'canceled',
        chain_results: [{ error: { message: 'bad' } }],
        onerror_results: [],
    });
    t.equal((document['oncancel_results'] as unknown[]).length, 1);
});
