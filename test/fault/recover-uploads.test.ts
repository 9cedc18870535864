import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { storageIsDown } from '#lib/base/errors.js';
import { recoverUploads } from '#lib/images/recover-uploads.js';
import type { ImageFile, RawImage } from '#lib/manifest/types.js';
import type { Storage, StorageWriter } from '#lib/storage/storage.js';
import type { UploadIntent } from '#lib/storage/upload-journal.js';
import { type Bench, makeBench, onEveryBackend, sha1 } from '../helpers/image-bench.js';
import { requireAgreement } from '../helpers/image-faults.js';
import { addFile, FIRST, plantImage, SECOND } from '../helpers/planted-images.js';

/** How far an upload came before the crash. */
const POINTS = ['noted', 'old entry removed', 'bytes in place', 'recorded'] as const;

function uploadsOf(bench: Bench): string {
    const directory = join(bench.base, 'run', 'uploads');
    mkdirSync(directory, { recursive: true });
    return directory;
}

async function setFiles(bench: Bench, uuid: string, files: readonly ImageFile[]): Promise<void> {
    await bench.database.update(uuid, (raw): RawImage => ({ ...raw, files }));
}

/** Leaves the intent of a process that has ended. */
function leaveIntent(bench: Bench, intent: UploadIntent): void {
    const owner = { pid: spawnSync('true').pid, host: hostname(), app: 'upload', at: '' };
    writeFileSync(
        join(uploadsOf(bench), `${intent.uuid}.file0.json`),
        JSON.stringify({ ...owner, ...intent }),
    );
}

/** Leaves what a crash leaves that came right after `point`. */
async function crashAt(
    bench: Bench,
    uuid: string,
    point: (typeof POINTS)[number],
    bytes: Buffer = SECOND,
): Promise<StorageWriter> {
    const reached = POINTS.indexOf(point);
    const previous = (await bench.raw(uuid)).files?.[0];
    const writer = await bench.local.createWriter(uuid, 'file0');
    await writer.write(bytes);
    await writer.close();
    const next: ImageFile = { sha1: sha1(bytes), size: bytes.length, stor: 'local', compression: 'none' };
    leaveIntent(bench, {
        uuid,
        name: 'file0',
        stor: 'local',
        temporaryName: writer.temporaryName,
        ...(previous === undefined ? {} : { previous }),
        next,
    });
    if (reached >= 1) await setFiles(bench, uuid, []);
    if (reached >= 2) await writer.commit();
    if (reached >= 3) await setFiles(bench, uuid, [next]);
    return writer;
}

for (const point of POINTS) {
    for (const replacing of [false, true]) {
        const what = `${replacing ? 'a replacing' : 'a first'} upload cut off after "${point}" is settled`;
        onEveryBackend(t, what, async (t, backend) => {
            const bench = await makeBench(t, { backend });
            const uuid = await plantImage(bench);
            if (replacing) await addFile(bench, uuid, FIRST);
            await crashAt(bench, uuid, point);

            await recoverUploads(bench.services, bench.context().log);

            const visible = POINTS.indexOf(point) >= 2;
            const expected = visible ? SECOND : replacing ? FIRST : undefined;
            t.same(await bench.bytes(uuid, 'file0'), expected, 'the bytes are the old or the new ones');
            await requireAgreement(t, bench, uuid);
            t.same(
                (await bench.files()).map((file) => file.name),
                expected === undefined ? [] : ['file0'],
                'no temporary file is left',
            );
            t.same(await bench.services.uploads.pending(), []);
        });
    }
}

onEveryBackend(t, 'bytes of the same size are told apart', async (t, backend) => {
    const other = Buffer.alloc(FIRST.length, 'x');
    for (const [point, expected] of [
        ['old entry removed', FIRST],
        ['bytes in place', other],
    ] as const) {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST);
        await crashAt(bench, uuid, point, other);
        await recoverUploads(bench.services, bench.context().log);
        t.same(await bench.bytes(uuid, 'file0'), expected, point);
        await requireAgreement(t, bench, uuid);
    }
});

void t.test('a crash while an upload is settled leaves as much to go by', async (t) => {
    const bench = await makeBench(t, { backend: 'memory' });
    const uuid = await plantImage(bench);
    await addFile(bench, uuid, FIRST);
    await crashAt(bench, uuid, 'old entry removed');
    const { database } = bench;
    const update = database.update.bind(database);
    database.update = () => Promise.reject(new Error('cut off'));
    await recoverUploads(bench.services, bench.context().log);
    t.equal((await bench.services.uploads.pending()).length, 1);
    database.update = update;
    await recoverUploads(bench.services, bench.context().log);
    t.match((await bench.raw(uuid)).files, [{ sha1: sha1(FIRST) }], 'the old file is back');
    await requireAgreement(t, bench, uuid);
    t.same(await bench.services.uploads.pending(), []);
});

onEveryBackend(t, 'bytes of an image that is gone are removed', async (t, backend) => {
    const bench = await makeBench(t, { backend });
    const uuid = await plantImage(bench);
    await crashAt(bench, uuid, 'bytes in place');
    await bench.database.del(uuid);
    await recoverUploads(bench.services, bench.context().log);
    t.same(await bench.files(), []);
    t.same(await bench.services.uploads.pending(), []);
});

