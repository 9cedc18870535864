import {
    chownSync,
    cpSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    renameSync,
    rmSync,
    statSync,
    symlinkSync,
    utimesSync,
    writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { BACKUP_OPTIONS, backupOrder } from '#lib/cli/imgapiadm/backup/backup-order.js';
import { RESTORE_OPTIONS, restoreOrder } from '#lib/cli/imgapiadm/backup/restore-order.js';
import { SnapshotSource } from '#lib/cli/imgapiadm/backup/restore-source.js';
import type { Invocation } from '#lib/cli/imgapiadm/command.js';
import { parseOptions } from '#lib/cli/options.js';
import { backupPlace, replaceImageFile, type BackupPlace } from '../helpers/backup-place.js';
import { differences } from '../helpers/data-tree.js';
import { HttpClient } from '../helpers/http-client.js';
import { runTool, type ToolExit } from '../helpers/admin-tool.js';
import { imageDirectory } from '../helpers/images.js';
import { eventually, LIMIT_MS, ServerProcess } from '../helpers/server-process.js';

const MARKER = 'run/restored.marker';

function snapshots({ dest }: BackupPlace): string[] {
    return readdirSync(dest).sort();
}

function summaryOf({ stdout }: Pick<ToolExit, 'stdout'>): Record<string, unknown> {
    return (JSON.parse(stdout.at(-1) ?? '') as { summary: Record<string, unknown> }).summary;
}

function statusOf({ base }: BackupPlace): string {
    return readFileSync(join(base, 'run/backup.status'), 'utf8').trim();
}

/** The file of an image that has one. */
function fileOf(place: BackupPlace, index = 0): string {
    return join(imageDirectory(place.base, place.images[index]?.fixture.uuid ?? ''), 'file0');
}

void t.test(
    'backup, wipe, restore: every byte is there again, and a server serves it',
    { timeout: LIMIT_MS },
    async (t) => {
        const place = backupPlace(t, 14);
        const passphrase = join(place.directory, 'passphrase');
        writeFileSync(passphrase, 'correct horse\n');
        const temporary = `${fileOf(place)}.${newUuid()}`;
        writeFileSync(temporary, 'half an upload');
        const secret = ['--passphrase-file', passphrase];
        const first = await place.run('backup', '--dest', place.dest, '--yes', ...secret);
        t.match(first, { code: 0, stderr: '' });
        t.match(
            first.stdout.join('\n'),
            /^Back up .*\nStarted at .*\nCopied .*14 images\nFinished at .*elapsed/s,
        );
        t.equal(statusOf(place), '0');
        rmSync(temporary);
        const before = place.data();
        const config = readFileSync(join(place.base, 'etc/imgapi.config.json'));
        const again = await place.run('backup', '--dest', place.dest, '--yes', '--json', ...secret);
        t.match(summaryOf(again), {
            records: 14,
            copied: 1,
            kept: before.size,
            removed: 0,
            problems: 0,
            complete: true,
        });
        const [one = '', two = ''] = snapshots(place);
        t.equal(snapshots(place).length, 2);
        const kept = relative(place.base, fileOf(place));
        t.equal(
            statSync(join(place.dest, one, kept)).ino,
            statSync(join(place.dest, two, kept)).ino,
            'a link',
        );
        t.notOk(readFileSync(join(place.dest, two, 'etc/etc.sealed'), 'latin1').includes('a secret'));

        place.wipe();
        const restored = await place.run(
            'restore',
            '--from',
            place.dest,
            '--yes',
            '--checksum',
            '--json',
            ...secret,
        );
        t.match(restored, { code: 0 }, restored.stderr + restored.stdout.join('\n'));
        t.match(summaryOf(restored), { files: before.size, fetched: before.size, problems: 0 });
        t.strictSame(differences(before, place.data()), []);
        t.strictSame(readFileSync(join(place.base, 'etc/imgapi.config.json')), config);
        t.equal(statSync(join(place.base, 'etc/imgapi-x.id_ecdsa')).mode & 0o777, 0o600);
        t.match(readFileSync(join(place.base, MARKER), 'utf8'), /^restored at \d{4}-\d\d-\d\dT[\d:.]+Z\n$/);
        t.notOk(readdirSync(place.base).includes('restore.tmp'));

        const server = await ServerProcess.start({ baseDir: place.base, config: { authType: 'none' } });
        try {
            for (const { fixture, files } of place.images.filter((image) => image.fixture.activated)) {
                const { body } = await new HttpClient(server.port).get(`/images/${fixture.uuid}/file`);
                t.ok(files[0]?.equals(body), fixture.name);
            }
            const beside = await place.run('restore', '--from', place.dest, '--yes', '--force');
            t.match(beside, { code: 1, stderr: /a server holds run\/imgapi\.lock/ });
            t.match(
                await place.run('backup', '--dest', place.dest, '--yes', '--force', '--json'),
                { code: 0 },
                'but a backup goes on',
            );
        } finally {
            await server.kill();
        }
    },
);

void t.test('what was changed is in the next backup, what was deleted is not', async (t) => {
    const place = backupPlace(t, 7);
    t.match(await place.here('backup', '--dest', place.dest, '-y'), { code: 0 });
    const gone = place.images[1]?.fixture.uuid ?? '';
    rmSync(imageDirectory(place.base, gone), { recursive: true });
    rmSync(join(place.base, 'manifests', `${gone}.raw`));
    const [changed, uuid] = [fileOf(place), place.images[0]?.fixture.uuid ?? ''];
    const { mtime, size } = statSync(changed);
    replaceImageFile(place.base, uuid, Buffer.alloc(size, 'x'));
    const next = await place.here('backup', '--dest', place.dest, '-y', '--json');
    t.match(next, { code: 0 }, next.stderr);
    t.match(summaryOf(next), { removed: 2 });
    const after = place.data();
    // The same size and the same time: only the bytes tell.
    replaceImageFile(place.base, uuid, Buffer.alloc(size, 'y'));
    utimesSync(changed, mtime, mtime);
    t.match(await place.here('backup', '--dest', place.dest, '-y', '--checksum', '--keep', '2'), { code: 0 });
    t.equal(snapshots(place).length, 2, 'older ones go');
    const now = place.data();
    for (const [name, tree] of [
        [snapshots(place)[0], after],
        [snapshots(place)[1], now],
    ] as const) {
        place.wipe('etc');
        t.match(await place.here('restore', '--from', join(place.dest, name ?? ''), '-y'), { code: 0 });
        t.strictSame(differences(tree, place.data()), [], name ?? '');
    }
});

void t.test('guards of a backup', async (t) => {
    const place = backupPlace(t, 5);
    const backup = (...args: string[]) => place.here('backup', '--dest', place.dest, '-y', ...args);
    rmSync(join(place.base, MARKER));
    t.match(await backup(), { code: 1, stderr: /restored\.marker: run a restore first/ });
    t.equal(statusOf(place), '1');
    writeFileSync(join(place.base, MARKER), '');
    t.match(await place.here('backup', '-y'), { code: 1, stderr: /no "manta" in/ });
    t.match(await place.here('backup', '-y', '--dest', join(place.base, 'images')), {
        code: 1,
        stderr: /is in the base directory/,
    });
    t.match(await place.here('backup', '-y', '--dest', join(place.directory, 'nowhere')), {
        code: 1,
        stderr: /ENOENT/,
    });
    t.match(await place.run('backup', '--dest', place.dest), { code: 1, stderr: /nobody has agreed/ });
    t.strictSame(snapshots(place), [], 'nothing is left of these');
    const piped = await runTool(['--dest', place.dest], place.environment, {
        program: 'imgapi-standalone-backup',
        input: '\n',
    });
    t.match(piped, { code: 0, stderr: /Hit enter/ });

    const records = join(place.base, 'manifests');
    const aside = join(place.directory, 'aside');
    renameSync(records, aside);
    mkdirSync(records);
    t.match(await backup(), { code: 1, stderr: /5 of 5 files of manifests in the last backup are gone/ });
    t.equal(snapshots(place).length, 1);
    t.match(await backup('--force'), { code: 0 });
    rmSync(records, { recursive: true });
    renameSync(aside, records);

    for (const area of ['archive', 'sharing']) {
        renameSync(join(place.base, area), aside);
        const gone = new RegExp(`1 of 1 files of ${area} in the last backup are gone`);
        t.match(await backup(), { code: 1, stderr: gone });
        renameSync(aside, join(place.base, area));
    }
    writeFileSync(join(place.base, 'run/instance'), JSON.stringify({ instance: newUuid() }));
    t.match(await backup(), { code: 1, stderr: /another installation, on .*, has made a snapshot/ });
    t.match(await backup('-n', '--force'), {
        code: 0,
        stdout: [/Back up/, /Started/, /Would have copied/, /Finished/],
    });
    t.equal(snapshots(place).length, 2);
    place.writeConfig({ mode: 'dc', datacenterName: 'x', ufds: {}, moray: {} });
    t.match(await backup(), { code: 1, stderr: /config/ });
});

void t.test('a snapshot of a clock that was wrong does not outlive those after it', async (t) => {
    const place = backupPlace(t, 2);
    t.match(await place.here('backup', '--dest', place.dest, '-y'), { code: 0 });
    renameSync(join(place.dest, snapshots(place)[0] ?? ''), join(place.dest, '29990101T000000Z'));
    rmSync(fileOf(place));
    rmSync(join(place.base, 'manifests', `${place.images[0]?.fixture.uuid ?? ''}.raw`));
    const forced = await place.here('backup', '--dest', place.dest, '-y', '--keep', '1', '--force');
    t.match(forced, { code: 0, stderr: /warning: the last snapshot, 29990101T000000Z, is later than now/ });
    t.strictSame(snapshots(place), ['29990101T000001Z'], 'the one just made');
    const after = place.data();
    place.wipe('etc');
    t.match(await place.here('restore', '--from', place.dest, '-y'), { code: 0 });
    t.strictSame(differences(after, place.data()), []);
});

void t.test('command lines', async (t) => {
    const place = backupPlace(t, 0);
    const names = ['backup', 'restore', 'rotate-key', 'status', 'setup', 'gen-setup-config'];
    const runs = names.map(async (name) => {
        const help = await place.run(name, '--help');
        t.match(
            help,
            { code: 0, stderr: '', stdout: [new RegExp(`^Usage: imgapi-standalone-${name} `)] },
            name,
        );
        const wrong = await place.run(name, '--nonsense');
        const stderr = `imgapi-standalone-${name}: error: unknown option: --nonsense\n`;
        t.match(wrong, { code: name === 'status' ? 251 : 1, stderr }, name);
    });
    await Promise.all(runs);
    const order = (...args: string[]) =>
        backupOrder({ parsed: parseOptions(BACKUP_OPTIONS, args), environment: {} } as Invocation);
    t.throws(() => order('word'), /too many arguments: word/);
    t.throws(() => order('--keep', '2'), /give --dest, too/);
    t.throws(() => order('--dest', 'x', '--keep', '0'), /--keep must be/);
    t.throws(() => order('--no-secrets', '--passphrase-file', 'x'), /exclude/);
    const both = { parsed: parseOptions(RESTORE_OPTIONS, ['--from', 'x', '--dest', 'y']), environment: {} };
    t.throws(() => restoreOrder(both as Invocation), /give one of them/);
});

void t.test('what is odd in a record makes no failure of a restore', async (t) => {
    const place = backupPlace(t, 2);
    const [name = ''] = readdirSync(join(place.base, 'manifests'));
    const path = join(place.base, 'manifests', name);
    const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...record, tags: ['no=tag'] }));
    t.match(await place.here('backup', '--dest', place.dest, '-y'), { code: 0 });
    place.wipe('etc');
    const restored = await place.here('restore', '--from', place.dest, '-y');
    t.match(restored, { code: 0 }, restored.stderr);
    t.match(restored.stdout.join('\n'), /warning: tags: /);
});

