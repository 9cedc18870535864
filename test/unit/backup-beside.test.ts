// Backups to Manta that are not alone there: restores and other installations beside them, and what was begun
// there before (operations 3.2, 4.7).
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { AreaClaim } from '#lib/cli/imgapiadm/backup/area-claim.js';
import { findBackup } from '#lib/cli/imgapiadm/backup/find-backup.js';
import type { ListedObject } from '#lib/remotes/object-store.js';
import { backupPlace, replaceImageFile, type BackupPlace } from '../helpers/backup-place.js';
import { sha1Hex } from '../helpers/images.js';
import { altered } from '../helpers/manta-area.js';
import { imageOf, mantaBackup, runOn, storedOf, type MantaBackup } from '../helpers/manta-backup.js';
import { recordingLog } from '../helpers/recording-log.js';

interface Pair extends MantaBackup {
    /** Another installation with the same area. */
    readonly other: BackupPlace;
}

async function setUp(t: Test, count: number): Promise<Pair> {
    const place = await mantaBackup(t, count);
    const other = backupPlace(t, 0, { manta: place.area.config, instanceUuid: newUuid() });
    t.match(await place.here('backup', '-y'), { code: 0 });
    return { ...place, other };
}

function sha1OfFile(place: BackupPlace, { path, raw }: ReturnType<typeof imageOf>): readonly string[] {
    const { files } = JSON.parse(readFileSync(raw, 'utf8')) as { files: { sha1: string }[] };
    return [files[0]?.sha1 ?? '', sha1Hex(readFileSync(join(place.base, path)))];
}

void t.test('a restore beside a backup has every image, as it was or as it is', async (t) => {
    const { other, area, root, ...place } = await setUp(t, 2);
    const { double } = area;
    const image = imageOf(place);
    const inOther = { ...image, raw: join(other.base, 'manifests', `${image.uuid}.raw`) };
    const listed = { kind: ['list', 'get'], times: 1 } as const;
    // Where the restore is when the backup goes on, and how far that comes before the restore goes on.
    const looks = {
        'records first': { ...listed, path: `${root}/manifests` },
        'what waits': { ...listed, path: `${root}/next/manifests` },
        'image files': { ...listed, path: `${root}/images` },
        'records again': { ...listed, path: `${root}/manifests`, skip: 1 },
    };
    const steps = {
        'nothing is removed': { kind: 'delete', path: `${root}/manifests/${image.uuid}.raw`, times: 1 },
        'nothing is copied': { kind: 'link', times: 1 },
        'all but the record is copied': { kind: 'link', path: /manifests/, times: 1 },
        'it is at its end': { kind: 'put', path: /never/ },
    } as const;
    for (const [look, lookedAt] of Object.entries(looks)) {
        for (const [step, steppedAt] of Object.entries(steps)) {
            // Before and after the records are looked at, where the backup is makes all the difference.
            if (!['what waits', 'records again'].includes(look) && step !== 'nothing is copied') continue;
            other.wipe('etc');
            const old = sha1OfFile(place, image)[0];
            replaceImageFile(place.base, image.uuid, randomBytes(100));
            const now = sha1OfFile(place, image)[0];
            const looking = double.hold(lookedAt);
            const restore = other.here('restore', '-y');
            await looking.arrived();
            const stepping = double.hold(steppedAt);
            const backup = place.here('backup', '-y');
            await Promise.race([stepping.arrived(), backup]);
            looking.resume();
            const { code, stderr } = await restore;
            stepping.resume();
            t.match(await backup, { code: 0 });
            const name = `${look}, ${step}`;
            t.equal(code, 0, `${name}: ${stderr}`);
            const [named, actual] = sha1OfFile(other, inOther);
            t.equal(actual, named, name);
            t.ok([old, now].includes(actual ?? ''), name);
            if (look === 'records first') t.match(stderr, /is under way, or was broken off/, name);
            double.clearFaults();
        }
    }
});

