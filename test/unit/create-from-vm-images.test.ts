// What CreateImageFromVm does to images beside its job (jobs-and-imports 1.2 #22, 1.7, 1.8).
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { serviceUnavailable } from '#lib/base/errors.js';
import { createFromVm } from '#lib/jobs/from-vm/create-from-vm.js';
import { deleteImageUnlessMade } from '#lib/jobs/from-vm/delete-from-node.js';
import { createFromVmKind } from '#lib/jobs/from-vm/job-kind.js';
import type { JobRun } from '#lib/jobs/job-kind.js';
import type { JobServices } from '#lib/jobs/services.js';
import type { RawImage } from '#lib/manifest/types.js';
import { JobEngineDouble } from '../doubles/job-engine-double.js';
import { PROTO, PROTOS } from '../helpers/from-vm.js';
import { makeBench, refusal, refused, type Bench, type BenchOptions } from '../helpers/image-bench.js';
import { gzipFile, rawRecord, USERS } from '../helpers/images.js';

const UUID = '30000000-0000-4000-8000-000000000001';
const VM = '30000000-0000-4000-8000-000000000002';
const NODE_TOOL = 'imgadm/3.8.0 (node/0.10)';

interface Place {
    readonly bench: Bench;
    readonly local: JobEngineDouble;
    readonly engine: JobEngineDouble;
    readonly services: JobServices;
    /** Plants an image with a file. */
    readonly plant: (more?: Readonly<Record<string, unknown>>) => Promise<void>;
    readonly remove: (userAgent?: string, account?: string) => Promise<void>;
}

async function makePlace(t: Test, options: BenchOptions = {}): Promise<Place> {
    const bench = await makeBench(t, { ...options, config: { mode: 'dc', ...options.config } });
    const local = new JobEngineDouble();
    const engine = new JobEngineDouble('wfapi', 'http://wfapi');
    const { services: images } = bench;
    const services = { config: images.config, images, engine, local } as Partial<JobServices> as JobServices;
    return {
        bench,
        local,
        engine,
        services,
        plant: async (more = {}) => {
            const file = gzipFile('a');
            const fixture = { uuid: UUID, name: 'made', owner: USERS.luke, file };
            await bench.plant({ ...rawRecord(fixture), ...more });
            await bench.plantFile(UUID, 'file0', file);
        },
        remove: (userAgent = NODE_TOOL, account) => {
            const caller = account === undefined ? { userAgent } : { userAgent, account };
            return deleteImageUnlessMade(services, bench.context(caller), UUID, false);
        },
    };
}

function makingJob(more: Readonly<Record<string, unknown>> = {}) {
    const manifest = { uuid: UUID, name: 'custom', version: '1', owner: USERS.luke };
    return {
        uuid: randomUUID(),
        execution: 'running',
        imageUuid: UUID,
        task: 'create-from-vm',
        params: { manifest },
        ...more,
    };
}

void t.test('an image comes back as its placeholder', async (t) => {
    for (const which of ['local', 'engine'] as const) {
        const { bench, [which]: engine, plant, remove } = await makePlace(t);
        await plant({ tags: ['a=b'], tagsObj: { a: 'b' } });
        engine.set(makingJob());
        await remove();
        const raw = await bench.raw(UUID);
        t.match(raw, { state: 'creating', type: 'null', os: 'null', name: 'custom', version: '1' }, which);
        t.equal(raw.expires_at, '2026-01-09T03:04:05.006Z', 'seven days from now');
        t.equal(raw.tagsObj, undefined);
        t.strictSame(await bench.files(), [], 'without its file');
        t.equal(await bench.pendingDeletes(), 0);
        await remove();
        t.strictSame(await bench.raw(UUID), raw, 'and stays so');
    }
});

void t.test('images that are deleted', async (t) => {
    const rows: readonly (readonly [
        name: string,
        job: ReturnType<typeof makingJob> | undefined,
        agent?: string,
        account?: string,
    ])[] = [
        ['without a job', undefined],
        ['of a job that has ended', makingJob({ execution: 'failed' })],
        ['of a job that copies', makingJob({ task: 'import-remote-image' })],
        ['of a job that says nothing', makingJob({ params: {} })],
        ['by somebody else', makingJob(), 'curl/8'],
        ['by a tool of the datacenter', makingJob(), 'sdc-imgadm/1'],
        ['for an account', makingJob(), NODE_TOOL, USERS.luke],
    ];
    for (const [name, job, agent, account] of rows) {
        const { bench, engine, plant, remove } = await makePlace(t);
        await plant();
        if (job !== undefined) engine.set(job);
        await remove(agent, account);
        t.equal(await bench.exists(UUID), false, name);
    }
    const { bench, engine, plant, remove } = await makePlace(t);
    await plant();
    engine.set(makingJob());
    engine.failure = serviceUnavailable('Workflow API is down.');
    await remove();
    t.equal(await bench.exists(UUID), false, 'nobody can tell of jobs');
});