void t.test('a restore that meets data, an empty place, a wrong passphrase', async (t) => {
    const place = backupPlace(t, 4);
    const passphrase = join(place.base, 'etc/backup.passphrase');
    writeFileSync(passphrase, 'one\n');
    t.match(await place.here('backup', '--dest', place.dest, '-y'), { code: 0 });
    const [snapshot = ''] = snapshots(place);
    t.notOk(readdirSync(join(place.dest, snapshot, 'etc')).includes('backup.passphrase'));
    const restore = (...args: string[]) => place.here('restore', '--from', place.dest, '-y', ...args);
    const before = place.data();
    t.match(await restore(), { code: 1, stderr: /has data already \(4 records, 5 image files\)/ });
    rmSync(fileOf(place));
    writeFileSync(join(place.base, 'manifests', `${newUuid()}.raw`), '{}');
    const over = await restore('--force');
    t.match(over, { code: 1, stdout: /\S/ }, 'fsck finds the record that is none');
    t.strictSame(
        differences(before, place.data()).filter((line) => !line.startsWith('+')),
        [],
    );
    place.wipe('etc');
    writeFileSync(passphrase, 'two\n');
    t.match(await restore(), { code: 1, stderr: /cannot be decrypted/ });
    t.strictSame(differences(before, place.data()), [], 'the data is there nevertheless');
    t.match(await place.here('restore', '-y'), {
        code: 0,
        stdout: ['Manta is not configured: there is nothing to restore.'],
    });
    t.match(await place.here('restore', '-y', '--from', place.directory), {
        code: 1,
        stderr: /no complete snapshot/,
    });
    writeFileSync(passphrase, 'one\n');
    writeFileSync(join(place.base, 'etc/authkeys/local/alice.keys'), 'mine\n');
    t.match(await restore('--force'), {
        code: 0,
        stderr: /alice\.keys stays; what the backup has of it is in/,
    });
    t.equal(readFileSync(join(place.base, 'etc/authkeys/local/alice.keys'), 'utf8'), 'mine\n');
    t.match(readFileSync(join(place.base, 'etc/restored/authkeys/local/alice.keys'), 'utf8'), /ssh-ed25519/);
});