void t.test('a file that is replaced while it is restored fails the restore', async (t) => {
    const { other, area, root, ...place } = await setUp(t, 2);
    const image = imageOf(place);
    for (const path of [image.path, `manifests/${image.uuid}.raw`]) {
        other.wipe('etc');
        const { length } = readFileSync(image.file);
        const hold = area.double.hold({ kind: 'get', path: `${root}/${path}`, times: 1 });
        const restore = other.here('restore', '-y');
        await hold.arrived();
        // The same size: nothing else would tell.
        replaceImageFile(place.base, image.uuid, randomBytes(length));
        t.match(await place.here('backup', '-y'), { code: 0 });
        hold.resume();
        t.match(await restore, { code: 1, stderr: /was replaced in the backup meanwhile/ }, path);
        t.strictSame([...other.data()], [], 'nothing is in place');
    }
    t.match(await other.here('restore', '-y'), { code: 0 });
});

void t.test('a backup that never stands still is not looked at for ever', async (t) => {
    const { area, root } = await setUp(t, 2);
    let lists = 0;
    const restless = altered(area.objects, {
        async *list(path: string): AsyncIterable<ListedObject> {
            lists += 1;
            for await (const entry of area.objects.list(path)) yield { ...entry, etag: String(lists) };
        },
    });
    await t.rejects(findBackup(restless, root, 2), /changes while it is looked at: wait until the backup/);
    t.ok(lists < 200, String(lists));
    t.match((await findBackup(area.objects, root, 2)).begun, []);
});

void t.test('what waits is taken away, or replaced, by somebody else: the old image stays', async (t) => {
    const place = await setUp(t, 2);
    const { area, root } = place;
    const image = imageOf(place);
    const before = await storedOf(place, image.uuid);
    const waiting = `${root}/next/${image.path}`;
    for (const change of [
        () => area.client.call('unlink', waiting),
        () => area.client.put(waiting, randomBytes(100)),
        () => area.client.put(waiting, randomBytes(99)),
    ]) {
        replaceImageFile(place.base, image.uuid, randomBytes(100));
        const record = `${root}/next/manifests/${image.uuid}.raw`;
        const hold = area.double.hold({ kind: 'put', path: record, times: 1 });
        const running = runOn(place).run.run();
        await Promise.race([hold.arrived(), running]);
        await change();
        hold.resume();
        await t.rejects(running, /next\/images\/.* is gone, or another one, since it was stored/);
        const stored = Object.entries(await storedOf(place, image.uuid));
        const trees = stored.filter(([path]) => !path.startsWith('next/'));
        t.strictSame(Object.fromEntries(trees), before);
        t.notOk(stored.some(([path]) => path.startsWith('next/manifests')));
    }
    await runOn(place).run.run();
    t.strictSame(area.double.objects(`${root}/next`), []);
    t.equal((await storedOf(place, image.uuid))[image.path], readFileSync(image.file, 'latin1'));
});

void t.test('what was begun and cannot be brought to its end is not put in place, but told of', async (t) => {
    const { other, ...place } = await setUp(t, 3);
    const { area, root } = place;
    const image = imageOf(place);
    const record = `manifests/${image.uuid}.raw`;
    const bytes = readFileSync(image.file);
    /** A record of another file of that size. */
    const newer = (size: number): string => {
        const kept = readFileSync(image.raw);
        replaceImageFile(place.base, image.uuid, randomBytes(size));
        const text = readFileSync(image.raw, 'utf8');
        writeFileSync(image.file, bytes);
        writeFileSync(image.raw, kept);
        return text;
    };
    const begin = async (text: string): Promise<void> => {
        await area.client.call('unlink', `${root}/${record}`);
        await area.put(`backup/next/${record}`, text);
    };
    for (const [text, problem] of [
        [newer(7), `file0 has ${bytes.length} bytes, it says 7`],
        [newer(bytes.length), 'the MD5 of file0 is \\S+, it says \\S+'],
        ['{"files":[{},{}]}', 'file1, which it names, is not there'],
        ['{', 'it is no record'],
        [' '.repeat(17_000_000), 'it is too large for a record'],
    ] as const) {
        await begin(text);
        other.wipe('etc');
        const restored = await other.here('restore', '-y');
        const told = new RegExp(`next/${record}: (?:${problem}); the image is not restored`);
        t.match(restored, { code: 1, stdout: [told] }, problem);
        t.notOk([...other.data().keys()].includes(record));
        t.equal([...other.data().keys()].filter((path) => path.startsWith('manifests/')).length, 2);
        area.double.clearRequests();
        const backup = await place.here('backup', '-y');
        t.equal(backup.code, 1);
        const lines = backup.stdout.filter((line) => line.includes('nothing of it is put in place'));
        t.match(lines, [new RegExp(`next/${record}: (?:${problem}); `)]);
        t.strictSame(area.double.requests({ kind: 'link' }), []);
        const stored = await storedOf(place, image.uuid);
        t.equal(stored[image.path], bytes.toString('latin1'));
        t.equal(stored[record], readFileSync(image.raw, 'latin1'), 'stored anew');
        t.strictSame(area.double.objects(`${root}/next`), []);
        t.match(await place.here('backup', '-y'), { code: 0 });
    }
    await begin(newer(7));
    rmSync(image.raw);
    rmSync(image.file);
    t.match(await place.here('backup', '-y', '--force'), { code: 1 });
    t.notOk(Object.hasOwn(await storedOf(place, image.uuid), record));
});

