import { randomUUID } from 'node:crypto';
import t from 'tap';
import { RelayedError } from '#lib/base/errors.js';
import { HttpService } from '../doubles/http-service.js';
import type { WorkflowServiceProcess } from '../doubles/wfapi/workflow-service.js';
import { refusal } from '../helpers/image-bench.js';
import { eventually } from '../helpers/server-process.js';
import {
    importJob,
    makeEngine,
    ready,
    startWorkflowService,
    WORKFLOW_NAMES,
} from '../helpers/workflow-engines.js';

const { signal } = new AbortController();
const DOWN = { status: 503, code: 'ServiceUnavailableError', message: 'Workflow API is down.' };
const ACCOUNT = '86055c40-2547-11e2-8a6b-4bb37edc84ba';
const OTHER = '91ba0e64-2547-11e2-a972-df579e5fddb3';

interface Stored {
    readonly uuid: string;
    readonly name: string;
    readonly timeout: number;
    readonly chain: readonly { readonly body: string; readonly modules: unknown }[];
}

/** What was asked of the service, without looks whether it is there. */
function calls(service: WorkflowServiceProcess): readonly string[] {
    return service.requests
        .filter(({ path }) => path !== '/ping' && path !== '/workflows/workflow-check')
        .map(({ method, target }) => `${method} ${target.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, 'UUID')}`);
}

/** The error of another server that a call fails with. */
async function relayed(call: Promise<unknown>): Promise<unknown> {
    return call.then(
        () => undefined,
        (error: unknown) => (error instanceof RelayedError ? error : undefined),
    );
}

const LOOK_UPS = WORKFLOW_NAMES.map((name) => `GET /workflows?name=${name}-8.0.0`);

void t.test('registration', async (t) => {
    const service = await startWorkflowService(t);
    const stored = async (name = 'import-remote-image-8.0.0'): Promise<Stored> =>
        (await service.get<Stored[]>(`/workflows?name=${name}`))[0]!;
    const start = async (options = {}): Promise<readonly string[]> => {
        service.requests.length = 0;
        const bench = await makeEngine(t, service, options);
        await ready(bench);
        await bench.engine.close();
        return calls(service);
    };

    t.same(
        await start(),
        [LOOK_UPS[0], 'POST /workflows', LOOK_UPS[1], 'POST /workflows'],
        'the first start',
    );
    t.ok(service.requests.every(({ headers }) => headers['accept-version'] === '*'));
    const first = await stored();
    t.equal(first.timeout, 7250);
    t.equal(typeof first.chain[0]?.modules, 'string', 'a service keeps them as text');
    t.same(await start(), LOOK_UPS, 'the second start');
    t.same(await start({ forceMd5Check: true }), LOOK_UPS, 'the same, though modules are text there');

    const put = 'PUT /workflows/UUID';
    t.same(await start({ forceReplace: true }), [LOOK_UPS[0], put, LOOK_UPS[1], put]);
    t.equal((await stored()).uuid, first.uuid);
    t.same(await start({ forceMd5Check: true }), LOOK_UPS, 'the same after it was replaced');

    for (const change of [{ timeout: 1 }, { oncancel: [] }, { chain: first.chain.slice(1) }]) {
        const body = JSON.stringify({ ...(await stored()), ...change });
        const headers = { 'content-type': 'application/json' };
        await fetch(`${service.url}/workflows/${first.uuid}`, { method: 'PUT', body, headers });
        t.same(await start(), LOOK_UPS, 'not looked at');
        t.same(await start({ forceMd5Check: true }), [...LOOK_UPS, put], Object.keys(change).join());
        t.same(await start({ forceMd5Check: true }), LOOK_UPS);
    }
    t.same(await start({ workflows: ['import-remote-image', 'unknown'] }), [LOOK_UPS[1]]);
});

