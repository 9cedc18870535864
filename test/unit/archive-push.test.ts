import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
    existsSync,
    linkSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    renameSync,
    symlinkSync,
    writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { LocalArchive } from '#lib/archive/local-archive.js';
import { ArchivePush } from '#lib/archive/push-archive.js';
import { baseDirectories } from '#lib/base/directories.js';
import { startMantaArea } from '../helpers/manta-area.js';
import { record } from '../helpers/records.js';
import { recordingLog } from '../helpers/recording-log.js';

const NEVER = new AbortController().signal;

async function setUp(t: Test, options: { readonly callTimeoutMs?: number } = {}) {
    const area = await startMantaArea(t, options);
    const directories = baseDirectories(t.testdir({ archive: {} }));
    const { log, records } = recordingLog();
    const subject = new ArchivePush({
        directories,
        objects: area.objects,
        rootDir: area.rootDir,
        log,
    });
    const archive = new LocalArchive({ directories, mode: 'private', log });
    const nameOf = (uuid: string) => `archive/${uuid.slice(0, 3)}/${uuid}.json`;
    return {
        ...area,
        base: directories.base,
        directory: directories.archive,
        archive,
        subject,
        records,
        nameOf,
        localPath: (uuid: string) => join(directories.base, nameOf(uuid)),
        warnings: () => records.filter(({ level }) => level === 40),
        /** Puts a manifest there without the archive's help. */
        plant: (uuid: string, text: string) => {
            const path = join(directories.base, nameOf(uuid));
            mkdirSync(dirname(path), { recursive: true });
            writeFileSync(path, text);
            return path;
        },
    };
}

void t.test('moves manifests to Manta as they are, and emptied directories away', async (t) => {
    const { subject, archive, directory, nameOf, localPath, double, rootDir, read } = await setUp(t);
    const raws = Array.from({ length: 30 }, () => record());
    await Promise.all(raws.map((raw) => archive.write(raw)));
    const texts = raws.map((raw) => readFileSync(localPath(raw.uuid), 'utf8'));
    t.same(await subject.pass(NEVER), { pushed: 30, changed: 0, failed: 0 });
    t.same(readdirSync(directory), []);
    for (const [index, raw] of raws.entries()) {
        t.equal(await read(nameOf(raw.uuid)), texts[index]);
    }
    const [first] = double.requests({ kind: 'put' });
    const bytes = await read((first?.path ?? '').slice(rootDir.length + 1));
    t.match(first?.headers, {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(bytes)),
        'content-md5': createHash('md5').update(bytes).digest('base64'),
    });
    t.same(await subject.pass(NEVER), { pushed: 0, changed: 0, failed: 0 }, 'nothing to do');
    t.equal(double.requests({ kind: 'put' }).length, 30);
});

void t.test('asks for each directory once, and replaces older manifests', async (t) => {
    const { subject, plant, double, nameOf, read, rootDir } = await setUp(t);
    const uuids = Array.from({ length: 5 }, () => `abc${randomUUID().slice(3)}`);
    uuids.forEach((uuid) => plant(uuid, '{"v": 1}'));
    await subject.pass(NEVER);
    double.clearRequests();
    uuids.forEach((uuid) => plant(uuid, '{"v": 2}'));
    await subject.pass(NEVER);
    t.equal(double.requests({ kind: 'mkdir', path: `${rootDir}/archive/abc` }).length, 1);
    t.equal(double.requests({ kind: 'mkdir' }).length, 1);
    t.equal(await read(nameOf(uuids[0] ?? '')), '{"v": 2}');
});

void t.test('an archive that is not there is empty', async (t) => {
    const { subject, directory } = await setUp(t);
    renameSync(directory, `${directory}.old`);
    t.same(await subject.pass(NEVER), { pushed: 0, changed: 0, failed: 0 });
});

