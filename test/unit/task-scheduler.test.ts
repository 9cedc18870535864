import t from 'tap';
import { untilAborted } from '#lib/base/until-aborted.js';
import { TaskScheduler } from '#lib/maintenance/tasks.js';
import { recordingLog } from '../helpers/recording-log.js';

void t.test('tasks run on their timers, one run at a time, until they are stopped', async (t) => {
    const { log, records } = recordingLog();
    let runs = 0;
    let running = 0;
    let overlap = false;
    let finish: () => void = () => undefined;
    const thrice = new Promise<void>((resolve) => (finish = resolve));
    let signal: AbortSignal | undefined;
    let longStarted: () => void = () => undefined;
    const started = new Promise<void>((resolve) => (longStarted = resolve));
    let longEnded = false;
    const tasks = new TaskScheduler({
        log,
        tasks: [
            {
                name: 'failing',
                firstAfterMs: 0,
                everyMs: 1,
                run: async () => {
                    overlap ||= running > 0;
                    running += 1;
                    runs += 1;
                    await new Promise((resolve) => setImmediate(resolve));
                    running -= 1;
                    if (runs === 3) {
                        finish();
                    }
                    throw new Error('does not matter');
                },
            },
            {
                name: 'long',
                firstAfterMs: 0,
                everyMs: 1,
                run: async (given) => {
                    signal = given;
                    longStarted();
                    await new Promise((resolve) => given.addEventListener('abort', resolve));
                    await new Promise((resolve) => setImmediate(resolve));
                    longEnded = true;
                },
            },
            { name: 'never', firstAfterMs: 1e12, everyMs: 1, run: async () => t.fail('too early') },
        ],
    });
    tasks.start();
    // The timers do not keep the process alive, so something else has to.
    const alive = setInterval(() => undefined, 1000);
    await Promise.all([thrice, started]);
    t.notOk(signal?.aborted);
    await tasks.stop();
    clearInterval(alive);
    t.ok(signal?.aborted);
    t.ok(longEnded, 'stop waits for what is running');
    t.notOk(overlap);
    t.match(
        records.find(({ level }) => level === 50),
        { msg: 'background task failed', task: 'failing' },
    );
    const before = runs;
    tasks.start();
    await new Promise((resolve) => setTimeout(resolve, 10));
    t.equal(runs, before, 'stopped for good');
});

void t.test('a task can be run at once; who asks before the run begins shares it', async (t) => {
    const { log, records } = recordingLog();
    const runs: ((outcome: unknown) => void)[] = [];
    const tasks = new TaskScheduler({
        log,
        tasks: [
            {
                name: 'asked for',
                firstAfterMs: 1e12,
                everyMs: 1e12,
                run: () =>
                    new Promise((resolve, reject) => {
                        runs.push((outcome) =>
                            outcome instanceof Error ? reject(outcome) : resolve(outcome),
                        );
                    }),
            },
        ],
    });
    const ask = async () => tasks.now('asked for');
    t.equal(tasks.now('another'), undefined);
    tasks.start();
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const first = [ask(), ask()];
    await turn();
    t.equal(runs.length, 1);
    const second = [ask(), ask()];
    await turn();
    t.equal(runs.length, 1, 'never twice at a time');
    runs[0]?.(undefined);
    t.same(await Promise.all(first), [true, true]);
    await turn();
    t.equal(runs.length, 2, 'once more for those who came meanwhile');
    runs[1]?.(false);
    t.same(await Promise.all(second), [false, false], 'it says itself that it failed');
    t.equal(records.length, 0);
    const failing = ask();
    await turn();
    runs[2]?.(new Error('broken'));
    t.equal(await failing, false);
    t.match(records, [{ task: 'asked for', err: { message: 'broken' } }]);
    const running = ask();
    await turn();
    const tooLate = ask();
    const stopped = tasks.stop();
    runs[3]?.(undefined);
    await stopped;
    t.same(await Promise.all([running, tooLate]), [true, false]);
    t.equal(runs.length, 4, 'nothing begins after the end');
});

void t.test('a task that failed may be tried again sooner', async (t) => {
    const { log } = recordingLog();
    let runs = 0;
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const tasks = new TaskScheduler({
        log,
        tasks: [
            {
                name: 'sometimes',
                firstAfterMs: 0,
                everyMs: 1e12,
                retryMs: 1,
                run: async () => {
                    runs += 1;
                    if (runs === 1) throw new Error('first');
                    if (runs === 2) return false;
                    finish();
                    return true;
                },
            },
        ],
    });
    const alive = setInterval(() => undefined, 1000);
    tasks.start();
    await finished;
    clearInterval(alive);
    await tasks.stop();
    t.equal(runs, 3);
});

void t.test('a wait ends when it is told to', async (t) => {
    const stop = new AbortController();
    t.equal(await untilAborted(stop.signal, Promise.resolve(1)), 1);
    await t.rejects(untilAborted(stop.signal, Promise.reject(new Error('own'))), { message: 'own' });
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise((_resolve, reject) => (fail = reject));
    const wait = untilAborted(stop.signal, work);
    stop.abort(new Error('stop'));
    await t.rejects(wait, { message: 'stop' });
    fail(new Error('nobody hears it'));
    await t.rejects(untilAborted(stop.signal, new Promise(() => undefined)), { message: 'stop' });
});
