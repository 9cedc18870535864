import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { internalError, serviceUnavailable, storageIsDown } from '#lib/base/errors.js';
import { newUuid } from '#lib/base/uuid.js';
import { activateImage } from '#lib/images/activate-image.js';
import { addImageFile } from '#lib/images/add-image-file.js';
import { changeAcl } from '#lib/images/change-acl.js';
import { changeImageStorage } from '#lib/images/change-storage.js';
import { createImage } from '#lib/images/create-image.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { deleteImageIcon } from '#lib/images/delete-image-icon.js';
import { setImageDisabled } from '#lib/images/enable-image.js';
import { importImage } from '#lib/images/import-image.js';
import { updateImage } from '#lib/images/update-image.js';
import {
    type Backend,
    type BenchOptions,
    makeBench,
    MemoryArchive,
    onEveryBackend,
    refusal,
    upload,
} from '../helpers/image-bench.js';
import { DOWN, EIO, FailingUpdates, names, requireAgreement } from '../helpers/image-faults.js';
import { PNG, USERS } from '../helpers/images.js';
import { addFile, addIcon, FIRST, imageBody, plantImage, SECOND } from '../helpers/planted-images.js';

const { luke } = USERS;
const MANTA = { storageTypes: ['local', 'manta'] as const };
const UNAVAILABLE = { status: 503, code: 'ServiceUnavailableError', message: 'service unavailable' };

void t.test('the archive fails: nothing is changed, and the caller is told', (t) => {
    const failures = [
        [storageIsDown(), DOWN],
        [internalError('error saving image'), { status: 500, code: 'InternalError' }],
    ] as const;
    onEveryBackend(t, 'every change', async (t, backend) => {
        for (const [failure, expected] of failures) {
            const archive = new MemoryArchive();
            const bench = await makeBench(t, { backend, archive });
            const uuid = await plantImage(bench);
            const { raw: before } = await addFile(bench, uuid, FIRST);
            const { services } = bench;
            const context = bench.context();
            const fresh = newUuid();
            const body = imageBody();
            const changes: (() => Promise<unknown>)[] = [
                () => createImage(services, context, body),
                () =>
                    importImage(
                        services,
                        context,
                        fresh,
                        { ...body, uuid: fresh },
                        { skipOwnerCheck: () => false },
                    ),
                () => updateImage(services, context, uuid, { name: 'new' }),
                () => updateImage(services, context, uuid, { uuid: fresh }),
                () => changeAcl(services, context, uuid, 'add', [luke]),
                () => setImageDisabled(services, context, uuid, true),
                () => activateImage(services, context, uuid),
                () => addIcon(bench, uuid),
                () => addFile(bench, uuid, SECOND),
            ];
            for (const change of changes) {
                archive.failNext(failure);
                t.match(await refusal(change()), expected);
                t.strictSame(await bench.raw(uuid), before);
                t.same(await bench.bytes(uuid, 'file0'), FIRST);
                t.same(await names(bench), ['file0']);
            }
            t.notOk(await bench.exists(fresh));
            t.equal(await bench.pendingDeletes(), 0);
            t.equal((await services.database.search({ anyOf: [{}], order: 'asc' })).length, 1);
        }
    });
    t.end();
});

