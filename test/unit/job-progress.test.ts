// The numbers of a job (jobs-and-imports 8.3).
import fc from 'fast-check';
import t from 'tap';
import { JobMeter, noProgress, progressError, type KeptNumbers } from '#lib/jobs/embedded/progress.js';
import type { JobProgress } from '#lib/jobs/job.js';

const START = Date.parse('2026-01-01T00:00:00.000Z');

function meterOf(left: { progress?: JobProgress; numbers?: KeptNumbers } = {}) {
    const clock = { time: START, now: () => clock.time };
    let changes = 0;
    const meter = new JobMeter({
        clock,
        progress: left.progress ?? noProgress(new Date(START).toISOString()),
        numbers: left.numbers ?? { ended: {}, parts: {} },
        onChange: () => (changes += 1),
    });
    return { meter, clock, changes: () => changes };
}

void t.test('from the first byte to the last', async (t) => {
    const { meter, clock, changes } = meterOf();
    t.same(meter.numbers, noProgress('2026-01-01T00:00:00.000Z'));
    meter.at('copy');
    meter.plan(2, 3000);
    meter.beginImage('a', 1000);
    t.match(meter.numbers, {
        step: 'copy',
        current_image: 'a',
        images_done: 0,
        images_total: 2,
        bytes_done: 0,
        bytes_total: 3000,
        image_bytes_done: 0,
        image_bytes_total: 1000,
        rate: 0,
        eta: null,
        started_at: '2026-01-01T00:00:00.000Z',
    });
    meter.received(300);
    clock.time += 1000;
    meter.received(300);
    t.match(meter.numbers, { bytes_done: 600, image_bytes_done: 600, rate: 300, eta: 8 });
    t.equal(meter.numbers.updated_at, '2026-01-01T00:00:01.000Z');
    clock.time += 9000;
    t.match(meter.numbers, { rate: 30 }, 'the first second is ten seconds old');
    clock.time += 1000;
    t.match(meter.numbers, { rate: 0, eta: null }, 'nothing in the last ten seconds');
    meter.endImage(1000);
    t.match(meter.numbers, { images_done: 1, bytes_done: 1000, image_bytes_done: 0, current_image: null });
    meter.beginImage('b', 2000);
    meter.received(500);
    meter.startedOver();
    t.match(meter.numbers, { bytes_done: 1000, attempt: 2 });
    meter.resumedAt(1500);
    t.match(meter.numbers, { bytes_done: 2500, resumed_from: 1500, attempt: 2 });
    meter.endImage(2000);
    meter.at(null);
    t.match(meter.numbers, { images_done: 2, bytes_done: 3000, step: null, rate: 0, eta: null });
    t.equal(changes(), 12);
});

void t.test('a clock that is set back, and totals that are not known', async (t) => {
    const { meter, clock } = meterOf();
    meter.at('copy');
    meter.plan(1, -1);
    meter.beginImage('a', -1);
    meter.received(100);
    t.match(meter.numbers, { bytes_total: -1, rate: 100, eta: null });
    clock.time -= 60_000;
    t.match(meter.numbers, { rate: 0, bytes_done: 100 });
    meter.received(10);
    t.match(meter.numbers, { rate: 10, bytes_done: 110 });
    meter.plan(1, 50);
    t.match(meter.numbers, { bytes_total: 110, eta: 0 }, 'more came than was said');
});

void t.test('a later process goes on counting', async (t) => {
    const { meter } = meterOf();
    meter.at('copy');
    meter.plan(2, 300);
    meter.beginImage('a', 100);
    meter.received(100);
    meter.endImage(100);
    meter.beginImage('b', 200);
    meter.received(80);
    const left = { progress: meter.numbers, numbers: meter.kept };
    const again = (): JobMeter => {
        const { meter: next } = meterOf(JSON.parse(JSON.stringify(left)) as typeof left);
        t.match(next.numbers, { bytes_done: 180, images_done: 1, step: null });
        next.plan(2, 300);
        // The origin is looked at again, and is there.
        next.beginImage('a', 100);
        next.resumedAt(100);
        next.endImage(100);
        next.beginImage('b', 200);
        t.match(next.numbers, { bytes_done: 180, image_bytes_done: 80, images_done: 1, attempt: 1 });
        return next;
    };
    const longer = again();
    longer.resumedAt(90);
    longer.received(10);
    t.match(longer.numbers, { bytes_done: 200, image_bytes_done: 100, resumed_from: 90, attempt: 1 });
    const shorter = again();
    shorter.resumedAt(10);
    t.match(shorter.numbers, { bytes_done: 110, attempt: 2 });
    const fromZero = again();
    fromZero.received(5);
    t.match(fromZero.numbers, { bytes_done: 105, attempt: 2, resumed_from: 0 });
});

void t.test('whatever happens, bytes get fewer only with a new attempt', (t) => {
    const event = fc.oneof(
        fc.record({ kind: fc.constant('begin' as const), image: fc.constantFrom('a', 'b', 'c') }),
        fc.record({ kind: fc.constant('received' as const), bytes: fc.nat(1000) }),
        fc.record({ kind: fc.constant('resumed' as const), bytes: fc.nat(5000) }),
        fc.record({ kind: fc.constantFrom('over' as const, 'restart' as const) }),
    );
    fc.assert(
        fc.property(fc.array(event, { maxLength: 60 }), (events) => {
            let { meter } = meterOf();
            meter.plan(3, 20_000);
            let before = meter.numbers;
            for (const one of events) {
                if (one.kind === 'begin') meter.beginImage(one.image, 5000);
                if (one.kind === 'received') meter.received(one.bytes);
                if (one.kind === 'resumed') meter.resumedAt(one.bytes);
                if (one.kind === 'over') meter.startedOver();
                if (one.kind === 'restart') {
                    ({ meter } = meterOf({ progress: meter.numbers, numbers: meter.kept }));
                }
                const now = meter.numbers;
                if (now.bytes_done < before.bytes_done && now.attempt <= before.attempt) {
                    throw new Error(`${one.kind}: ${before.bytes_done} to ${now.bytes_done}`);
                }
                before = now;
            }
        }),
    );
    t.end();
});

void t.test('errors', async (t) => {
    t.same(progressError({ name: 'Error', message: 'x' }), { code: 'InternalError', message: 'x' });
    t.same(progressError({ name: 'TaskTimeoutError', message: 'x' }), {
        code: 'TaskTimeoutError',
        message: 'x',
    });
    t.same(progressError({ name: 'N', restCode: 'R', message: 'x' }), { code: 'R', message: 'x' });
    const { meter } = meterOf();
    meter.failed({ name: 'N', code: 'C', message: 'x' });
    t.same(meter.numbers.error, { code: 'C', message: 'x' });
});
