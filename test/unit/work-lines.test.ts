// Lines of work under way: order, keys, the end of either side.
import { WorkLines, type Say } from '#lib/base/work-lines.js';
import t from 'tap';

interface Line {
    readonly n: number;
}

/** Work that tells what the test says, and ends when the test wants. */
class Work {
    say: Say<Line> = () => undefined;
    end: (error?: Error) => void = () => undefined;
    signal: AbortSignal | undefined;
    /** What it does when told to stop, e.g. undo something. */
    onStop: () => Promise<void> = () => Promise.resolve();

    run(say: Say<Line>, signal: AbortSignal): Promise<void> {
        this.say = say;
        this.signal = signal;
        return new Promise((resolve, reject) => {
            this.end = (error) => (error === undefined ? resolve() : reject(error));
            signal.addEventListener(
                'abort',
                () => void this.onStop().then(() => reject(new Error('stopped'))),
            );
        });
    }
}

function begin(): { work: Work; lines: WorkLines<Line>; outer: AbortController } {
    const work = new Work();
    const outer = new AbortController();
    const lines = new WorkLines<Line>((say, signal) => work.run(say, signal), outer.signal);
    return { work, lines, outer };
}

void t.test('lines come in the order they were told, then the end', async (t) => {
    const { work, lines } = begin();
    const early = lines.next();
    work.say({ n: 1 });
    work.say({ n: 2 });
    t.strictSame(await early, { done: false, value: { n: 1 } });
    work.end();
    const rest: number[] = [];
    for await (const { n } of lines) rest.push(n);
    t.strictSame(rest, [2]);
    t.strictSame(await lines.next(), { done: true, value: undefined });
});

void t.test('a line with a key takes the place of an unread one with the same key', async (t) => {
    const { work, lines } = begin();
    work.say({ n: 1 }, 'a');
    work.say({ n: 2 }, 'b');
    work.say({ n: 3 }, 'a');
    work.say({ n: 4 });
    t.strictSame((await lines.next()).value, { n: 3 });
    work.say({ n: 5 }, 'a');
    work.end();
    const rest: number[] = [];
    for await (const { n } of lines) rest.push(n);
    t.strictSame(rest, [2, 4, 5], 'what was read is not taken back');
});

void t.test('what the work throws comes behind its last line, once', async (t) => {
    const { work, lines } = begin();
    work.say({ n: 1 });
    work.end(new Error('no more'));
    t.strictSame((await lines.next()).value, { n: 1 });
    await t.rejects(lines.next(), { message: 'no more' });
    t.equal((await lines.next()).done, true);
});

void t.test('a reader that leaves stops the work, and waits until it has stopped', async (t) => {
    const { work, lines } = begin();
    let undone = (): void => undefined;
    let isBack = false;
    work.onStop = () => new Promise((resolve) => (undone = resolve));
    work.say({ n: 1 });
    const left = lines.return().then((result) => {
        isBack = true;
        return result;
    });
    t.equal(work.signal?.aborted, true);
    await Promise.resolve();
    t.equal(isBack, false);
    undone();
    t.strictSame(await left, { done: true, value: undefined });
    t.equal((await lines.next()).done, true, 'nothing is left to read');
});

void t.test('the signal from outside stops the work', async (t) => {
    const { work, lines, outer } = begin();
    outer.abort(new Error('the server stops'));
    t.match(work.signal?.reason, { message: 'the server stops' });
    await t.rejects(lines.next(), { message: 'stopped' });
});

void t.test('work that throws at once is work that failed', async (t) => {
    const lines = new WorkLines<Line>(
        () => Promise.reject(new Error('at once')),
        new AbortController().signal,
    );
    await t.rejects(lines.next(), { message: 'at once' });
});
