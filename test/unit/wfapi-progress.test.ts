import { randomUUID } from 'node:crypto';
import t from 'tap';
import type { JsonObject } from '#lib/manifest/types.js';
import { JobProgresses } from '#lib/jobs/wfapi/job-progress.js';
import type { ServiceJob } from '#lib/remotes/workflow-service.js';
import { makeBench } from '../helpers/image-bench.js';
import { USERS } from '../helpers/images.js';

const BASE = '10000000-0000-4000-8000-000000000001';
const IMAGE = '10000000-0000-4000-8000-000000000002';
const STEPS = ['origin_import_images', 'import_image', 'add_image_file', 'activate_image'];

function job(execution: string, results: readonly JsonObject[], more: JsonObject = {}): ServiceJob {
    return {
        uuid: randomUUID(),
        execution,
        params: { task: 'import-remote-image', image_uuid: IMAGE, origins: [BASE] },
        chain: STEPS.map((name) => ({ name })),
        chain_results: [...results],
        started: Date.parse('2026-01-02T03:04:00Z'),
        ...more,
    };
}

const NUMBERS = ['step', 'current_image', 'images_done', 'bytes_done', 'bytes_total', 'attempt'] as const;

void t.test('what a process knows of the jobs of a workflow service', async (t) => {
    const bench = await makeBench(t);
    const { transfers } = bench.services;
    const progresses = new JobProgresses({ images: bench.services, clock: bench.services.clock });
    const numbers = async (of: ServiceJob): Promise<readonly unknown[]> => {
        const { progress } = await progresses.view(of);
        return NUMBERS.map((key) => progress[key]);
    };
    const plant = async (uuid: string, size: number, state = 'active'): Promise<void> => {
        const files = [{ sha1: 'a'.repeat(40), size, compression: 'none', stor: 'local' }];
        await bench.plant({
            v: 2,
            uuid,
            owner: USERS.vader,
            name: 'x',
            version: '1',
            type: 'zone-dataset',
            os: 'smartos',
            state,
            activated: true,
            disabled: state === 'disabled',
            public: false,
            files,
            published_at: '2026-01-01T00:00:00Z',
        });
    };

    const queued = job('queued', []);
    t.same(await numbers(queued), [null, null, 0, 0, -1, 1]);
    const running = { ...queued, execution: 'running' };
    t.same(await numbers(running), [STEPS[0], BASE, 0, -1, -1, 1], 'another process transfers, or none yet');

    progresses.expect(queued.uuid, { [BASE]: 100, [IMAGE]: 50 });
    const base = transfers.begin(BASE, 100, 0);
    t.same(await numbers(running), [STEPS[0], BASE, 0, 0, 150, 1]);
    bench.clock.time += 2000;
    base.received(40);
    const { progress } = await progresses.view(running);
    t.match(progress, {
        bytes_done: 40,
        image_bytes_done: 40,
        image_bytes_total: 100,
        images_total: 2,
        rate: 13,
        eta: 9,
        started_at: '2026-01-02T03:04:00.000Z',
        updated_at: new Date(bench.clock.time).toISOString(),
        error: null,
    });
    bench.clock.time += 1000;
    t.equal((await progresses.view(running)).progress.updated_at, new Date(bench.clock.time).toISOString());
    base.startedOver();
    t.same(await numbers(running), [STEPS[0], BASE, 0, 0, 150, 2]);
    base.received(100);
    base.end();
    await plant(BASE, 100, 'disabled');
    const origins = { result: 'Image origins have been imported', error: '' };
    const second = { ...running, chain_results: [origins] };
    t.same(await numbers(second), [STEPS[1], IMAGE, 1, 100, 150, 2]);
    const image = transfers.begin(IMAGE, 50, 0);
    image.received(20);
    const third = { ...running, chain_results: [origins, origins] };
    t.same(await numbers(third), [STEPS[2], IMAGE, 1, 120, 150, 2]);
    image.end();
    await plant(IMAGE, 50);
    const succeeded = {
        ...running,
        execution: 'succeeded',
        chain_results: [origins, origins, origins, origins],
    };
    t.same(await numbers(succeeded), [null, null, 2, 150, 150, 2]);
    t.same((await progresses.view(succeeded)).finished, [
        { image_uuid: BASE, state: 'disabled' },
        { image_uuid: IMAGE, state: 'active' },
    ]);
});

void t.test('why a job has ended', async (t) => {
    const { services } = await makeBench(t);
    const progresses = new JobProgresses({ images: services, clock: services.clock });
    const errorOf = async (execution: string, error: JsonObject | string): Promise<unknown> =>
        (await progresses.view(job(execution, [{ name: 'x', error }]))).progress.error;
    const timeout = 'task timeout error';
    t.same(await errorOf('failed', timeout), { code: 'InternalError', message: timeout });
    t.same(await errorOf('failed', { name: 'E', message: 'm', restCode: 'R' }), { code: 'R', message: 'm' });
    t.same(await errorOf('failed', { name: 'E', message: 'm' }), { code: 'E', message: 'm' });
    t.same(await errorOf('failed', ''), { code: 'InternalError', message: 'the job failed' });
    t.same(await errorOf('canceled', ''), { code: 'Canceled', message: 'canceled' });
    t.same(await errorOf('succeeded', ''), null);
});
