import { PassThrough } from 'node:stream';
import t from 'tap';
import { storageIsDown } from '#lib/base/errors.js';
import { newUuid } from '#lib/base/uuid.js';
import { activateImage } from '#lib/images/activate-image.js';
import { addImageFile } from '#lib/images/add-image-file.js';
import { changeAcl } from '#lib/images/change-acl.js';
import { changeImageStorage } from '#lib/images/change-storage.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { deleteImageIcon } from '#lib/images/delete-image-icon.js';
import { findImageFile, openImageFile } from '#lib/images/open-file.js';
import { recoverUploads } from '#lib/images/recover-uploads.js';
import { updateImage } from '#lib/images/update-image.js';
import type { Storage } from '#lib/storage/storage.js';
import { FaultyStorage } from '../doubles/faulty-storage.js';
import { makeBench, onEveryBackend, refusal, upload } from '../helpers/image-bench.js';
import { DOWN, EIO, names, requireAgreement } from '../helpers/image-faults.js';
import { rawRecord, USERS } from '../helpers/images.js';
import { addFile, addIcon, FIRST, plantImage, SECOND } from '../helpers/planted-images.js';

const { vader, luke } = USERS;
const MANTA = { storageTypes: ['local', 'manta'] as const };

void t.test('the storage fails', (t) => {
    void t.test('before, during and after the upload', async (t) => {
        const bench = await makeBench(t);
        const { faults } = bench.memory().storage;
        const uuid = await plantImage(bench);
        const { raw } = await addFile(bench, uuid, FIRST);
        const noSpace = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
        for (const operation of ['createWriter', 'write', 'close', 'commit'] as const) {
            const source = upload(SECOND);
            const put = () =>
                addImageFile(bench.services, bench.context(), uuid, {
                    compression: 'none',
                    start: source.start,
                });
            faults.fail(operation, noSpace, { times: 1 });
            t.same(await refusal(put()), DOWN, operation);
            t.equal(
                source.started(),
                operation !== 'createWriter',
                'nothing is read that could not be stored',
            );
            faults.fail(operation, EIO, { times: 1 });
            const { status, message } = await refusal(put());
            t.equal(status, 500);
            t.equal(message, 'error receiving image file: EIO: i/o error', 'the reason, but no path');
            faults.fail(operation, storageIsDown(), { times: 1 });
            t.same(await refusal(addIcon(bench, uuid)), DOWN);
            t.strictSame(await bench.raw(uuid), raw);
            t.same(await bench.bytes(uuid, 'file0'), FIRST);
            t.same(await names(bench), ['file0']);
        }
        t.equal(await bench.pendingDeletes(), 0);
    });

    onEveryBackend(t, 'a commit that fails when the old bytes are replaced already', async (t, backend) => {
        const wrapped: FaultyStorage[] = [];
        const wrapStorage = (storage: Storage) => {
            const faulty = new FaultyStorage(storage);
            wrapped.push(faulty);
            return faulty;
        };
        const bench = await makeBench(t, { backend, wrapStorage });
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST);
        wrapped[0]?.faults.fail('commit', EIO, { when: 'after' });
        t.equal((await refusal(addFile(bench, uuid, SECOND))).status, 500);
        t.same(await bench.bytes(uuid, 'file0'), SECOND, 'the old bytes are gone');
        await requireAgreement(t, bench, uuid);
        t.equal((await refusal(addIcon(bench, uuid))).message, 'error receiving image icon: EIO: i/o error');
        t.same(await names(bench), ['file0'], 'bytes that replaced none are removed');
        wrapped[0]?.faults.heal();
        await addFile(bench, uuid, FIRST);
        await requireAgreement(t, bench, uuid);
    });

    onEveryBackend(t, 'a commit that fails and loses the old bytes', async (t, backend) => {
        const wrapped: FaultyStorage[] = [];
        const wrapStorage = (storage: Storage) => {
            const faulty = new FaultyStorage(storage);
            wrapped.push(faulty);
            return faulty;
        };
        const bench = await makeBench(t, { backend, wrapStorage });
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST);
        await bench.local.remove(uuid, 'file0');
        wrapped[0]?.faults.fail('commit', EIO);
        t.equal((await refusal(addFile(bench, uuid, SECOND))).status, 500);
        t.notOk((await bench.raw(uuid)).files, 'an entry of bytes that are gone is not put back');
        t.same(await names(bench), []);
    });

    void t.test('a storage that goes down when the old bytes are about to be replaced', async (t) => {
        const bench = await makeBench(t);
        const { faults } = bench.memory().storage;
        const log = bench.context().log;
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST);
        faults.fail('commit', storageIsDown());
        faults.fail('stat', storageIsDown());
        t.same(await refusal(addFile(bench, uuid, SECOND)), DOWN);
        t.notOk((await bench.raw(uuid)).files, 'nobody knows which bytes are in place');
        faults.heal();
        faults.fail('commit', storageIsDown());
        faults.fail('stat', storageIsDown());
        const third = Buffer.from('a third try');
        t.same(await refusal(addFile(bench, uuid, third)), DOWN);
        t.equal(await bench.pendingDeletes(), 0);
        t.same(await bench.bytes(uuid, 'file0'), FIRST, 'the bytes of the last success are still there');
        await recoverUploads(bench.services, log);
        t.equal((await bench.services.uploads.pending()).length, 1);
        faults.heal();
        await recoverUploads(bench.services, log, { stor: 'manta' });
        t.notOk((await bench.raw(uuid)).files, 'only a storage that is asked for is asked');
        await recoverUploads(bench.services, log);
        await requireAgreement(t, bench, uuid);
        t.same(await bench.bytes(uuid, 'file0'), FIRST);

        faults.fail('commit', storageIsDown());
        faults.fail('stat', storageIsDown());
        t.same(await refusal(addFile(bench, uuid, SECOND)), DOWN);
        faults.heal();
        await addFile(bench, uuid, third);
        t.same(await bench.bytes(uuid, 'file0'), third, 'the next upload settles it, too');
        t.same(await bench.services.uploads.pending(), []);
        await requireAgreement(t, bench, uuid);

        faults.fail('commit', storageIsDown());
        faults.fail('stat', storageIsDown());
        t.same(await refusal(addFile(bench, uuid, SECOND)), DOWN);
        faults.heal();
        await deleteImage(bench.services, bench.context(), uuid, false);
        await bench.plant(rawRecord({ uuid, name: 'again', owner: vader }));
        await recoverUploads(bench.services, log);
        t.notOk((await bench.raw(uuid)).files, 'a new image of the uuid does not get bytes of the old one');
        t.same(await names(bench), []);
    });

    void t.test('deleting asks no storage that the record does not name', async (t) => {
        const bench = await makeBench(t, { config: MANTA });
        const uuid = await plantImage(bench, { file: true });
        await bench.plantFile(uuid, 'file0', SECOND, bench.manta);
        bench.manta.faults.hang('remove');
        await deleteImage(bench.services, bench.context(), uuid, false);
        t.same(await names(bench), []);
        bench.manta.faults.heal();
        t.same(await names(bench, bench.manta), ['file0'], 'what an upload cut short has left');
        t.equal(await bench.pendingDeletes(), 0);
        t.same(await names(bench, bench.manta), [], 'a pass looks for it');
    });

    void t.test('a pass does not ask a storage that is down for everything', async (t) => {
        const bench = await makeBench(t, { config: MANTA });
        let asked = 0;
        for (let count = 0; count < 3; count += 1) {
            await deleteImage(bench.services, bench.context(), await plantImage(bench), false);
        }
        const remove = bench.manta.remove.bind(bench.manta);
        bench.manta.remove = () => {
            asked += 1;
            return Promise.reject(storageIsDown());
        };
        t.equal(await bench.pendingDeletes(), 3);
        t.equal(asked, 1);
        bench.manta.faults.fail('check', storageIsDown());
        t.equal(await bench.pendingDeletes(), 3);
        t.equal(asked, 1, 'one that says so is not asked at all');
        bench.manta.faults.heal();
        bench.manta.remove = remove;
        t.equal(await bench.pendingDeletes(), 0);
    });

    void t.test('deleting: the image is gone, its bytes follow', async (t) => {
        const bench = await makeBench(t);
        const { faults } = bench.memory().storage;
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST);
        await addIcon(bench, uuid);
        faults.fail('remove', storageIsDown());
        await deleteImageIcon(bench.services, bench.context(), uuid);
        await deleteImage(bench.services, bench.context(), uuid, false);
        t.notOk(await bench.exists(uuid));
        t.same(await names(bench), ['file0', 'icon']);
        t.equal(await bench.pendingDeletes(), 2);
        faults.heal();
        t.equal(await bench.pendingDeletes(), 0);
        t.same(await names(bench), []);
    });

    void t.test('deleting bytes later does not touch those of a new image with the same uuid', async (t) => {
        const bench = await makeBench(t);
        const { faults } = bench.memory().storage;
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST);
        faults.fail('remove', storageIsDown());
        await deleteImage(bench.services, bench.context(), uuid, false);
        await bench.plant(rawRecord({ uuid, name: 'again', owner: vader }));
        await addFile(bench, uuid, SECOND);
        faults.heal();
        await bench.pendingDeletes();
        t.same(await bench.bytes(uuid, 'file0'), SECOND);
        await requireAgreement(t, bench, uuid);
    });

    void t.test('other operations', async (t) => {
        const bench = await makeBench(t, { config: MANTA });
        const { faults } = bench.memory().storage;
        const { services } = bench;
        const context = bench.context();
        const uuid = await plantImage(bench);
        await addIcon(bench, uuid);
        const { start } = upload(Buffer.alloc(4000, 1));
        const iconStorage = (await bench.raw(uuid)).icon?.stor;
        t.equal(iconStorage, 'manta');
        bench.manta.faults.fail('stat', EIO, { times: 1 });
        const removal = await refusal(deleteImageIcon(services, context, uuid));
        t.equal(removal.message, 'error deleting image icon: EIO: i/o error');
        t.ok((await bench.raw(uuid)).icon);
        await deleteImageIcon(services, context, uuid);

        const input = { compression: 'none', storage: 'local', start };
        const image = await addImageFile(services, context, uuid, input);
        faults.fail('stat', storageIsDown(), { times: 1 });
        t.same(await refusal(activateImage(services, context, uuid)), DOWN);
        const { file, name } = findImageFile(image, 0);
        faults.fail('open', storageIsDown(), { times: 1 });
        t.same(await refusal(openImageFile(services, context, image, name, file, undefined)), DOWN);
        faults.fail('copy', EIO, { times: 1 });
        const fresh = newUuid();
        t.equal(
            (await refusal(updateImage(services, context, uuid, { uuid: fresh }))).message,
            'error moving image file: EIO: i/o error',
        );
        t.notOk((await bench.files()).some((one) => one.uuid === fresh));

        const move = () => refusal(changeImageStorage(services, context, uuid, 'manta'));
        faults.breakReadsAfter(1000);
        t.match(await move(), { status: 500, code: 'InternalError', message: /^error moving image file: / });
        faults.heal();
        for (const operation of ['createWriter', 'write', 'close', 'commit'] as const) {
            bench.manta.faults.fail(operation, storageIsDown(), { times: 1 });
            t.same(await move(), DOWN, operation);
            t.same(await names(bench, bench.manta), []);
        }
        faults.fail('open', EIO, { times: 1 });
        t.equal((await move()).message, 'error moving image file: EIO: i/o error');
        t.equal((await bench.raw(uuid)).files?.[0]?.stor, 'local');
        t.equal(await bench.pendingDeletes(), 0);
    });

    void t.test('a file that is replaced while it is being moved', async (t) => {
        const bench = await makeBench(t, { config: MANTA });
        const uuid = await plantImage(bench);
        const put = (bytes: Buffer) => {
            const input = { compression: 'none', storage: 'local', start: upload(bytes).start };
            return addImageFile(bench.services, bench.context(), uuid, input);
        };
        await put(FIRST);
        bench.manta.faults.hang('close');
        const move = changeImageStorage(bench.services, bench.context(), uuid, 'manta');
        while (bench.manta.faults.hanging === 0) await new Promise(setImmediate);
        await put(SECOND);
        bench.manta.faults.heal();
        t.match(await refusal(move), { status: 500, message: /replaced meanwhile/ });
        t.same(await names(bench, bench.manta), []);
        await requireAgreement(t, bench, uuid);
    });
    t.end();
});

void t.test('a client that goes away in a queue does not hold up others', async (t) => {
    const bench = await makeBench(t);
    const uuid = await plantImage(bench);
    const gone = new AbortController();
    const body = new PassThrough();
    const stuck = addImageFile(bench.services, bench.context({ signal: gone.signal }), uuid, {
        compression: 'none',
        start: () => body,
    });
    body.write(FIRST);
    await addFile(bench, uuid, SECOND);
    t.match(await changeAcl(bench.services, bench.context(), uuid, 'add', [luke]), { raw: { acl: [luke] } });
    gone.abort();
    t.equal((await refusal(stuck)).status, 400);
    await requireAgreement(t, bench, uuid);
    t.equal(bench.services.imageQueue.size, 0);
});