void t.test('a service that is down, and comes', async (t) => {
    const service = await startWorkflowService(t);
    const bench = await makeEngine(t, service);
    const { engine } = bench;
    const isDown = async (problem: string | RegExp): Promise<void> => {
        await eventually(String(problem), 10_000, () =>
            typeof problem === 'string' ? engine.problem === problem : problem.test(engine.problem ?? ''),
        );
        t.same(await refusal(async () => engine.requireAvailable()), DOWN);
        t.same(await refusal(engine.start(importJob(ACCOUNT), signal)), DOWN);
    };
    await isDown('not asked yet');
    t.same(await refusal(engine.find(randomUUID(), signal)), DOWN);
    t.same(await refusal(engine.list({}, { offset: 0, limit: 10 }, signal)), DOWN);
    t.same(await refusal(engine.active(ACCOUNT, signal)), DOWN);
    t.same(await refusal(engine.newest(ACCOUNT, signal)), DOWN);
    t.same(await refusal(engine.cancel(ACCOUNT, signal)), DOWN);

    service.fault = 'unavailable';
    engine.open();
    await isDown(/status 503/);
    service.fault = 'hang-up';
    await isDown(/ECONNRESET|connect/);
    service.fault = 'garbage';
    await isDown('malformed');
    service.fault = 'hang';
    await isDown('timeout');
    service.fault = 'none';
    service.isBackendDown = true;
    await isDown('its backend is down');
    service.intercept = ({ path }) =>
        path === '/workflows/workflow-check' ? { status: 500, body: { code: 'InternalError' } } : undefined;
    service.isBackendDown = false;
    await isDown(/status 500/);

    let refused = 0;
    service.intercept = ({ method, path }) =>
        method === 'POST' && path === '/workflows' && (refused += 1) <= 2
            ? { status: 500, body: { code: 'InternalError', message: 'moray' } }
            : undefined;
    await isDown('workflows are not registered');
    await eventually('the workflows', 10_000, () => engine.problem === undefined);
    t.equal(refused, 4, 'the whole list again');
    const pauses = bench.records.map(({ pauseMs }) => pauseMs).filter((pause) => pause !== undefined);
    t.same(pauses, [100, 200]);
    engine.requireAvailable();

    await service.stop();
    await isDown(/ECONNREFUSED/);
    await service.start();
    await eventually('the service', 10_000, () => engine.problem === undefined);
});

