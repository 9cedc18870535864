import { EventEmitter } from 'node:events';
import { mock } from 'node:test';
import t from 'tap';
import { progressText, showProgress } from '#lib/cli/imgapiadm/progress.js';
import { bytesText, countText, durationText } from '#lib/base/quantities.js';
import { Terminal } from '#lib/cli/imgapiadm/terminal.js';
import { eventually } from '../helpers/server-process.js';

const UUID = 'c58161c0-2547-11e2-a75e-9fdca1940570';

void t.test('quantities', (t) => {
    t.same([0, 1023, 1024, 1536, 1024 ** 2 - 1, 20 * 1024 ** 3].map(bytesText), [
        '0 B',
        '1023 B',
        '1.0 KiB',
        '1.5 KiB',
        '1.0 MiB',
        '20.0 GiB',
    ]);
    t.same([0, 59_400, 60_000, 192_000, 3_600_000, 7_260_000].map(durationText), [
        '0s',
        '59s',
        '1m00s',
        '3m12s',
        '1h00m',
        '2h01m',
    ]);
    t.same(
        [0, 1, 2].map((count) => countText(count, 'image')),
        ['0 images', '1 image', '2 images'],
    );
    t.end();
});

const GIB = 1024 ** 3;
const PROGRESS = {
    images: 3,
    allImages: 12,
    bytes: GIB,
    allBytes: 4 * GIB,
    elapsedMs: 16_000,
    current: [UUID, 'x', 'y'],
};

void t.test('progress', (t) => {
    const text = progressText(PROGRESS);
    t.equal(text, `3 of 12 images, 1.0 GiB of 4.0 GiB, 64.0 MiB/s, ETA 48s, at ${UUID} +2`);
    const early = { ...PROGRESS, images: 0, bytes: 0, elapsedMs: 0, current: [] };
    t.equal(progressText(early), '0 of 12 images, 0 B of 4.0 GiB', 'no rate of nothing');
    t.end();
});

/** A terminal that is text, and what is on it. */
function fakeScreen(isTTY: boolean, columns: number) {
    const events = new EventEmitter();
    const rows = [''];
    const write = (text: string): boolean => {
        for (const [part] of text.matchAll(/\r\u001b\[K|\n|[^\r\n\u001b]+|./gsu)) {
            if (part === '\n') rows.push('');
            else rows[rows.length - 1] = part === '\r\u001b[K' ? '' : `${rows.at(-1) ?? ''}${part}`;
        }
        return true;
    };
    const screen = Object.assign(events, { isTTY, columns, write });
    const stream = screen as unknown as NodeJS.WriteStream;
    const { stdin } = process;
    const terminal = new Terminal({ stdin, stdout: screen, stderr: stream, name: 'tool', verbose: false });
    return { screen, rows, terminal };
}

void t.test('a bar on a screen', async (t) => {
    const { screen, rows, terminal } = fakeScreen(true, 140);
    let facts = PROGRESS;
    const shows = (row: string): Promise<true> => eventually(row, 10_000, () => rows.at(-1) === row);
    const hide = showProgress(terminal, () => facts);
    t.teardown(hide);
    await shows(`[#####...............] ${progressText(facts)}`);
    terminal.line('a result');
    terminal.note('a word');
    t.same(
        rows,
        ['a result', 'tool: a word', `[#####...............] ${progressText(facts)}`],
        'in one piece',
    );

    screen.columns = 80;
    screen.emit('resize');
    await shows('[###.......] 3/12, 1.0 GiB/4.0 GiB, 64.0 MiB/s, ETA 48s, c58161c0 +2');
    facts = { ...PROGRESS, images: 6, bytes: 0, allBytes: 0, elapsedMs: 0 };
    await shows('[#####.....] 6/12, c58161c0 +2');
    facts = { ...facts, images: 0, allImages: 0, current: [] };
    await shows('[####################] 0 of 0 images');
    hide();
    t.same(rows, ['a result', 'tool: a word', ''], 'and no trace of it');
    t.equal(screen.listenerCount('resize'), 0);
});

void t.test('a line a minute where there is no screen', (t) => {
    const { rows, terminal } = fakeScreen(false, 80);
    mock.timers.enable({ apis: ['setInterval'] });
    t.teardown(() => mock.timers.reset());
    const hide = showProgress(terminal, () => PROGRESS);
    mock.timers.tick(59_999);
    t.same(rows, ['']);
    mock.timers.tick(60_001);
    const line = `tool: ${progressText(PROGRESS)}`;
    t.same(rows, [line, line, '']);
    hide();
    mock.timers.tick(60_000);
    t.equal(rows.length, 3);
    t.end();
});

void t.test('a screen', (t) => {
    let shown = '';
    const screen = { isTTY: true, columns: 20, write: (text: string) => void (shown += text) };
    const terminal = new Terminal({
        stdin: process.stdin,
        stdout: screen,
        stderr: screen as unknown as NodeJS.WriteStream,
        name: 'tool',
        verbose: false,
    });
    const lines = (): string[] => shown.split('\n').map((line) => line.split('\r').at(-1) ?? '');
    terminal.status('1234567890123456789012345');
    t.equal(shown, '\r\u001b[K1234567890123456789', 'never wraps');
    terminal.line('a result');
    terminal.trace('a detail');
    terminal.note('a word \u001b[2J');
    t.same(lines(), ['\u001b[Ka result', '\u001b[Ktool: a word ?[2J', '\u001b[K1234567890123456789']);
    terminal.status('');
    t.equal(lines().at(-1), '\u001b[K');
    t.end();
});
