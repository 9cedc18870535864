// What imgapiadm check-files remembers, and what of it survives (operations 2.3).
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { AdminTool, parseReport, runTool } from '../helpers/admin-tool.js';
import { checkFiles, GZIP, PLAIN } from '../helpers/check-files-run.js';
import { changed, goodFile, pathOf, plantAll, planted, writeRecord } from '../helpers/checked-images.js';
import type { Document } from '../helpers/http-client.js';
import { sha1Hex } from '../helpers/images.js';
import { eventually } from '../helpers/server-process.js';

const NOBODY = 65_534;
const FIRST = '00000000-0000-4000-8000-000000000000';

void t.test('results are remembered as long as they are about the same file', async (t) => {
    const base = t.testdir({});
    const image = planted('image', [goodFile(PLAIN), goodFile(GZIP, 'gzip')]);
    const config = plantAll(base, [image]);
    const path = join(base, 'run/check-files.json');
    const cached = async (...args: string[]): Promise<unknown> =>
        (await checkFiles(config, args)).summary['cachedFiles'];
    const entries = (): Record<string, Document> =>
        JSON.parse(readFileSync(path, 'utf8')) as Record<string, Document>;
    const keys = [0, 1].map((index) => `${image.uuid}/${index}/local`);

    t.equal(await cached('-s'), 0);
    t.match(entries()[keys[0] ?? ''], { level: 'simple' });
    t.equal(await cached(), 0, 'a simple check is not enough');
    const { ino, mtimeMs } = statSync(pathOf(base, image));
    t.match(entries()[keys[0] ?? ''], {
        level: 'full',
        size: PLAIN.length,
        sha1: sha1Hex(PLAIN),
        ino,
        mtimeMs,
    });
    t.same(Object.keys(entries()), keys);
    t.equal(statSync(path).mode & 0o777, 0o640);
    t.match(readFileSync(path, 'utf8'), /^\{\n {4}"/);
    t.equal(await cached(), 2);
    t.equal(await cached('--deep'), 0, 'deeper');
    t.match(entries()[keys[0] ?? ''], { level: 'deep' });
    t.equal(await cached('--deep'), 2);
    t.equal(await cached(), 2, 'and more than enough');
    t.equal(await cached('-s'), 0, 'looking is cheap');
    t.equal(await cached(), 2, 'and does not make less of what is known');
    t.equal(await cached('-f'), 0);
    t.equal(await cached('--max-age', '1'), 2);

    utimesSync(pathOf(base, image), 1, 1);
    t.equal(await cached(), 1, 'another time');
    writeFileSync(join(base, 'new'), PLAIN);
    renameSync(join(base, 'new'), pathOf(base, image));
    utimesSync(pathOf(base, image), 1, 1);
    t.equal(await cached(), 1, 'another file');
    writeRecord(base, { ...image, files: [goodFile(changed(PLAIN)), goodFile(GZIP, 'gzip')] });
    t.match(await checkFiles(config), { code: 1, summary: { cachedFiles: 1 } }, 'another record');
    t.same(Object.keys(entries()), keys.slice(1), 'what is bad is forgotten');
    writeRecord(base, image);
    t.equal(await cached(), 1);

    const old = { ...entries()[keys[1] ?? ''], checkedAt: '2020-01-01T00:00:00.000Z' };
    writeFileSync(path, JSON.stringify({ ...entries(), [keys[1] ?? '']: old }));
    t.equal(await cached('--max-age', '30'), 1, 'too old');
});

void t.test('what the existing server has left, and what is damaged', async (t) => {
    const base = t.testdir({ old: {} });
    const docker = { tags: ['docker:id=sha256:1'], tagsObj: { 'docker:id': 'sha256:1' } };
    const image = planted('image', [goodFile(PLAIN), goodFile(GZIP, 'gzip')], docker);
    const config = plantAll(base, [image]);
    const environment = { IMGAPIADM_CACHE_DIR: join(base, 'old') };
    const path = join(base, 'old/check-files.json');
    const facts = { uuid: image.uuid, size: PLAIN.length, sha1: sha1Hex(PLAIN) };
    const write = (content: object): void => writeFileSync(path, JSON.stringify(content, null, 4));
    const cached = async (...args: string[]): Promise<unknown> =>
        (await checkFiles(config, args, environment)).summary['cachedFiles'];
    write({ [image.uuid]: facts, [newUuid()]: { uuid: 'x', size: 1, sha1: 'y' } });
    t.equal(await cached('--max-age', '10'), 0, 'nobody knows when it was checked');
    write({ [image.uuid]: { ...facts, sha1: 'x' } });
    t.equal(await cached(), 0, 'about other bytes');
    write({ [image.uuid]: facts, [newUuid()]: { uuid: 'x', size: 1, sha1: 'y' } });
    t.equal(await cached(), 1, 'the first file');
    t.equal(await cached(), 2);
    t.equal(Object.keys(JSON.parse(readFileSync(path, 'utf8')) as object).length, 3, 'the others are kept');
    t.notOk(existsSync(join(base, 'run/check-files.json')));
    t.equal(await cached('-d'), 0);
    t.ok(existsSync(join(base, 'old/check-files-v2.json')), 'a file for Docker');

    for (const text of ['{"a', '[]', '"x"', 'null', '\0']) {
        writeFileSync(path, text);
        const run = await checkFiles(config, [], environment);
        t.match(run, { code: 0, summary: { cachedFiles: 0 } }, text);
        t.match(run.stderr.join(), /earlier results are not used: .*: it is (not JSON|no object)/);
        t.equal(await cached(), 2, 'replaced');
    }
    const own = {
        size: PLAIN.length,
        sha1: sha1Hex(PLAIN),
        mtimeMs: 'x',
        ino: 1,
        level: 'full',
        checkedAt: 'x',
    };
    write({ [`${image.uuid}/0/local`]: own, [image.uuid]: 'x' });
    t.equal(await cached(), 0, 'entries of no use');
});

void t.test('results that cannot be kept', async (t) => {
    const base = t.testdir({});
    const config = plantAll(base, [planted('image', [goodFile(PLAIN)])]);
    mkdirSync(join(base, 'run/check-files.json'));
    const run = await checkFiles(config);
    t.match(run, { code: 0, summary: { good: 1 } });
    t.match(run.stderr.join(), /results are not kept for the next run: EISDIR|EEXIST|ENOTEMPTY/);
});

void t.test('a directory that is not ours to write, a file that is not ours to read', async (t) => {
    const base = t.testdir({});
    const [image, secret] = [planted('image', [goodFile(PLAIN)]), planted('secret', [goodFile(PLAIN)])];
    const config = plantAll(base, [image, secret]);
    const file = pathOf(base, secret);
    const isRoot = process.getuid?.() === 0;
    if (isRoot) {
        // The tool goes on as the owner of the directory.
        chownSync(base, NOBODY, NOBODY);
        chownSync(file, 0, 0);
    }
    chmodSync(file, 0o000);
    chmodSync(join(base, 'run'), 0o555);
    const { code, stdout, stderr } = await runTool(['check-files', '-c', config]);
    chmodSync(join(base, 'run'), 0o755);
    t.equal(code, 1);
    t.match(stderr, /imgapiadm check-files: results are not kept for the next run: EACCES/);
    for (const line of [
        ` Image: ${secret.uuid} (secret@1.0.0)`,
        ' State: file corruption',
        'Reason: EACCES: permission denied',
        `   Fix: chmod 0640 ${file}`,
    ]) {
        t.ok(stdout.includes(line), line);
    }
    t.equal(stdout.includes(`   Fix: chown ${NOBODY}:${NOBODY} ${file}`), isRoot);
});

void t.test(
    'killed, it has remembered what it did a second ago; interrupted, it tells what it knows',
    async (t) => {
        const base = t.testdir({});
        const bytes = Buffer.alloc(200_000, 'x');
        const images = Array.from({ length: 12 }, (_none, n) => planted(`image${n}`, [goodFile(bytes)]));
        // Images are checked in the order of their uuids.
        const missing = { ...planted('missing', [{ bytes, stored: undefined }]), uuid: FIRST };
        const config = plantAll(base, [missing, ...images]);
        const cache = join(base, 'run/check-files.json');
        const known = (): number =>
            existsSync(cache) ? Object.keys(JSON.parse(readFileSync(cache, 'utf8')) as object).length : 0;
        const start = (): AdminTool =>
            new AdminTool(['check-files', '-c', config, '-p1', '--limit-rate', '600000', '-j']);
        const killed = start();
        await eventually('two results', 30_000, () => known() >= 2);
        killed.signal('SIGKILL');
        t.equal((await killed.exited).signal, 'SIGKILL');
        const kept = known();
        const stopped = start();
        await eventually('more results', 30_000, () => known() > kept);
        stopped.signal('SIGINT');
        const exit = await stopped.exited;
        t.equal(exit.code, 130);
        const { images: told, summary } = parseReport(exit.stdout);
        t.equal(told.size, 1, 'the bad one');
        t.match(summary, { interrupted: true, complete: false, bad: 1 });
        t.equal(summary['cachedFiles'], kept);
        const { good, bad, images: done } = summary as Record<string, number>;
        t.ok(Number(done) < 13 && Number(good) + Number(bad) === done);
        t.equal(known(), good, 'nothing is lost');
        const rest = await checkFiles(config);
        t.match(rest, { code: 1, summary: { good: 12, bad: 1, cachedFiles: good } });
    },
);