/** Has `commit` come to its end right after the next look at what is in place. */
function commitLate(storage: Storage, commit: () => Promise<void>): void {
    const stat = storage.stat.bind(storage);
    storage.stat = async (uuid, name) => {
        const facts = await stat(uuid, name);
        storage.stat = stat;
        await commit().catch(() => undefined);
        return facts;
    };
}

void t.test('a storage that was too slow changes nothing that has been looked at', async (t) => {
    const bench = await makeBench(t, { backend: 'local' });
    const uuid = await plantImage(bench);
    await addFile(bench, uuid, FIRST);
    const writer = await crashAt(bench, uuid, 'old entry removed');
    commitLate(bench.local, () => writer.commit());
    await recoverUploads(bench.services, bench.context().log);
    t.same(await bench.bytes(uuid, 'file0'), FIRST);
    await requireAgreement(t, bench, uuid);

    const createWriter = bench.local.createWriter.bind(bench.local);
    bench.local.createWriter = async (...args) => {
        const slow = await createWriter(...args);
        const commit = slow.commit.bind(slow);
        slow.commit = () => {
            commitLate(bench.local, commit);
            return Promise.reject(storageIsDown());
        };
        return slow;
    };
    await t.rejects(addFile(bench, uuid, SECOND), { code: 'StorageIsDown' });
    t.same(await bench.bytes(uuid, 'file0'), FIRST);
    await requireAgreement(t, bench, uuid);
});

onEveryBackend(t, 'bytes beside those in another storage', async (t, backend) => {
    for (const point of POINTS) {
        const bench = await makeBench(t, { backend, config: { storageTypes: ['local', 'manta'] } });
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST, { storage: 'manta' });
        const [before] = (await bench.raw(uuid)).files ?? [];
        await crashAt(bench, uuid, point);
        // The entry stays until the record names the new bytes.
        if (before !== undefined && point !== 'recorded') await setFiles(bench, uuid, [before]);
        await recoverUploads(bench.services, bench.context().log);
        const isDone = point === 'recorded';
        t.match((await bench.raw(uuid)).files, [{ sha1: sha1(isDone ? SECOND : FIRST) }], point);
        t.same(await bench.bytes(uuid, 'file0', bench.manta), FIRST, 'the journal of deletes has these');
        t.same(
            (await bench.files()).map((file) => file.name),
            isDone ? ['file0'] : [],
            'what the record does not name is removed',
        );
        t.same(await bench.services.uploads.pending(), []);
    }
});

void t.test('what cannot be settled is kept for later', async (t) => {
    const bench = await makeBench(t, { backend: 'memory' });
    const uuid = await plantImage(bench);
    await crashAt(bench, uuid, 'bytes in place');
    bench.memory().database.unreachable = true;
    await recoverUploads(bench.services, bench.context().log);
    t.equal((await bench.services.uploads.pending()).length, 1);
    bench.memory().database.unreachable = false;
    await recoverUploads(bench.services, bench.context().log);
    await requireAgreement(t, bench, uuid);
    t.same(await bench.services.uploads.pending(), []);
});

void t.test('an intent that cannot be read is left where it is', async (t) => {
    const bench = await makeBench(t, { backend: 'local' });
    const uuid = await plantImage(bench);
    await addFile(bench, uuid, FIRST);
    const directory = uploadsOf(bench);
    writeFileSync(join(directory, `${uuid}.0.json`), '{"uuid":');
    await recoverUploads(bench.services, bench.context().log);
    t.same(readdirSync(directory), [`${uuid}.0.json`]);
    await requireAgreement(t, bench, uuid);
});

onEveryBackend(t, 'an intent of an earlier release, which had no owner, is settled', async (t, backend) => {
    const bench = await makeBench(t, { backend });
    const uuid = await plantImage(bench);
    await crashAt(bench, uuid, 'bytes in place');
    const directory = uploadsOf(bench);
    const [name = ''] = readdirSync(directory);
    const { pid, host, app, at, ...intent } = JSON.parse(
        readFileSync(join(directory, name), 'utf8'),
    ) as Record<string, unknown>;
    t.match({ pid, host, app, at }, { pid: Number, host: hostname() });
    unlinkSync(join(directory, name));
    writeFileSync(join(directory, `${uuid}.0123456789abcdef.json`), JSON.stringify(intent));
    await recoverUploads(bench.services, bench.context().log);
    t.same(await bench.bytes(uuid, 'file0'), SECOND);
    await requireAgreement(t, bench, uuid);
    t.same(readdirSync(directory), []);
});

onEveryBackend(t, 'the next upload of the file settles what was left first', async (t, backend) => {
    const bench = await makeBench(t, { backend });
    const uuid = await plantImage(bench);
    await addFile(bench, uuid, FIRST);
    await crashAt(bench, uuid, 'bytes in place');
    await addFile(bench, uuid, FIRST);
    t.same(await bench.bytes(uuid, 'file0'), FIRST);
    await requireAgreement(t, bench, uuid);
    t.same(readdirSync(uploadsOf(bench)), []);
    t.same(
        (await bench.files()).map((file) => file.name),
        ['file0'],
    );
});
