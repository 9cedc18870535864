import { appendFileSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { fileOf } from '#lib/cli/imgapiadm/backup/backup-files.js';
import { restoreEtc } from '#lib/cli/imgapiadm/backup/restore-etc.js';
import type { RestoreSource } from '#lib/cli/imgapiadm/backup/restore-source.js';
import { seal, unseal } from '#lib/cli/imgapiadm/backup/sealed-etc.js';
import type { MantaConnection } from '#lib/remotes/manta/manta-connection.js';
import { listDirectory } from '#lib/remotes/manta/manta-listing.js';
import { replaceImageFile } from '../helpers/backup-place.js';
import { differences } from '../helpers/data-tree.js';
import { imageDirectory, sha1Hex } from '../helpers/images.js';
import { imageOf, mantaBackup, runOn, sha1In, storedOf, whenFirst } from '../helpers/manta-backup.js';

void t.test('backup to Manta, wipe, restore: every byte is there again', async (t) => {
    const place = await mantaBackup(t, 14);
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

void t.test('a file that is replaced in the middle never breaks what belongs together', async (t) => {
    const place = await mantaBackup(t, 4);
    await runOn(place).run.run();
    const [first, second, third] = [imageOf(place, 3), imageOf(place, 1), imageOf(place, 2)];
    const icon = first.path.replace('file0', 'icon');

    replaceImageFile(place.base, first.uuid, 'new');
    const racing = runOn(
        place,
        whenFirst(first.path, () => {
            replaceImageFile(place.base, first.uuid, 'newer');
            replaceImageFile(place.base, first.uuid, 'other icon', 'icon');
        }),
    );
    await racing.run.run();
    t.strictSame(racing.problems, []);
    const stored = await storedOf(place, first.uuid);
    t.match(stored, { [first.path]: 'newer', [icon]: 'other icon' }, 'read again, as the icon did not fit');
    t.equal(sha1In(stored), sha1Hex('newer'));

    const record = JSON.parse(readFileSync(third.raw, 'utf8')) as Record<string, unknown>;
    writeFileSync(third.raw, JSON.stringify({ ...record, files: [{ stor: 'local' }] }));
    writeFileSync(third.file, 'being');
    const written = runOn(
        place,
        whenFirst(third.path, () => appendFileSync(third.file, ' written')),
    );
    await written.run.run();
    t.strictSame(written.problems, []);
    t.equal((await storedOf(place, third.uuid))[third.path], 'being written', 'read again');

    replaceImageFile(place.base, second.uuid, 'short-lived');
    const deleting = runOn(place, {
        force: true,
        ...whenFirst(second.path, () => {
            rmSync(second.raw);
            rmSync(second.file);
        }),
    });
    await deleting.run.run();
    t.strictSame(deleting.problems, []);
    t.equal(sha1In(await storedOf(place, second.uuid)), sha1Hex('short-lived'), 'as it was just before');
    await runOn(place, { force: true }).run.run();
    t.strictSame(await storedOf(place, second.uuid), {}, 'the next run takes it away');
});

void t.test(
    'a record that cannot be read in the middle is stored as it was read, with its files',
    async (t) => {
        const place = await mantaBackup(t, 6);
        await runOn(place).run.run();
        const image = imageOf(place);
        replaceImageFile(place.base, image.uuid, 'new');
        const breaking = runOn(
            place,
            whenFirst(image.path, () => {
                rmSync(image.raw);
                // Opened, it fails to be read, whoever tries.
                symlinkSync('/proc/self/mem', image.raw);
            }),
        );
        await breaking.run.run();
        t.strictSame(breaking.problems, []);
        const stored = await storedOf(place, image.uuid);
        t.equal(stored[image.path], 'new');
        t.equal(sha1In(stored), sha1Hex('new'));

        rmSync(image.raw);
        writeFileSync(image.raw, '{}');
        writeFileSync(image.file, 'newer');
        const broken = runOn(place, {
            begin: () => {
                rmSync(image.raw);
                symlinkSync('/proc/self/mem', image.raw);
            },
        });
        await broken.run.run();
        t.match(broken.problems, [
            /manifests\/.*\.raw: it cannot be read: .*; the image stays in the backup as it was$/,
        ]);
        t.strictSame(await storedOf(place, image.uuid), stored);
    },
);

void t.test(
    'an image that is not what its record says stays as it was, or is left out, and is told of',
    async (t) => {
        const place = await mantaBackup(t, 6);
        const damage: Readonly<Record<string, (image: ReturnType<typeof imageOf>, bytes: Buffer) => void>> = {
            'it is not there': ({ file }) => rmSync(file),
            'it has 3 bytes, its record says \\d+': ({ file }) => writeFileSync(file, 'odd'),
            'its SHA-1 is \\w+, its record says \\w+': ({ file }, bytes) =>
                writeFileSync(file, Buffer.alloc(bytes.length, 'x')),
            'it is no record': ({ raw }) => writeFileSync(raw, ''),
        };
        for (const [text, what] of Object.entries(damage)) {
            for (const isFirst of [true, false]) {
                const image = imageOf(place);
                const [bytes, record] = [readFileSync(image.file), readFileSync(image.raw)];
                if (!isFirst) await runOn(place).run.run();
                const before = await storedOf(place, image.uuid);
                what(image, bytes);
                for (const time of ['once', 'each time']) {
                    const { run, problems } = runOn(place);
                    await run.run();
                    const end = isFirst
                        ? 'the image is left out of the backup'
                        : 'the image stays in the backup as it was';
                    t.match(problems, [new RegExp(`${image.uuid}.*${text}; ${end}$`)], `${text}, ${time}`);
                    t.strictSame(await storedOf(place, image.uuid), before);
                }
                writeFileSync(image.file, bytes);
                writeFileSync(image.raw, record);
                if (!isFirst) {
                    for (const path of place.area.double.objects(place.root))
                        await place.area.client.call('unlink', path);
                }
            }
        }
        rmSync(imageOf(place).file);
        const told = await place.here('backup', '-y');
        t.match(told, { code: 1, stdout: [/^Back/, /^Started/, /the image is left out of the backup$/] });
    },
);

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
    const place = await mantaBackup(t, 4);
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
    replaceImageFile(place.base, imageOf(place).uuid, 'x');
    double.inject({ refuse: 503 }, { kind: 'put' });
    t.match(await place.here('backup', '-y'), { code: 1, stderr: /storage is down/i });
    t.equal(readFileSync(join(place.base, 'run/backup.status'), 'utf8'), '1\n');
    double.clearFaults();
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
    const place = await mantaBackup(t, 2, 1000);
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

void t.test('etc: nothing outside of it is written', async (t) => {
    const directory = t.testdir({ etc: {} });
    const source: RestoreSource = {
        where: 'here',
        identity: 'here',
        list: () => Promise.resolve(new Map()),
        read: (path, use) => use(fileOf(path, Buffer.from('x'))),
    };
    for (const path of ['etc/../x', 'etc//x', 'etc/a/../../x']) {
        const restore = {
            etc: join(directory, 'etc'),
            source,
            files: new Map([[path, { size: 1 }]]),
            passphrase: undefined,
            owner: undefined,
            onNote: () => undefined,
        };
        await t.rejects(restoreEtc(restore), /a file of etc outside of it/, path);
    }
    t.strictSame(readdirSync(directory, { recursive: true }), ['etc']);
});

void t.test('a record that is a moment later than its file is waited for', async (t) => {
    const place = await mantaBackup(t, 6);
    await runOn(place).run.run();
    const image = imageOf(place);
    const before = readFileSync(image.raw);
    replaceImageFile(place.base, image.uuid, 'the new one');
    const after = readFileSync(image.raw);
    writeFileSync(image.raw, before);
    const pauses: number[] = [];
    const waiting = runOn(place, {
        pause: (ms) => {
            if (pauses.push(ms) === 3) writeFileSync(image.raw, after);
            return Promise.resolve();
        },
    });
    await waiting.run.run();
    t.strictSame(waiting.problems, []);
    t.equal(pauses.length, 3);
    t.equal((await storedOf(place, image.uuid))[image.path], 'the new one');

    writeFileSync(image.raw, before);
    const waits: number[] = [];
    const damaged = runOn(place, { pause: (ms) => Promise.resolve(void waits.push(ms)) });
    await damaged.run.run();
    t.match(damaged.problems, [/it has 11 bytes, its record says \d+; the image stays/]);
    t.equal(
        waits.reduce((sum, ms) => sum + ms, 0),
        2000,
        'no longer',
    );
    const stopped = runOn(place, { pause: () => Promise.reject(new Error('stopped')) });
    await t.rejects(stopped.run.run(), { message: 'stopped' });
});

void t.test('what was placed for one record is compared with the next one, too', async (t) => {
    const place = await mantaBackup(t, 4);
    await runOn(place).run.run();
    const image = imageOf(place, 3);
    const before = await storedOf(place, image.uuid);
    const record = JSON.parse(readFileSync(image.raw, 'utf8')) as {
        readonly files: readonly object[];
        readonly icon: object;
    };
    const write = (changes: object): void =>
        writeFileSync(image.raw, JSON.stringify({ ...record, ...changes }));
    // The icon does not fit, so all begins anew; then the file, which is there already, does not.
    write({ icon: { ...record.icon, size: 1 } });
    const { run, problems } = runOn(place, {
        pause: () => {
            write({ files: [{ ...record.files[0], sha1: 'a'.repeat(40) }, ...record.files.slice(1)] });
            return Promise.resolve();
        },
    });
    await run.run();
    t.match(problems, [/file0: its SHA-1 is \w+, its record says a{40}; the image stays/]);
    t.strictSame(await storedOf(place, image.uuid), before);
});
