// Several processes of one base directory finish uploads of the same file: one at a time, and what one
// that was killed has left is settled by the next.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { recoverUploads } from '#lib/images/recover-uploads.js';
import { makeBench, onEveryBackend, refusal } from '../helpers/image-bench.js';
import { requireAgreement } from '../helpers/image-faults.js';
import { addFile, FIRST, plantImage } from '../helpers/planted-images.js';
import { secondProcess, uploadJournalOf } from '../helpers/second-process.js';
import { eventually, LIMIT_MS, PROJECT_ROOT } from '../helpers/server-process.js';

const UUID = 'c0ffee00-0000-4000-8000-00000000cafe';
const WAIT_MS = 20_000;
const INTENT = {
    uuid: UUID,
    name: 'file0',
    stor: 'local',
    temporaryName: 'file0.x',
    next: { sha1: 'ab', size: 2, stor: 'local', compression: 'none' },
} as const;

t.setTimeout(LIMIT_MS);

/** Another process with this base directory: `journal` is its journal, `say` prints a line. */
function startProcess(test: Test, base: string, script: string): ChildProcess & { lines: string[] } {
    const text = `
        import { open, unlink } from 'node:fs/promises';
        import { baseDirectories } from '#lib/base/directories.js';
        import { createLogger } from '#lib/base/log.js';
        import { FileUploadJournal } from '#lib/storage/file-upload-journal.js';
        const base = ${JSON.stringify(base)};
        const journal = new FileUploadJournal({
            directories: baseDirectories(base), log: createLogger(), clock: Date, writers: 'all', waitMs: 60_000,
        });
        const say = (line) => process.stdout.write(line + '\\n');
        const told = new Promise((resolve) => process.stdin.once('data', resolve));
        ${script}
        process.exit(0);
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
        cwd: PROJECT_ROOT,
        env: { PATH: process.env['PATH'] },
        stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    test.teardown(() => child.kill('SIGKILL'));
    return Object.assign(child, { lines });
}

const HOLD = `
    const claim = await journal.claim('${UUID}', 'file0');
    await claim.note(${JSON.stringify(INTENT)});
    say('claimed');
    await told;
    await claim.end(true);
`;

/** Another process in the middle of finishing an upload. */
async function startHolder(test: Test, base: string): Promise<ChildProcess> {
    const holder = startProcess(test, base, HOLD);
    await eventually('the claim', WAIT_MS, () => holder.lines.includes('claimed'));
    return holder;
}

void t.test('a file another process works on is waited for', async (t) => {
    const base = t.testdir({});
    const holder = await startHolder(t, base);
    t.same(await uploadJournalOf(base).pending(), [], 'what it is doing is not left behind');
    t.same(await refusal(() => uploadJournalOf(base, 100).claim(UUID, 'file0')), {
        status: 503,
        code: 'ServiceUnavailableError',
        message: 'another upload of file0 is being finished',
    });
    const other = await uploadJournalOf(base, 100).claim(UUID, 'icon');
    await other.end(true);
    const waiting = uploadJournalOf(base).claim(UUID, 'file0');
    holder.stdin?.write('go on\n');
    const claim = await waiting;
    t.equal(claim.left, undefined);
    await claim.end(true);
    t.same(readdirSync(join(base, 'run', 'uploads')), []);
});

void t.test('a claim of a killed process that had done nothing is removed', async (t) => {
    const base = t.testdir({});
    const script = `await journal.claim('${UUID}', 'file0'); say('claimed'); await told;`;
    const holder = startProcess(t, base, script);
    await eventually('the claim', WAIT_MS, () => holder.lines.includes('claimed'));
    const uploads = join(base, 'run', 'uploads');
    t.same(await uploadJournalOf(base).pending(), []);
    t.same(readdirSync(uploads), [`${UUID}.file0.json`], 'it stays while its process lives');
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    t.same(await uploadJournalOf(base).pending(), []);
    t.same(readdirSync(uploads), []);
});

void t.test('what a killed process has left is handed to the next', async (t) => {
    const base = t.testdir({});
    const holder = await startHolder(t, base);
    const waiting = uploadJournalOf(base).claim(UUID, 'file0');
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    const claim = await waiting;
    t.match(claim.left, INTENT);
    t.same(await uploadJournalOf(base).pending(), [], 'this process works on it now');
    await claim.end(false);
    t.match(await uploadJournalOf(base).pending(), [{ intent: INTENT, drop: Function }], 'put aside');
    const again = await uploadJournalOf(base).claim(UUID, 'file0');
    t.equal(again.left, undefined, 'the file is free');
    await again.end(true);
});

void t.test('a start leaves alone what a running process is doing', async (t) => {
    const bench = await makeBench(t, { backend: 'memory' });
    const holder = await startHolder(t, bench.base);
    const directory = join(bench.base, 'run', 'uploads');
    const before = readdirSync(directory);
    await recoverUploads(bench.services, bench.context().log);
    t.same(readdirSync(directory), before);
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    await recoverUploads(bench.services, bench.context().log);
    t.same(readdirSync(directory), []);
    t.match(bench.records.at(-1), { msg: 'interrupted upload settled' });
});

void t.test('one process at a time, also right after one was killed', async (t) => {
    const base = t.testdir({});
    mkdirSync(join(base, 'run'), { recursive: true });
    const holder = await startHolder(t, base);
    const gone = once(holder, 'exit');
    const inside = JSON.stringify(join(base, 'inside'));
    const racers = Array.from({ length: 4 }, () =>
        startProcess(
            t,
            base,
            `
            for (let round = 0; round < 20; round += 1) {
                const claim = await journal.claim('${UUID}', 'file0');
                if (claim.left) say('left');
                // Fails when another one is inside.
                const handle = await open(${inside}, 'wx');
                await handle.close();
                await claim.note(${JSON.stringify(INTENT)});
                await unlink(${inside});
                await claim.end(true);
            }
            say('done');
            `,
        ),
    );
    holder.kill('SIGKILL');
    await gone;
    for (const racer of racers) {
        if (racer.exitCode === null) await once(racer, 'exit');
        t.equal(racer.exitCode, 0);
    }
    const said = racers.flatMap(({ lines }) => lines);
    t.equal(said.filter((line) => line === 'done').length, 4);
    t.equal(said.filter((line) => line === 'left').length, 1, 'one of them got what was left');
    t.same(readdirSync(join(base, 'run', 'uploads')), []);
});

onEveryBackend(t, 'two processes upload one file: the record describes the bytes', async (t, backend) => {
    const bench = await makeBench(t, { backend });
    const second = secondProcess(bench);
    const uuid = await plantImage(bench);
    for (let round = 0; round < 25; round += 1) {
        const bytes = [FIRST, Buffer.from(newUuid()), Buffer.from(newUuid())];
        await Promise.all(bytes.map((one, i) => addFile(i % 2 === 0 ? bench : second, uuid, one)));
        await requireAgreement(t, bench, uuid);
    }
    t.same(readdirSync(join(bench.base, 'run', 'uploads')), []);
    t.same(
        (await bench.files()).map((file) => file.name),
        ['file0'],
    );
});
