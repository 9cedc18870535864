// Images with several files: their places in the record, crashes between bytes and record, and copies of all
// of them from another image server (jobs-and-imports 0.6, 3.1, 8.3).
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { ApiError, storageIsDown } from '#lib/base/errors.js';
import { toOutgoingError } from '#lib/base/http-errors.js';
import { addFileFromSource } from '#lib/images/add-file-from-source.js';
import { fileSlot } from '#lib/images/add-image-file.js';
import type { ImageServices } from '#lib/images/context.js';
import { recoverUploads } from '#lib/images/recover-uploads.js';
import { sourceFile, sourceFiles } from '#lib/images/source-files.js';
import type { ImageFile, JsonObject, RawImage } from '#lib/manifest/types.js';
import type { ImageSource } from '#lib/remotes/image-source.js';
import type { UploadIntent } from '#lib/storage/upload-journal.js';
import { Gate } from '../doubles/gate.js';
import { type Bench, makeBench, onEveryBackend, sha1 } from '../helpers/image-bench.js';
import { requireAgreement } from '../helpers/image-faults.js';
import { plantImage } from '../helpers/planted-images.js';
import { eventually } from '../helpers/server-process.js';

const A = Buffer.from('the first file');
const B = Buffer.from('the second');
const C = Buffer.from('another first file');

const FILE = { sha1: sha1(A), size: 1, compression: 'none' };

function entry(bytes: Buffer): ImageFile {
    return { sha1: sha1(bytes), size: bytes.length, compression: 'none', stor: 'local' };
}

async function setFiles(bench: Bench, uuid: string, files: readonly ImageFile[]): Promise<void> {
    await bench.database.update(uuid, (raw): RawImage => ({ ...raw, files }));
}

/** The only type of images that may have two files. */
const LXD = { more: { type: 'lxd' } };

/** An image with two files. */
async function plantTwo(bench: Bench): Promise<string> {
    const uuid = await plantImage(bench, LXD);
    await bench.plantFile(uuid, 'file0', A);
    await bench.plantFile(uuid, 'file1', B);
    await setFiles(bench, uuid, [entry(A), entry(B)]);
    return uuid;
}

/** Leaves the intent of a process that has ended. */
function leaveIntent(bench: Bench, intent: UploadIntent): void {
    const directory = join(bench.base, 'run', 'uploads');
    mkdirSync(directory, { recursive: true });
    const owner = { pid: spawnSync('true').pid, host: hostname(), app: 'upload', at: '' };
    const path = join(directory, `${intent.uuid}.${intent.name}.json`);
    writeFileSync(path, JSON.stringify({ ...owner, ...intent }));
}

function sha1s(raw: RawImage): readonly string[] {
    return (raw.files ?? []).map((file) => file.sha1);
}

for (const inPlace of [A, C]) {
    const what = `the first of two files, cut off with the ${inPlace === A ? 'old' : 'new'} bytes in place`;
    onEveryBackend(t, what, async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantTwo(bench);
        const writer = await bench.local.createWriter(uuid, 'file0');
        await writer.write(C);
        await writer.close();
        leaveIntent(bench, {
            uuid,
            name: 'file0',
            stor: 'local',
            temporaryName: writer.temporaryName,
            previous: entry(A),
            behind: [entry(B)],
            next: entry(C),
        });
        await setFiles(bench, uuid, []);
        if (inPlace === C) await writer.commit();
        await recoverUploads(bench.services, bench.context().log);
        t.same(sha1s(await bench.raw(uuid)), [sha1(inPlace), sha1(B)], 'the second one is still named');
        await requireAgreement(t, bench, uuid);
        t.same(await bench.services.uploads.pending(), []);
    });
}

onEveryBackend(t, 'a second file whose first one is gone has no place', async (t, backend) => {
    const bench = await makeBench(t, { backend });
    const uuid = await plantImage(bench, LXD);
    await bench.plantFile(uuid, 'file1', B);
    const temporaryName = 'file1.00000000-0000-4000-8000-000000000000';
    leaveIntent(bench, { uuid, name: 'file1', stor: 'local', temporaryName, next: entry(B) });
    await recoverUploads(bench.services, bench.context().log);
    t.same(sha1s(await bench.raw(uuid)), []);
    t.same(await bench.files(), []);
    t.same(await bench.services.uploads.pending(), []);
});

void t.test('the slot of a file', async (t) => {
    const bench = await makeBench(t);
    const raw = await bench.raw(await plantTwo(bench));
    const [first, second, third] = [0, 1, 2].map((index) => fileSlot(entry(C), index));
    t.same(first?.filled(raw, raw)['files'], [entry(C), entry(B)]);
    t.same(second?.filled(raw, raw)['files'], [entry(A), entry(C)]);
    t.same(third?.filled(raw, raw)['files'], [entry(A), entry(B), entry(C)]);
    t.notOk('files' in (first?.emptied(raw) ?? raw), 'nothing is in front of the first');
    t.same(second?.emptied(raw)['files'], [entry(A)]);
    t.same(second?.restored({ ...raw, files: [entry(A)] }, raw)['files'], raw.files);
    t.same(third?.current(raw), undefined);
    third?.check(raw);
    t.throws(() => fileSlot(entry(C), 3).check(raw), { code: 'ServiceUnavailableError' }, 'no gaps');
});

