import t from 'tap';
import { SharedWork } from '#lib/base/shared-work.js';

interface Begun {
    readonly signal: AbortSignal;
    readonly succeed: (result: string) => void;
    readonly fail: (error: Error) => void;
}

/** Work whose ends a test sees to. */
function workOf(): { readonly begun: Begun[]; readonly begin: (signal: AbortSignal) => Promise<string> } {
    const begun: Begun[] = [];
    return {
        begun,
        begin: (signal) =>
            new Promise((succeed, fail) => {
                begun.push({ signal, succeed, fail });
            }),
    };
}

void t.test('who comes while it is done gets the same result', async (t) => {
    const shared = new SharedWork<string>();
    const { begun, begin } = workOf();
    const { signal } = new AbortController();
    const waiting = [shared.join(signal, begin), shared.join(signal, begin)];
    t.equal(begun.length, 1);
    begun[0]?.succeed('first');
    t.same(await Promise.all(waiting), ['first', 'first']);
    const later = [shared.join(signal, begin), shared.join(signal, begin)];
    t.equal(begun.length, 2, 'who comes later begins anew');
    begun[1]?.fail(new Error('broken'));
    for (const one of later) await t.rejects(one, { message: 'broken' });
    const last = shared.join(signal, begin);
    begun[2]?.succeed('third');
    t.equal(await last, 'third', 'a failure is not kept');
});

void t.test('the last one to go ends it', async (t) => {
    const shared = new SharedWork<string>();
    const { begun, begin } = workOf();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = shared.join(one.signal, begin);
    const second = shared.join(two.signal, begin);
    one.abort(new Error('gone'));
    await t.rejects(first, { message: 'gone' });
    t.notOk(begun[0]?.signal.aborted, 'somebody still waits');
    two.abort(new Error('gone, too'));
    await t.rejects(second, { message: 'gone, too' });
    t.ok(begun[0]?.signal.aborted);
    const third = shared.join(new AbortController().signal, begin);
    t.equal(begun.length, 2, 'nobody joins what has been given up');
    begun[0]?.succeed('too late');
    begun[1]?.succeed('in time');
    t.equal(await third, 'in time');
    await t.rejects(shared.join(AbortSignal.abort(new Error('before')), begin), { message: 'before' });
    t.equal(begun.length, 2);
});