void t.test('an image others are based on stays', async (t) => {
    const { bench, engine, plant, remove } = await makePlace(t);
    await plant();
    await bench.plant(rawRecord({ uuid: VM, name: 'child', owner: USERS.luke, more: { origin: UUID } }));
    engine.set(makingJob());
    t.match(await refusal(remove()), { code: 'ImageHasDependentImages' });
    t.equal((await bench.raw(UUID)).state, 'unactivated');
    t.equal((await bench.files()).length, 1);
});

/** A request for an image that passes all checks. */
async function ask({ bench, services }: Place, signal?: AbortSignal): Promise<unknown> {
    for (const fixture of PROTOS.slice(0, 1)) await bench.plant(rawRecord(fixture));
    const images = {
        ...services.images,
        instances: {
            instance: async () => ({
                uuid: VM,
                imageUuid: PROTO.smartos,
                diskImages: [],
                isDocker: false,
                serverUuid: VM,
            }),
        },
        computeNodes: { node: async () => ({ sdcVersion: '8.0' }) },
    };
    return createFromVm(
        { ...services, images } as unknown as JobServices,
        bench.context(signal && { signal }),
        {
            vmUuid: VM,
            incremental: () => false,
            maxOriginDepth: undefined,
            body: { name: 'custom', version: '1', owner: USERS.luke, uuid: UUID },
        },
    );
}

const CONFIG: BenchOptions = {
    accounts: [USERS.luke],
    config: { allowLocalCreateImageFromVm: true, minImageCreationPlatform: ['7.0', '20130917T001310Z'] },
};

void t.test('no job, no placeholder', async (t) => {
    const full = serviceUnavailable('job queue is full');
    const place = await makePlace(t, CONFIG);
    let before: RawImage | undefined;
    place.engine.start = async () => {
        before = await place.bench.raw(UUID);
        throw full;
    };
    t.strictSame(await refusal(ask(place)), refused(503, 'ServiceUnavailableError', 'job queue is full'));
    t.equal(before?.state, 'creating', 'it was there before the job');
    t.equal(await place.bench.exists(UUID), false);
});

void t.test('a client that leaves while the job is accepted', async (t) => {
    const gone = new AbortController();
    const place = await makePlace(t, CONFIG);
    place.engine.start = async (...[, signal]: readonly unknown[]) => {
        gone.abort();
        t.equal((signal as AbortSignal).aborted, false);
        return { uuid: 'a job', attached: false };
    };
    t.strictSame(await ask(place, gone.signal), { imageUuid: UUID, jobUuid: 'a job' });
    t.equal((await place.bench.raw(UUID)).state, 'creating');
});

/** What a step of the clean-up sees. */
function runOf({ bench }: Place, signal: AbortSignal, memory: JobRun['memory'] = {}): JobRun {
    const params = { image_uuid: UUID, req_id: 'id' };
    return { params, memory, signal, log: bench.context().log } as Partial<JobRun> as JobRun;
}

const END = {
    execution: 'failed',
    error: { name: 'TaskTimeoutError', message: 'task timeout error' },
} as const;

void t.test('what is recorded of a failure', async (t) => {
    let outages = 0;
    const place = await makePlace(t, {
        wrapDatabase: (database) =>
            new Proxy(database, {
                get: (target, key) => {
                    if (key === 'update' && outages > 0) {
                        outages -= 1;
                        return () => Promise.reject(serviceUnavailable('service unavailable'));
                    }
                    const value: unknown = Reflect.get(target, key);
                    return typeof value === 'function' ? (value.bind(target) as unknown) : value;
                },
            }),
    });
    const [update] = createFromVmKind(place.bench.services).onError;
    const { signal } = new AbortController();
    await place.plant({ state: 'creating', type: 'null', os: 'null', files: undefined });
    outages = 1;
    await update?.run(runOf(place, signal), END);
    const { state, error } = await place.bench.raw(UUID);
    t.equal(outages, 0, 'tried again');
    t.strictSame(
        [state, error],
        ['failed', { message: 'TaskTimeoutError: task timeout error', code: 'InternalError' }],
    );
    await update?.run(
        runOf(place, signal, { error: { message: 'm', code: 'NotSupported', stack: 's' } }),
        END,
    );
    t.strictSame((await place.bench.raw(UUID)).error, { message: 'm', code: 'NotSupported', stack: 's' });
});

void t.test('an image that is there after all', async (t) => {
    const place = await makePlace(t);
    await place.plant({ activated: true, state: 'active', published_at: '2020-01-01T00:00:00.000Z' });
    const { onError, onCancel } = createFromVmKind(place.bench.services);
    const { signal } = new AbortController();
    for (const step of [onError[0], onCancel[0]]) {
        t.match(await refusal(async () => step?.run(runOf(place, signal), END)), {
            code: 'ImageAlreadyActivated',
        });
        t.equal((await place.bench.raw(UUID)).state, 'active');
    }
});