void t.test('the database fails', (t) => {
    async function makeFailing(t: Test, backend: Backend, options: BenchOptions = {}) {
        const updates = new FailingUpdates();
        return { updates, bench: await makeBench(t, { backend, wrapDatabase: updates.wrap, ...options }) };
    }

    onEveryBackend(t, 'the first upload, after its bytes have got their name', async (t, backend) => {
        const { updates, bench } = await makeFailing(t, backend);
        const uuid = await plantImage(bench);
        updates.next.push(internalError('error modifying image'));
        t.same(await refusal(addFile(bench, uuid, FIRST)), {
            status: 500,
            code: 'InternalError',
            message: 'could not save image',
        });
        t.same(await names(bench), [], 'the bytes no record names are gone');
        updates.next.push(EIO);
        t.match(await refusal(addIcon(bench, uuid)), { status: 500, message: 'could not save icon data' });
        t.same(await names(bench), []);
        t.equal(await bench.pendingDeletes(), 0);
        t.ok((await addFile(bench, uuid, FIRST)).raw.files, 'the next upload works');
    });

    onEveryBackend(t, 'a replacing upload', async (t, backend) => {
        const { updates, bench } = await makeFailing(t, backend);
        const uuid = await plantImage(bench);
        const { raw: before } = await addFile(bench, uuid, FIRST);
        updates.next.push(serviceUnavailable('service unavailable', 5));
        t.same(await refusal(addFile(bench, uuid, SECOND)), UNAVAILABLE);
        t.strictSame(await bench.raw(uuid), before, 'before anything was changed');
        t.same(await bench.bytes(uuid, 'file0'), FIRST);
        updates.next.push(undefined, EIO);
        t.match(await refusal(addFile(bench, uuid, SECOND)), {
            status: 500,
            message: 'could not save image',
        });
        t.notOk((await bench.raw(uuid)).files, 'no entry rather than one of other bytes');
        t.same(await names(bench), []);
    });

    void t.test('it stays unreachable after the bytes have got their name', async (t) => {
        const updates = new FailingUpdates();
        const bench = await makeBench(t, { wrapDatabase: updates.wrap });
        const { database } = bench.memory();
        const uuid = await plantImage(bench);
        const { storage: local } = bench.memory();
        local.faults.hang('commit');
        const call = addFile(bench, uuid, FIRST);
        while (local.faults.hanging === 0) await new Promise(setImmediate);
        database.unreachable = true;
        local.faults.heal();
        t.same(await refusal(call), UNAVAILABLE);
        t.same(await names(bench), ['file0'], 'nobody can tell now whether a record names it');
        t.equal(await bench.pendingDeletes(), 1);
        database.unreachable = false;
        t.equal(await bench.pendingDeletes(), 0);
        t.same(await names(bench), [], 'afterwards it goes');
    });

    onEveryBackend(t, 'removing an icon', async (t, backend) => {
        const { updates, bench } = await makeFailing(t, backend);
        const uuid = await plantImage(bench);
        const { raw } = await addIcon(bench, uuid);
        updates.next.push(EIO);
        const call = deleteImageIcon(bench.services, bench.context(), uuid);
        t.match(await refusal(call), { status: 500, message: 'could not delete icon' });
        t.strictSame(await bench.raw(uuid), raw);
        t.same(await bench.bytes(uuid, 'icon'), PNG);
        t.equal(await bench.pendingDeletes(), 0);
    });

    onEveryBackend(t, 'moving to another storage', async (t, backend) => {
        const archive = new MemoryArchive();
        const { updates, bench } = await makeFailing(t, backend, { config: MANTA, archive });
        const uuid = await plantImage(bench);
        const { start } = upload(FIRST);
        const input = { compression: 'none', storage: 'local', start };
        const { raw } = await addImageFile(bench.services, bench.context(), uuid, input);
        const written = archive.written.length;
        updates.next.push(EIO);
        const move = () => changeImageStorage(bench.services, bench.context(), uuid, 'manta');
        t.match(await refusal(move()), { status: 500, message: 'could not save updated manifest' });
        t.strictSame(await bench.raw(uuid), raw);
        t.same(await bench.bytes(uuid, 'file0'), FIRST, 'the old copy stays authoritative');
        t.same(await names(bench, bench.manta), [], 'the new one goes');
        await move();
        t.equal(archive.written.length, written, 'moves are not archived');
    });

    void t.test('deleting and moving an image', async (t) => {
        const bench = await makeBench(t);
        const { database } = bench.memory();
        const uuid = await plantImage(bench);
        await addFile(bench, uuid, FIRST);
        database.failNext('del', internalError(`could not delete image ${uuid}`));
        t.equal((await refusal(deleteImage(bench.services, bench.context(), uuid, false))).status, 500);
        database.failNext('move', internalError(`error modifying image ${uuid}`));
        const move = updateImage(bench.services, bench.context(), uuid, { uuid: newUuid() });
        t.match(await refusal(move), { message: `error modifying image ${uuid}` });
        t.same(
            (await bench.files()).map((file) => [file.uuid, file.name]),
            [[uuid, 'file0']],
        );
        await requireAgreement(t, bench, uuid);
        t.equal(await bench.pendingDeletes(), 0);
    });
    t.end();
});

void t.test('the journal of deletes cannot be written: nothing is deleted', async (t) => {
    const bench = await makeBench(t);
    const uuid = await plantImage(bench);
    await addFile(bench, uuid, FIRST);
    await addIcon(bench, uuid);
    const run = join(bench.base, 'run');
    mkdirSync(run, { recursive: true });
    rmSync(join(run, 'deletes'), { recursive: true, force: true });
    writeFileSync(join(run, 'deletes'), 'not a directory');
    const { services } = bench;
    const context = bench.context();
    const before = await bench.raw(uuid);
    for (const [call, message] of [
        [deleteImage(services, context, uuid, false), `could not delete image ${uuid}`],
        [deleteImageIcon(services, context, uuid), 'could not delete icon'],
        [updateImage(services, context, uuid, { uuid: newUuid() }), `error modifying image ${uuid}`],
    ] as const) {
        t.same(await refusal(call), { status: 500, code: 'InternalError', message });
        t.equal(await bench.raw(uuid), before);
    }
    t.same(await names(bench), ['file0', 'icon']);
});
