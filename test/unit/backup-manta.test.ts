import { appendFileSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { fileOf, type FileBytes } from '#lib/cli/imgapiadm/backup/backup-files.js';
import { BackupRun } from '#lib/cli/imgapiadm/backup/backup-run.js';
import { MantaTarget } from '#lib/cli/imgapiadm/backup/manta-target.js';
import { seal, unseal } from '#lib/cli/imgapiadm/backup/sealed-etc.js';
import type { MantaConnection } from '#lib/remotes/manta/manta-connection.js';
import { listDirectory } from '#lib/remotes/manta/manta-listing.js';
import { backupPlace, type BackupPlace } from '../helpers/backup-place.js';
import { differences } from '../helpers/data-tree.js';
import { imageDirectory } from '../helpers/images.js';
import { startMantaArea, type MantaArea } from '../helpers/manta-area.js';

interface MantaBackup extends BackupPlace {
    readonly area: MantaArea;
    /** Where in Manta. */
    readonly root: string;
}

async function setUp(t: Test, count: number, callTimeoutMs?: number): Promise<MantaBackup> {
    const area = await startMantaArea(t, callTimeoutMs === undefined ? {} : { callTimeoutMs });
    const place = backupPlace(t, count, { manta: area.config });
    return { ...place, area, root: `${area.rootDir}/backup` };
}

/** A run with a target that a test has its hands on. */
function runOn(
    place: MantaBackup,
    changes: Partial<{ put: (file: FileBytes) => Promise<void>; force: boolean }> = {},
) {
    const signal = new AbortController().signal;
    const target = new MantaTarget({
        objects: place.area.objects,
        root: place.root,
        statePath: join(place.base, 'run/backup-state.json'),
        parallel: 2,
        signal,
    });
    const put = target.put.bind(target);
    target.put = async (file) => {
        await changes.put?.(file);
        await put(file);
    };
    const problems: string[] = [];
    const run = new BackupRun({
        base: place.base,
        target,
        areas: ['images', 'archive', 'sharing', 'manifests'],
        etc: [fileOf('etc/some.pub', Buffer.from('public'))],
        checksum: false,
        force: changes.force ?? false,
        dryRun: false,
        parallel: 2,
        signal,
        onProblem: (path, problem) => problems.push(`${path}: ${problem}`),
        onCopied: () => undefined,
    });
    return { run, problems };
}

function imageOf(place: BackupPlace, index = 0) {
    const uuid = place.images[index]?.fixture.uuid ?? '';
    const path = `images/${uuid.slice(0, 3)}/${uuid}/file0`;
    return { uuid, path, file: join(place.base, path), raw: join(place.base, 'manifests', `${uuid}.raw`) };
}

/** Puts another file into an image in the order in which a server does. */
function replaceFile(raw: string, file: string, bytes: string): void {
    const record = JSON.parse(readFileSync(raw, 'utf8')) as { files?: Record<string, unknown>[] };
    const [entry] = record.files ?? [];
    writeFileSync(raw, JSON.stringify({ ...record, files: undefined }));
    writeFileSync(`${file}.x`, bytes);
    renameSync(`${file}.x`, file);
    writeFileSync(
        raw,
        JSON.stringify({ ...record, files: [{ ...entry, size: bytes.length, sha1: `of ${bytes}` }] }),
    );
}

void t.test('backup to Manta, wipe, restore: every byte is there again', async (t) => {
    const place = await setUp(t, 14);
    const before = place.data();
    t.match(await place.here('backup', '-y'), { code: 0 });
    const stored = place.area.double.objects(place.root).map((path) => path.slice(place.root.length + 1));
    t.strictSame(
        stored.filter((path) => !path.startsWith('etc/')),
        [...before.keys()].sort(),
    );
    place.area.double.clearRequests();
    t.match(await place.here('backup', '-y', '--json'), { code: 0 });
    const puts = place.area.double.requests({ kind: 'put', path: /backup/ });
    t.strictSame(
        puts.map(({ path }) => path.slice(place.root.length + 1)).filter((path) => !path.startsWith('etc/')),
        [],
    );
    rmSync(join(place.base, 'run/backup-state.json'));
    place.area.double.clearRequests();
    t.match(await place.here('backup', '-y'), { code: 0 }, 'compares bytes where nothing is known of times');
    t.equal(place.area.double.requests({ kind: 'put', path: /backup\/(?!etc)/ }).length, 0);

    place.wipe('etc');
    t.match(await place.here('restore', '-y', '--checksum'), { code: 0 });
    t.strictSame(differences(before, place.data()), []);
    rmSync(imageDirectory(place.base, imageOf(place, 5).uuid), { recursive: true, force: true });
    rmSync(imageOf(place, 5).raw);
    t.match(await place.here('backup', '-y', '--json'), { code: 0 });
    t.notOk(place.area.double.objects(place.root).some((path) => path.includes(imageOf(place, 5).uuid)));
});

void t.test(
    'a file that is replaced or deleted in the middle never breaks what belongs together',
    async (t) => {
        const place = await setUp(t, 3);
        await runOn(place).run.run();
        const [first, second] = [imageOf(place, 0), imageOf(place, 1)];
        const read = (path: string): Promise<string> => place.area.read(`backup/${path}`);
        const recordIn = async (uuid: string) =>
            JSON.parse(await read(`manifests/${uuid}.raw`)) as { files?: { sha1: string }[] };

        replaceFile(first.raw, first.file, 'new');
        let isReplaced = false;
        const racing = runOn(place, {
            put: async ({ path }) => {
                if (path === first.path && !isReplaced) {
                    isReplaced = true;
                    replaceFile(first.raw, first.file, 'newer');
                }
            },
        });
        await racing.run.run();
        t.strictSame(racing.problems, []);
        t.equal(await read(first.path), 'newer');
        t.equal((await recordIn(first.uuid)).files?.[0]?.sha1, 'of newer');

        const third = imageOf(place, 2);
        writeFileSync(third.file, 'being');
        let isWritten = false;
        const written = runOn(place, {
            put: async ({ path }) => {
                if (path === third.path && !isWritten) {
                    isWritten = true;
                    appendFileSync(third.file, ' written');
                }
            },
        });
        await written.run.run();
        t.strictSame(written.problems, []);
        t.equal(await read(third.path), 'being written', 'read again, as it was written to');

        replaceFile(second.raw, second.file, 'short-lived');
        const deleting = runOn(place, {
            force: true,
            put: async ({ path }) => {
                if (path === second.path) {
                    rmSync(second.raw, { force: true });
                    rmSync(second.file, { force: true });
                }
            },
        });
        await deleting.run.run();
        t.strictSame(deleting.problems, []);
        const left = (): string[] =>
            [...place.area.double.objects(place.root)].filter((path) => path.includes(second.uuid));
        t.strictSame(left(), [`${place.root}/${second.path}`], 'no record without its file');
        await runOn(place, { force: true }).run.run();
        t.strictSame(left(), [], 'the next run takes the file away');
    },
);

void t.test('a file that is lost or cannot be read stays in the backup, and is told of', async (t) => {
    const place = await setUp(t, 6);
    await runOn(place).run.run();
    const lost = imageOf(place, 0);
    const bytes = readFileSync(lost.file, 'latin1');
    rmSync(lost.file);
    const { run, problems } = runOn(place);
    await run.run();
    t.strictSame(problems, [`${lost.path}: it is lost; the backup keeps what it has of it`]);
    t.equal(
        Buffer.from(await place.area.client.read(`${place.root}/${lost.path}`)).toString('latin1'),
        bytes,
    );
    const again = runOn(place);
    await again.run.run();
    t.equal(again.problems.length, 1, 'each time');
    t.match(await place.here('backup', '-y'), { code: 1 });
});

void t.test('a record that cannot be read stays as it is in the backup, with its files', async (t) => {
    const place = await setUp(t, 6);
    await runOn(place).run.run();
    const [damaged, other] = [imageOf(place, 0), imageOf(place, 1)];
    const read = (path: string): Promise<string> => place.area.read(`backup/${path}`);
    const [file, record] = [await read(damaged.path), await read(`manifests/${damaged.uuid}.raw`)];
    replaceFile(damaged.raw, damaged.file, 'new');
    writeFileSync(join(place.base, `images/${other.uuid.slice(0, 3)}/${other.uuid}/icon`), 'an icon');
    const { run, problems } = runOn(place, {
        put: async ({ path }) => {
            if (path.endsWith('/icon')) {
                rmSync(damaged.raw);
                // Opened, it fails to be read, whoever tries.
                symlinkSync('/proc/self/mem', damaged.raw);
            }
        },
    });
    await run.run();
    t.match(problems, [/manifests\/.*\.raw: it cannot be read: /]);
    t.equal(await read(damaged.path), file);
    t.equal(await read(`manifests/${damaged.uuid}.raw`), record);
    t.equal(problems.length, 1);
});

void t.test('a listing names nothing outside of its directory', async (t) => {
    const listing = (name: string) => {
        const line = JSON.stringify({ name, type: 'object', size: 1 });
        const connection = { repeatable: () => Promise.resolve(line) };
        return listDirectory(connection as unknown as MantaConnection, '/admin/stor').next();
    };
    t.match(await listing('..x'), { value: { name: '..x' } });
    for (const name of ['', '.', '..', '../x', 'a/b', 'a\0']) {
        await t.rejects(listing(name), { code: 'InvalidListing' }, JSON.stringify(name));
    }
});

void t.test('another host, a refusal, an outage', async (t) => {
    const place = await setUp(t, 4);
    const { double } = place.area;
    await place.area.put(
        'run/owner.json',
        JSON.stringify({ instance: newUuid(), host: 'other', time: new Date() }),
    );
    t.match(await place.here('backup', '-y', '--force'), {
        code: 1,
        stderr: /another host uses this Manta area: other/,
    });
    t.strictSame(double.objects(place.root), []);
    await place.area.client.call('unlink', `${place.area.rootDir}/run/owner.json`);

    t.match(await place.here('backup', '-y'), { code: 0 });
    const before = place.data();
    replaceFile(imageOf(place).raw, imageOf(place).file, 'x');
    double.inject({ refuse: 503 }, { kind: 'put' });
    t.match(await place.here('backup', '-y'), { code: 1, stderr: /storage is down/i });
    t.equal(readFileSync(join(place.base, 'run/backup.status'), 'utf8'), '1\n');
    double.clearFaults();
    replaceFile(imageOf(place).raw, imageOf(place).file, before.get(imageOf(place).path) ?? '');
    place.wipe('etc');
    double.inject({ refuse: { status: 403, code: 'AuthorizationFailed', message: 'no' } });
    const refused = await place.here('restore', '-y');
    t.match(refused, { code: 1, stderr: /Manta refuses: AuthorizationFailed/ });
    for (const text of [
        place.area.config.url,
        place.area.config.keyId,
        'user:  admin',
        `${place.area.config.key}.pub`,
    ]) {
        t.ok(refused.stderr.includes(text), text);
    }
    double.clearFaults();
    double.inject({ cutAfter: 10 }, { kind: 'get', path: /backup\/images/ });
    t.match(await place.here('restore', '-y'), { code: 1, stderr: /\S/ });
    t.strictSame([...place.data()], [], 'nothing is in place');
    double.clearFaults();
    t.match((await place.here('restore', '-y')).code, /[01]/);
    t.strictSame([...place.data().keys()], [...before.keys()]);
});

void t.test('a Manta that hangs: an error in time', async (t) => {
    const place = await setUp(t, 2, 1000);
    const hold = place.area.double.hold({ kind: 'put' });
    await t.rejects(runOn(place).run.run(), { code: 'StorageIsDown' });
    hold.resume();
    await runOn(place).run.run();
    t.equal(place.area.double.objects(`${place.root}/manifests`).length, 2);
});

void t.test('etc is encrypted so that nothing of it shows, and nothing of it can be changed', async (t) => {
    const files = [{ path: 'a/b.keys', mode: 0o640, mtimeMs: 1, bytes: Buffer.from('secret') }];
    const sealed = await seal(files, 'pässword');
    t.notOk(sealed.includes('secret'));
    t.strictSame(await unseal(sealed, 'pässword'.normalize('NFD')), files);
    await t.rejects(unseal(sealed, 'other'), /cannot be decrypted/);
    for (const at of [10, sealed.length - 20, sealed.length - 1]) {
        const changed = Buffer.from(sealed);
        changed[at] = (changed[at] ?? 0) ^ 1;
        await t.rejects(unseal(changed, 'pässword'), Error);
    }
    await t.rejects(unseal(Buffer.from('{}'), 'x'), /no encrypted backup/);
    const outside = await seal([{ ...files[0]!, path: '../x' }], 'p');
    t.strictSame(await unseal(outside, 'p'), []);
});
