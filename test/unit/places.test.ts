import fc from 'fast-check';
import t from 'tap';
import { Places } from '#lib/base/places.js';

interface Gate {
    readonly promise: Promise<void>;
    readonly open: () => void;
}

function gate(): Gate {
    let open: () => void = () => undefined;
    const promise = new Promise<void>((resolve) => (open = resolve));
    return { promise, open };
}

void t.test('so many at a time, in the order they came', async (t) => {
    const places = new Places(2);
    const gates = [gate(), gate(), gate(), gate()];
    const begun: number[] = [];
    const runs = gates.map(({ promise }, index) =>
        places.run(() => {
            begun.push(index);
            return promise;
        }),
    );
    t.same(begun, [0, 1]);
    gates[1]?.open();
    await runs[1];
    await new Promise(setImmediate);
    t.same(begun, [0, 1, 2]);
    gates.forEach(({ open }) => open());
    await Promise.all(runs);
    t.same(begun, [0, 1, 2, 3]);
});

void t.test('who gives up waiting takes no place', async (t) => {
    const places = new Places(1);
    const first = gate();
    const running = places.run(() => first.promise);
    const stop = new AbortController();
    const reason = new Error('gone');
    const given = places.run(() => Promise.reject(new Error('it must not run')), stop.signal);
    const last = places.run(() => Promise.resolve('ran'));
    stop.abort(reason);
    await t.rejects(given, reason);
    first.open();
    await running;
    t.equal(await last, 'ran');
    await t.rejects(
        places.run(() => Promise.resolve(), stop.signal),
        reason,
    );
    t.equal(await places.run(() => Promise.resolve('free'), new AbortController().signal), 'free');
});

void t.test('whatever fails or gives up, never too many run and all end', async (t) => {
    const plans = fc.array(fc.constantFrom('ends', 'fails', 'gives up'), { minLength: 1, maxLength: 30 });
    await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 4 }), plans, async (limit, plan) => {
            const places = new Places(limit);
            let running = 0;
            const results = plan.map((way) => {
                const stop = new AbortController();
                const result = places.run(async () => {
                    running += 1;
                    t.ok(running <= limit);
                    await Promise.resolve();
                    running -= 1;
                    if (way === 'fails') throw new Error('failed');
                }, stop.signal);
                if (way === 'gives up') stop.abort(new Error('gone'));
                return result;
            });
            await Promise.allSettled(results);
            t.equal(await places.run(() => Promise.resolve(running)), 0);
        }),
        { numRuns: 100 },
    );
});