void t.test('what is no manifest is told once and left', async (t) => {
    const { subject, plant, directory, warnings, double } = await setUp(t);
    const good = randomUUID();
    const prefix = join(directory, good.slice(0, 3));
    plant(good, '{}');
    const left = [
        plant(randomUUID(), '{"truncated":'),
        join(directory, 'README'),
        join(prefix, 'notes.json'),
        join(prefix, `${good}.json.old`),
        join(prefix, `${randomUUID().replace(/^.../, good.startsWith('fff') ? 'eee' : 'fff')}.json`),
        join(prefix, `${good.slice(0, 3)}${randomUUID().slice(3)}.json`),
    ];
    for (const path of left.slice(1, 5)) writeFileSync(path, '{}');
    symlinkSync(join(directory, 'README'), left[5] ?? '');
    const beingWritten = join(prefix, `${good}.json.0123456789abcdef.tmp`);
    writeFileSync(beingWritten, '{');
    for (const pass of ['first', 'second']) {
        t.match(await subject.pass(NEVER), { failed: 0 });
        t.same(
            warnings()
                .map(({ path }) => path as string)
                .sort(),
            [...left].sort(),
            pass,
        );
    }
    t.same(
        [...left, beingWritten].filter((path) => !existsSync(path)),
        [],
    );
    t.equal(double.objects('/admin/stor').length, 1, 'only the good one has gone');
});

void t.test('a manifest written while it is pushed stays for the next pass', async (t) => {
    const { subject, archive, double, nameOf, localPath, read } = await setUp(t);
    const raw = record({ description: 'old' });
    for (const when of ['before', 'after'] as const) {
        await archive.write({ ...raw, description: 'old' });
        const hold = double.hold({ kind: 'put' }, when);
        const pass = subject.pass(NEVER);
        await hold.arrived(1);
        await archive.write({ ...raw, description: 'new' });
        hold.resume();
        t.same(await pass, { pushed: 1, changed: 1, failed: 0 });
        t.match(JSON.parse(await read(nameOf(raw.uuid))), { description: 'old' });
        t.match(JSON.parse(readFileSync(localPath(raw.uuid), 'utf8')), { description: 'new' });
        t.same(readdirSync(dirname(localPath(raw.uuid))), [`${raw.uuid}.json`]);
        double.clearFaults();
        t.same(await subject.pass(NEVER), { pushed: 1, changed: 0, failed: 0 });
        t.match(JSON.parse(await read(nameOf(raw.uuid))), { description: 'new' });
    }
});

void t.test('another file with the same size and age is not taken for the one that was read', async (t) => {
    const { subject, plant, double, localPath } = await setUp(t);
    const uuid = randomUUID();
    const path = plant(uuid, '{"v": 1}');
    const hold = double.hold({ kind: 'put' });
    const pass = subject.pass(NEVER);
    await hold.arrived(1);
    writeFileSync(`${path}.new`, '{"v": 2}');
    execFileSync('touch', ['-r', path, `${path}.new`]);
    renameSync(`${path}.new`, path);
    hold.resume();
    t.match(await pass, { pushed: 1, changed: 1 });
    t.equal(readFileSync(localPath(uuid), 'utf8'), '{"v": 2}');
});

void t.test('writers and passes at the same time lose no last state', async (t) => {
    const { subject, archive, nameOf, read } = await setUp(t);
    const raws = Array.from({ length: 5 }, () => record());
    const rounds = 40;
    let writing = true;
    const write = async (): Promise<void> => {
        for (let round = 1; round <= rounds; round += 1) {
            await Promise.all(raws.map((raw) => archive.write({ ...raw, description: `round ${round}` })));
        }
    };
    const push = async (): Promise<void> => {
        while (writing) t.match(await subject.pass(NEVER), { failed: 0 });
    };
    const written = write().finally(() => {
        writing = false;
    });
    await Promise.all([written, push()]);
    await subject.pass(NEVER);
    for (const { uuid } of raws) {
        t.match(JSON.parse(await read(nameOf(uuid))), { description: `round ${rounds}` });
    }
});