void t.test('jobs', async (t) => {
    const service = await startWorkflowService(t);
    // Takes the requests of the tasks and leaves them without an answer: jobs run as long as the test.
    const imgapi = await new HttpService(() => undefined).start();
    t.teardown(() => imgapi.stop());
    service.aim({ imgapiUrl: imgapi.url });
    const bench = await makeEngine(t, service);
    const { engine } = bench;
    await ready(bench);

    void t.test('one is started', async (t) => {
        service.requests.length = 0;
        const job = importJob(randomUUID());
        const { uuid, attached } = await engine.start({ ...job, requestId: 'mine' }, signal);
        t.notOk(attached);
        const posted = service.requests.find(({ method }) => method === 'POST');
        t.equal(posted?.headers['x-request-id'], 'mine');
        const [{ uuid: workflow } = { uuid: '' }] = await service.get<Stored[]>(
            '/workflows?name=import-remote-image-8.0.0',
        );
        t.equal(
            posted?.body,
            JSON.stringify({ ...job.params, task: job.task, target: job.target, workflow }),
        );
        const view = await engine.find(uuid, signal);
        t.match(view?.document, { uuid, name: 'import-remote-image-8.0.0', image_uuid: job.imageUuid });
        t.match(view?.progress, {
            job_uuid: uuid,
            image_uuid: job.imageUuid,
            images_done: 0,
            images_total: 1,
        });
        await eventually('the job to run', 10_000, async () => {
            const later = await engine.find(uuid, signal);
            return later?.progress.step === 'import_image';
        });

        service.requests.length = 0;
        await engine.start(importJob(randomUUID()), signal);
        const silent = service.requests.find(({ method }) => method === 'POST');
        t.equal(silent?.headers['x-request-id'], undefined);
    });

    void t.test('one that does the same is attached to', async (t) => {
        const image = randomUUID();
        const one = { account: ACCOUNT, datacenter: 'east' };
        const { uuid } = await engine.start(importJob(image, one), signal);
        t.same(await engine.start(importJob(image, one), signal), { uuid, attached: true });
        const moved = { ...one, source: 'http://moved' };
        t.same(await engine.start(importJob(image, moved), signal), { uuid, attached: true });
        const exists = { status: 409, code: 'ImageUuidAlreadyExists' };
        for (const params of [{}, { ...one, account: OTHER }, { ...moved, datacenter: 'west' }]) {
            t.match(await refusal(engine.start(importJob(image, params), signal)), exists);
        }
        t.same(
            (await engine.active(image, signal)).map((job) => job.uuid),
            [uuid],
        );
    });

    void t.test('answers that are lost, and refusals', async (t) => {
        const job = importJob(randomUUID());
        service.loses = ({ method }) => method === 'POST';
        const { uuid } = await engine.start(job, signal);
        service.loses = () => false;
        t.same(
            (await engine.active(job.imageUuid, signal)).map((one) => one.uuid),
            [uuid],
            'there is one job, and it was found',
        );
        service.intercept = ({ method, path }) =>
            method === 'POST' && path === '/jobs'
                ? { status: 409, body: { code: 'InvalidArgument', message: 'locked' } }
                : undefined;
        const refused = engine.start(importJob(randomUUID()), signal);
        t.match(await relayed(refused), {
            status: 409,
            body: { code: 'InvalidArgument', message: 'locked' },
        });
        service.intercept = () => undefined;
        const gone = AbortSignal.abort(new Error('gone'));
        await t.rejects(engine.start(importJob(randomUUID()), gone), { message: 'gone' });
    });

    void t.test('a service that has lost the workflows', async (t) => {
        for (const { uuid } of await service.get<Stored[]>('/workflows')) {
            await fetch(`${service.url}/workflows/${uuid}`, { method: 'DELETE' });
        }
        t.same(await refusal(engine.start(importJob(randomUUID()), signal)), DOWN);
        await eventually('the workflows', 10_000, () => engine.problem === undefined);
        t.ok((await engine.start(importJob(randomUUID()), signal)).uuid);
    });

    void t.test('lists', async (t) => {
        const [base, image] = [randomUUID(), randomUUID()];
        const source = 'https://user:secret@source/a?channel=x';
        const { uuid } = await engine.start(
            importJob(image, { origins: [base], source, account: OTHER }),
            signal,
        );
        const vm = { ...importJob(base), task: 'create-from-vm', target: '/create-from-vm-x' } as const;
        const fromVm = { ...vm, params: { image_uuid: base, owner_uuid: OTHER, vm_uuid: ACCOUNT } };
        const { uuid: second } = await engine.start(fromVm, signal);
        const page = { offset: 0, limit: 1000 };
        const uuids = async (filter: object, part = page): Promise<readonly string[]> =>
            (await engine.list(filter, part, signal)).jobs.map((job) => job.uuid);
        t.same(await uuids({ image_uuid: image }), [uuid]);
        t.same(await uuids({ account: OTHER }), [second, uuid]);
        t.same(await uuids({ account: OTHER }, { offset: 1, limit: 1 }), [uuid]);
        t.same(await uuids({ account: OTHER, task: 'create-from-vm' }), [second]);
        t.same(await uuids({ vm_uuid: ACCOUNT }), [second]);
        t.same(await uuids({ task: 'unknown' }), []);
        const all = await engine.list({}, page, signal);
        t.equal(all.total, all.jobs.length);
        t.equal((await engine.list({}, { offset: 1, limit: 2 }, signal)).total, all.total);
        t.same(
            await uuids({}, { offset: 1, limit: 2 }),
            all.jobs.slice(1, 3).map((job) => job.uuid),
        );
        t.equal((await uuids({ task: 'import-remote-image' }, { offset: 0, limit: 1 })).length, 1);
        t.match(await relayed(engine.list({ execution: 'gone' }, page, signal)), {
            status: 409,
            body: {
                code: 'ConflictError',
                message: 'Execution must be one of queued, failed, succeeded, canceled or running',
            },
        });
        t.equal((await engine.newest(base, signal))?.uuid, second);
        t.same(
            (await engine.active(base, signal, true)).map((job) => job.uuid),
            [second, uuid],
        );
        const view = await engine.find(uuid, signal);
        t.equal(
            view?.document.params?.['source'],
            'https://source/a?channel=x',
            "the password is nobody's business",
        );
    });

    void t.test('a cancel', async (t) => {
        const { uuid } = await engine.start(importJob(randomUUID()), signal);
        t.match(await engine.cancel(uuid, signal), { uuid, execution: 'canceled' });
        t.match((await engine.find(uuid, signal))?.progress, { error: { code: 'Canceled' } });
        t.match(await refusal(engine.cancel(randomUUID(), signal)), {
            status: 404,
            code: 'ResourceNotFound',
        });
    });

    void t.test("others' jobs are not to be seen", async (t) => {
        const headers = { 'content-type': 'application/json' };
        const [{ uuid: workflow } = { uuid: '' }] = await service.get<Stored[]>('/workflows');
        const body = JSON.stringify({ workflow, image_uuid: OTHER, password: 'secret' });
        const answer = await fetch(`${service.url}/jobs`, { method: 'POST', body, headers });
        const { uuid } = (await answer.json()) as { uuid: string };
        t.equal(await engine.find(uuid, signal), undefined);
        t.same((await engine.list({ image_uuid: OTHER }, { offset: 0, limit: 10 }, signal)).jobs, []);
        t.match(await refusal(engine.cancel(uuid, signal)), { status: 404 });
    });
    t.end();
});