void t.test('what waits of another backup, or is damaged, is not taken for what came', async (t) => {
    const place = backupPlace(t, 4);
    t.match(await place.here('backup', '--dest', place.dest, '-y'), { code: 0 });
    const before = place.data();
    const waiting = join(place.base, 'restore.tmp', relative(place.base, fileOf(place)));
    const { mtime, size } = statSync(fileOf(place));
    const { identity } = await SnapshotSource.find(place.dest);
    const stray = 'images/abc/abc58161-2547-11e2-a75e-9fdca1940570';
    const kept = place.images
        .filter(({ files }) => files.length > 0)
        .map((_image, index) => fileOf(place, index));
    for (const [origin, fetched] of [
        ['another', before.size],
        [identity, before.size - kept.length + 1],
    ] as const) {
        for (const path of kept) {
            const to = join(place.base, 'restore.tmp', relative(place.base, path));
            mkdirSync(dirname(to), { recursive: true });
            cpSync(path, to, { preserveTimestamps: true });
        }
        // The same size and the same time: only the bytes tell.
        writeFileSync(waiting, Buffer.alloc(size, 'x'));
        utimesSync(waiting, mtime, mtime);
        if (origin !== identity) {
            mkdirSync(join(place.base, 'restore.tmp', stray), { recursive: true });
            writeFileSync(join(place.base, 'restore.tmp', stray, 'file0'), 'of another');
        }
        writeFileSync(join(place.base, 'restore.tmp/source'), origin);
        place.wipe('etc', 'restore.tmp');
        const restored = await place.here('restore', '--from', place.dest, '-y', '--json');
        t.match(summaryOf(restored), { fetched, problems: 0 }, origin);
        t.strictSame(differences(before, place.data()), [], origin);
    }
});