void t.test('what a crash left aside is pushed, unless something newer is there', async (t) => {
    const { subject, plant, directory, nameOf, read } = await setUp(t);
    const [alone, superseded, halfway] = [randomUUID(), randomUUID(), randomUUID()];
    const aside = '.0123456789abcdef.pushed';
    for (const uuid of [alone, superseded, halfway]) {
        const path = plant(uuid, '{"v": 1}');
        renameSync(path, path + aside);
    }
    plant(superseded, '{"v": 2}');
    const path = join(directory, halfway.slice(0, 3), `${halfway}.json`);
    linkSync(path + aside, path);
    t.same(await subject.pass(NEVER), { pushed: 3, changed: 0, failed: 0 });
    t.equal(await read(nameOf(alone)), '{"v": 1}');
    t.equal(await read(nameOf(superseded)), '{"v": 2}');
    t.equal(await read(nameOf(halfway)), '{"v": 1}');
    t.same(readdirSync(directory), []);
});

void t.test('a file that Manta refuses does not keep the others', async (t) => {
    const { subject, plant, double, warnings } = await setUp(t);
    const uuids = Array.from({ length: 10 }, () => randomUUID());
    const paths = uuids.map((uuid) => plant(uuid, '{}'));
    const refuse = { status: 400, code: 'BadRequestError', message: 'no' };
    double.inject({ refuse }, { kind: 'put', path: new RegExp(uuids[3] ?? '') });
    t.same(await subject.pass(NEVER), { pushed: 9, changed: 0, failed: 1 });
    t.same(paths.filter(existsSync), [paths[3]]);
    t.match(warnings(), [{ path: paths[3] }]);
    double.clearFaults();
    double.inject({ wrongMd5: true }, { kind: 'put' });
    t.same(await subject.pass(NEVER), { pushed: 0, changed: 0, failed: 1 }, 'stored as something else');
    t.ok(existsSync(paths[3] ?? ''));
    double.clearFaults();
    t.same(await subject.pass(NEVER), { pushed: 1, changed: 0, failed: 0 });
});

void t.test('a pass ends when Manta refuses everything', async (t) => {
    const { subject, plant, double } = await setUp(t);
    const uuids = Array.from({ length: 300 }, () => randomUUID());
    uuids.forEach((uuid) => plant(uuid, '{}'));
    const refuse = { status: 403, code: 'AuthorizationError', message: 'no' };
    double.inject({ refuse }, { kind: ['put', 'mkdir'] });
    await t.rejects(subject.pass(NEVER), { code: 'AuthorizationError' });
    t.ok(double.requests().length < 250, `${double.requests().length} requests`);
});

void t.test('a pass ends when Manta is away, and the next one goes on', async (t) => {
    const { subject, plant, double } = await setUp(t, { callTimeoutMs: 500 });
    const paths = Array.from({ length: 200 }, () => plant(randomUUID(), '{}'));
    const faults = { 'says so': { refuse: 503 }, 'is silent': { hang: true } } as const;
    for (const [name, fault] of Object.entries(faults)) {
        const before = paths.filter(existsSync).length;
        const end = double.inject(fault, { kind: 'put', skip: 20 });
        double.clearRequests();
        const started = performance.now();
        await t.rejects(subject.pass(NEVER), { code: 'StorageIsDown' }, name);
        t.ok(performance.now() - started < 5000, 'soon');
        const there = paths.filter(existsSync).length;
        t.ok(before - there >= 20 && there > 100, `${before} before, ${there} now`);
        end();
    }
    await subject.pass(NEVER);
    t.same(paths.filter(existsSync), []);
});

void t.test('ends at once when the server stops', async (t) => {
    const { subject, plant, double } = await setUp(t);
    const paths = Array.from({ length: 50 }, () => plant(randomUUID(), '{}'));
    for (const kind of ['mkdir', 'put'] as const) {
        const stop = new AbortController();
        const hold = double.hold({ kind });
        const pass = subject.pass(stop.signal);
        await hold.arrived(1);
        stop.abort(new Error('the server stops'));
        await t.rejects(pass, { message: 'the server stops' }, kind);
        hold.drop();
        double.clearFaults();
    }
    t.same(
        paths.filter((path) => !existsSync(path)),
        [],
    );
    t.notOk(await Promise.race([once(process, 'unhandledRejection'), subject.pass(NEVER).then(() => false)]));
});