void t.test('a dry run counts what was begun as what it will be', async (t) => {
    const place = await setUp(t, 3);
    const counts = async () => {
        rmSync(join(place.base, 'run/backup-state.json'), { force: true });
        const { stdout } = await place.here('backup', '-n', '--json');
        const { summary } = JSON.parse(stdout.at(-1) ?? '') as { summary: Record<string, number> };
        return [summary['copied'], summary['kept'], summary['removed']];
    };
    const before = await counts();
    replaceImageFile(place.base, imageOf(place).uuid, randomBytes(100));
    const end = place.area.double.inject({ refuse: 500 }, { kind: 'link' });
    t.match(await place.here('backup', '-y'), { code: 1 });
    end();
    t.match(await findBackup(place.area.objects, place.root, 2), { begun: [/raw$/], broken: [] });
    t.strictSame(await counts(), before);
});

void t.test('of two installations with one area, one makes backups', async (t) => {
    const { other, area, root, ...place } = await mantaBackup(t, 2).then((made) => ({
        ...made,
        other: backupPlace(t, 2, { manta: made.area.config }),
    }));
    const marker = `${area.rootDir}/run/owner.json`;
    t.match(await place.here('backup', '-n'), { code: 0 });
    t.strictSame(area.double.objects(area.rootDir), [], 'a dry run marks nothing');
    const image = imageOf(place);
    const hold = area.double.hold({ kind: 'put', path: `${root}/${image.path}`, times: 1 });
    const running = place.here('backup', '-y', '-p', '1');
    await hold.arrived();
    area.double.clearRequests();
    const refused = await other.here('backup', '-y', '--force');
    t.match(refused, { code: 1, stderr: /another host uses this Manta area: .*two hours after/ });
    t.strictSame(area.double.requests({ kind: ['put', 'delete', 'mkdir', 'link'] }), []);
    hold.resume();
    t.match(await running, { code: 0 });
    for (const path of area.double.objects(root)) await area.client.call('unlink', path);
    await area.client.call('unlink', marker);
    const both = await Promise.all([place, other].map((each) => each.here('backup', '-y')));
    t.strictSame(both.map(({ code }) => code).sort(), [0, 1], 'begun at the same time');
    const winner = both[0]?.code === 0 ? place : other;
    const records = (paths: Iterable<string>): string[] =>
        [...paths].filter((path) => path.endsWith('.raw')).map((path) => path.slice(-40));
    t.strictSame(records(area.double.objects(root)).sort(), records(winner.data().keys()).sort());
});

void t.test('a backup whose area becomes that of another ends', async (t) => {
    const { area } = await mantaBackup(t, 0);
    const { log } = recordingLog();
    const interrupt = new AbortController();
    const claim = new AreaClaim({
        objects: area.objects,
        rootDir: area.rootDir,
        instance: newUuid(),
        signal: interrupt.signal,
        log,
        refreshMs: 10,
    });
    await claim.take();
    const lost = once(claim.signal, 'abort');
    const theirs = JSON.stringify({ instance: newUuid(), host: 'thief', time: new Date() });
    await area.put('run/owner.json', theirs);
    await lost;
    t.match(claim.signal.reason, { message: /another host uses this Manta area: thief/ });
    t.equal(await area.read('run/owner.json'), theirs);
    await claim.end();
    await t.rejects(claim.check(), /thief/);
});