void t.test(
    'root follows no links of the one whose data it is',
    { skip: process.getuid?.() === 0 ? false : 'only root could' },
    async (t) => {
        const place = backupPlace(t, 2);
        t.match(await place.here('backup', '--dest', place.dest, '-y'), { code: 0 });
        place.wipe('etc');
        const outside = join(place.directory, 'outside');
        mkdirSync(outside);
        const user = 65_534;
        chownSync(place.base, user, user);
        for (const name of ['images', 'restore.tmp']) {
            symlinkSync(outside, join(place.base, name));
            const refused = await place.run('restore', '--from', place.dest, '-y');
            t.match(refused, { code: 1, stderr: new RegExp(`${name} is a symbolic link`) });
            rmSync(join(place.base, name));
        }
        t.strictSame(readdirSync(outside), []);
        t.equal(statSync(outside).uid, 0);
    },
);

void t.test('killed in the middle, backup and restore go on', async (t) => {
    const place = backupPlace(t, 14);
    // Large enough that there is a middle.
    for (const index of [0, 1, 2]) {
        const { uuid } = place.images[index + 7]?.fixture ?? { uuid: '' };
        replaceImageFile(place.base, uuid, Buffer.alloc(50_000_000, index));
    }
    const before = place.data();
    const some = (directory: string) => (): boolean => {
        try {
            return readdirSync(directory, { recursive: true }).length > 10;
        } catch {
            return false;
        }
    };
    const backup = place.start('backup', '--dest', place.dest, '-y', '-p', '1');
    await eventually('some files', LIMIT_MS, () =>
        snapshots(place).some((name) => some(join(place.dest, name))()),
    );
    backup.signal('SIGKILL');
    t.match(await backup.exited, { signal: 'SIGKILL' });
    t.match(await place.run('restore', '--from', place.dest, '-y'), {
        code: 1,
        stderr: /no complete snapshot/,
    });
    t.match(await place.run('backup', '--dest', place.dest, '-y'), { code: 0 });
    t.equal(snapshots(place).length, 1, 'nothing of the killed one');
    place.wipe('etc');
    const restore = place.start('restore', '--from', place.dest, '-y', '-p', '1');
    await eventually('some files', LIMIT_MS, some(join(place.base, 'restore.tmp/images')));
    restore.signal('SIGKILL');
    t.match(await restore.exited, { signal: 'SIGKILL' });
    t.strictSame([...place.data().keys()], [], 'nothing is in place');
    const again = await place.run('restore', '--from', place.dest, '-y', '--json');
    t.match(again.code, /^[01]$/);
    t.ok(Number(summaryOf(again)['fetched']) < before.size, 'not all of it again');
    t.strictSame(differences(before, place.data()), []);
    // As after a kill while files are moved: all had come, some are in place.
    const staging = join(place.base, 'restore.tmp');
    mkdirSync(join(staging, 'manifests'), { recursive: true });
    for (const name of readdirSync(join(place.base, 'manifests')).slice(0, 5)) {
        renameSync(join(place.base, 'manifests', name), join(staging, 'manifests', name));
    }
    writeFileSync(join(staging, 'moving'), join(place.dest, snapshots(place)[0] ?? ''));
    t.match((await place.run('restore', '--from', place.dest, '-y')).code, /^[01]$/);
    t.strictSame(differences(before, place.data()), []);
    mkdirSync(staging);
    writeFileSync(join(staging, 'moving'), 'elsewhere');
    t.match(await place.run('restore', '--from', place.dest, '-y'), {
        code: 1,
        stderr: /a restore from elsewhere was broken off/,
    });
});