void t.test('files by their manifest', (t) => {
    const uuid = 'f0000000-0000-4000-8000-000000000001';
    const old = { creator_uuid: uuid, uuid, files: [{ sha1: sha1(A), size: 1, url: 'http://x/a.bz2' }] };
    t.match(sourceFiles(old), [{ index: 0, sha1: sha1(A), size: 1, compression: 'bzip2' }], 'version 1');
    t.equal(sourceFile(old, 0).index, 0);
    const two = { ...old, files: [...old.files, ...old.files] };
    t.throws(() => sourceFiles(two), { code: 'RemoteSourceError', message: /too many files$/ });
    const lxd = { v: 2, type: 'lxd', uuid, files: [FILE, FILE] };
    t.match(sourceFiles(lxd), [{ index: 0 }, { index: 1 }], 'only LXD has two');
    t.throws(() => sourceFiles({ ...lxd, files: [FILE, null] }), { message: /files\[1\] .* malformed$/ });
    const message = `Unable to get stream for image file ${uuid}. Error from remote: image has no file at index 1 any more`;
    t.throws(() => sourceFile(old, 1), { code: 'RemoteSourceError', message });
    t.end();
});

/** A source that has these files, and waits at a gate in front of the last byte of one. */
class Source implements ImageSource {
    readonly opened: number[] = [];

    constructor(
        readonly uuid: string,
        readonly files: readonly Buffer[],
        readonly gates: Readonly<Record<number, Gate>> = {},
    ) {}

    async manifest(): Promise<JsonObject> {
        const files = this.files.map((bytes) => ({
            sha1: sha1(bytes),
            size: bytes.length,
            compression: 'none',
        }));
        return { v: 2, uuid: this.uuid, type: 'lxd', files };
    }

    async openFile(_uuid: string, index: number): ReturnType<ImageSource['openFile']> {
        this.opened.push(index);
        const bytes = this.files[index] ?? Buffer.alloc(0);
        const gate = this.gates[index];
        async function* body(): AsyncGenerator<Buffer> {
            yield bytes.subarray(0, -1);
            await gate?.pass();
            yield bytes.subarray(-1);
        }
        return {
            start: 0,
            size: bytes.length,
            body: Readable.from(body(), { objectMode: false }),
            failure: (error) => toOutgoingError(error, 'body'),
        };
    }
}

function servicesWith(bench: Bench, source: ImageSource): ImageServices {
    return { ...bench.services, sources: { at: () => source } };
}

const INPUT = { source: 'http://127.0.0.1' };

void t.test('everybody sees how far a copy is', async (t) => {
    const bench = await makeBench(t);
    const uuid = await plantImage(bench, LXD);
    const gates = { 0: new Gate(), 1: new Gate() };
    const services = servicesWith(bench, new Source(uuid, [A, B], gates));
    const total = A.length + B.length;
    t.equal(services.transfers.of(uuid), undefined);
    const copying = addFileFromSource(services, bench.context(), uuid, INPUT);
    await gates[0].arrived();
    await eventually('the bytes', 5000, () => services.transfers.of(uuid)?.bytesDone === A.length - 1);
    t.match(services.transfers.of(uuid), { bytesTotal: total, attempt: 1 });
    gates[0].resume();
    await gates[1].arrived();
    await eventually('the others', 5000, () => services.transfers.of(uuid)?.bytesDone === total - 1);
    t.same(sha1s(await bench.raw(uuid)), [sha1(A)], 'the first one is there already');
    gates[1].resume();
    t.same(sha1s((await copying).raw), [sha1(A), sha1(B)]);
    t.equal(services.transfers.of(uuid), undefined, 'it is over');
});

void t.test('only what is missing is copied', async (t) => {
    const bench = await makeBench(t);
    const uuid = await plantTwo(bench);
    const source = new Source(uuid, [C, B]);
    const services = servicesWith(bench, source);
    const { raw } = await addFileFromSource(services, bench.context(), uuid, INPUT);
    t.same(sha1s(raw), [sha1(C), sha1(B)]);
    t.same(source.opened, [0], 'the second one is the same');
    await bench.local.remove(uuid, 'file1');
    await addFileFromSource(services, bench.context(), uuid, INPUT);
    t.same(source.opened, [0, 1], 'its bytes are gone');
    await requireAgreement(t, bench, uuid);
    const fewer = new Source(uuid, [C]);
    await addFileFromSource(servicesWith(bench, fewer), bench.context(), uuid, INPUT);
    t.same(fewer.opened, []);
    t.same(
        (await bench.files()).map(({ name }) => name),
        ['file0'],
        'what the source has no more goes',
    );
    t.equal(await bench.pendingDeletes(), 0);
});

void t.test('a storage that fails in the middle', async (t) => {
    const bench = await makeBench(t);
    const uuid = await plantTwo(bench);
    bench.memory().storage.faults.fail('commit', storageIsDown(), { times: 1 });
    const services = servicesWith(bench, new Source(uuid, [C, B]));
    await t.rejects(addFileFromSource(services, bench.context(), uuid, INPUT), { code: 'StorageIsDown' });
    t.same(sha1s(await bench.raw(uuid)), [sha1(A), sha1(B)], 'both files are what they were');
    await requireAgreement(t, bench, uuid);
    t.equal(services.transfers.of(uuid), undefined);
    const away = new Source(uuid, [C, B]);
    away.openFile = () => Promise.reject(new ApiError('InternalError', 'no'));
    await t.rejects(addFileFromSource(servicesWith(bench, away), bench.context(), uuid, INPUT), {
        message: 'no',
    });
    t.equal(services.transfers.of(uuid), undefined, 'no transfer is shown that has failed');
});
