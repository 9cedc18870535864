// AdminChangeImageStor (http-api 3.18, jobs-and-imports 7.2): what moves, what is refused, and what is
// compared before anything is deleted.
import t from 'tap';
import { storageIsDown } from '#lib/base/errors.js';
import { newUuid } from '#lib/base/uuid.js';
import { activateImage } from '#lib/images/activate-image.js';
import { changeImageStorage } from '#lib/images/change-storage.js';
import { openImageFile } from '#lib/images/open-file.js';
import { holdsBytes } from '#lib/images/stored-bytes.js';
import type { RawImage } from '#lib/manifest/types.js';
import type { Storage } from '#lib/storage/storage.js';
import { makeBench, md5, onEveryBackend, refusal, refused, sha1 } from '../helpers/image-bench.js';
import { names, replacing } from '../helpers/image-faults.js';
import { PNG, USERS } from '../helpers/images.js';
import {
    contentsOf,
    MANTA,
    move,
    moveAll,
    NAMES,
    plantContainer,
    storagesOf,
    withStorages,
} from '../helpers/moved-images.js';
import { addFile, addIcon, FIRST, plantImage, SECOND } from '../helpers/planted-images.js';

const { vader } = USERS;
const NOW = '2026-01-02T03:04:05.006Z';

type Facts = Readonly<Record<string, unknown>>;

onEveryBackend(t, 'there and back', async (t, backend) => {
    const bench = await makeBench(t, { backend, config: MANTA });
    const uuid = await plantImage(bench);
    const big = Buffer.alloc(600_000, 7);
    await addFile(bench, uuid, big, { storage: 'local' });
    const archived = await bench.archive.count();
    await activateImage(bench.services, bench.context(), uuid);
    const { raw } = await move(bench, uuid, 'manta');
    t.match(raw.files, [{ stor: 'manta', sha1: sha1(big), mtime: NOW }]);
    t.same(await bench.bytes(uuid, 'file0', bench.manta), big);
    t.same(await bench.files(), []);
    t.equal(
        await move(bench, uuid, 'manta'),
        await bench.database.get(uuid),
        'the same storage: nothing to do',
    );
    t.match((await move(bench, uuid, 'local')).raw.files, [{ stor: 'local' }]);
    t.same(await bench.bytes(uuid, 'file0'), big);
    t.same(await bench.files(bench.manta), []);
    t.equal(await bench.pendingDeletes(), 0);
    t.equal(await bench.archive.count(), archived);
});

onEveryBackend(t, 'all files and the icon, there and back', async (t, backend) => {
    const bench = await makeBench(t, { backend, config: MANTA });
    const uuid = await plantContainer(bench, { file0: 'local', file1: 'local', icon: 'local' });
    const before = await bench.raw(uuid);
    const contents = await contentsOf(bench, uuid, bench.local);
    for (const [to, source, target] of [
        ['manta', bench.local, bench.manta],
        ['local', bench.manta, bench.local],
    ] as const) {
        const { raw } = await moveAll(bench, uuid, to);
        t.same(raw, JSON.parse(JSON.stringify(before).replaceAll('"stor":"local"', `"stor":"${to}"`)));
        t.same(await bench.raw(uuid), raw);
        t.same(await contentsOf(bench, uuid, target), contents);
        t.same(await bench.files(source), []);
        t.equal(await moveAll(bench, uuid, to), await bench.database.get(uuid), 'nothing more to do');
        t.equal(await bench.pendingDeletes(), 0);
    }
});

onEveryBackend(t, 'what is there already is left alone', async (t, backend) => {
    const bench = await makeBench(t, { backend, config: MANTA });
    for (const there of NAMES) {
        const places = { file0: 'local', file1: 'local', icon: 'local', [there]: 'manta' } as const;
        const uuid = await plantContainer(bench, places);
        const touched: string[] = [];
        const manta = replacing<Storage>(bench.manta, {
            open: (_uuid, name) => Promise.reject(new Error(`${name} was read`)),
            remove: (_uuid, name) => Promise.reject(new Error(`${name} was removed`)),
            createWriter: (one, name) => {
                touched.push(name);
                return bench.manta.createWriter(one, name);
            },
        });
        const { raw } = await moveAll(withStorages(bench, { manta }), uuid, 'manta');
        t.same(storagesOf(raw), { file0: 'manta', file1: 'manta', icon: 'manta' });
        t.same(
            touched,
            NAMES.filter((name) => name !== there),
        );
        t.same(
            (await bench.files()).filter((file) => file.uuid === uuid),
            [],
        );
    }
    t.equal(await bench.pendingDeletes(), 0);
});

onEveryBackend(t, 'an icon without a file moves with all', async (t, backend) => {
    const bench = await makeBench(t, { backend, config: MANTA });
    const uuid = await plantImage(bench);
    await addIcon(bench, uuid, PNG, { storage: 'local' });
    t.match((await moveAll(bench, uuid, 'manta')).raw.icon, { stor: 'manta' });
    t.same(await bench.bytes(uuid, 'icon', bench.manta), PNG);
    t.same(await bench.files(), []);
});

onEveryBackend(t, 'very old entries name no storage: they are local', async (t, backend) => {
    const bench = await makeBench(t, { backend, config: MANTA });
    const entry = { sha1: sha1(FIRST), size: FIRST.length, compression: 'none' };
    const uuid = await plantImage(bench, { more: { files: [entry] } });
    await bench.plantFile(uuid, 'file0', FIRST);
    const { raw } = await move(bench, uuid, 'manta');
    t.same(raw.files, [{ ...entry, stor: 'manta' }], 'and nothing else is written into them');
    t.same(await bench.files(), []);
});

onEveryBackend(t, 'refusals in order', async (t, backend) => {
    const bench = await makeBench(t, { backend });
    const uuid = await plantImage(bench);
    t.equal((await refusal(move(bench, newUuid(), 'x', { account: vader }))).status, 404);
    t.equal((await refusal(move(bench, uuid, undefined, { account: vader }))).code, 'OperatorOnly');
    const missing = refused(422, 'ValidationFailed', 'missing "stor" query parameter', [
        'stor',
        'MissingParameter',
    ]);
    t.same(await refusal(move(bench, uuid, undefined)), missing);
    t.same(await refusal(move(bench, uuid, '')), missing);
    t.same(
        await refusal(move(bench, uuid, 'manta')),
        refused(422, 'ValidationFailed', 'unknown storage type "manta"', ['stor', 'Invalid']),
    );
    const tooEarly = () => {
        throw new Error('read too early');
    };
    const early = changeImageStorage(bench.services, bench.context(), uuid, 'x', { all: tooEarly });
    t.equal((await refusal(early)).code, 'ValidationFailed', 'the storage comes before what is to move');
    const none = refused(404, 'ResourceNotFound', `image "${uuid}" has no file`);
    t.same(await refusal(move(bench, uuid, 'local')), none);
    t.same(await refusal(moveAll(bench, uuid, 'local')), none);
    await addIcon(bench, uuid, PNG);
    t.equal(
        (await refusal(move(bench, uuid, 'local'))).message,
        'cannot change stor for images with an icon',
    );
    const entry = { sha1: sha1(FIRST), size: FIRST.length, compression: 'none', stor: 'local' };
    const double = await plantImage(bench, { more: { type: 'lxd', files: [entry, entry] } });
    t.same(
        await refusal(move(bench, double, 'local')),
        refused(400, 'NotImplemented', 'cannot change stor for images with multiple files'),
    );
    const elsewhere = { ...entry, stor: 'manta' };
    const lost = await plantImage(bench, { more: { files: [elsewhere] } });
    t.equal((await refusal(move(bench, lost, 'local'))).code, 'StorageUnsupported');
});

onEveryBackend(t, 'a copy that is not the recorded file', async (t, backend) => {
    const bench = await makeBench(t, { backend, config: MANTA });
    const entry = { sha1: sha1(FIRST), size: FIRST.length, compression: 'none', stor: 'local' };
    const attempt = async (changes: Facts, bytes?: Buffer) => {
        const uuid = await plantImage(bench, { more: { files: [{ ...entry, ...changes }] } });
        if (bytes !== undefined) await bench.plantFile(uuid, 'file0', bytes);
        const answer = await refusal(move(bench, uuid, 'manta'));
        t.equal(answer.status, 500);
        t.match(await bench.raw(uuid), { files: [{ stor: 'local' }] });
        t.same(await bench.bytes(uuid, 'file0'), bytes, 'what is there stays');
        return answer.message;
    };
    t.match(await attempt({ size: 3 }, FIRST), /^error moving image file: stored size is \d+, expected 3$/);
    t.match(await attempt({ contentMD5: 'x' }, FIRST), /^error moving image file: copied Content-MD5/);
    t.match(await attempt({ sha1: sha1(SECOND) }, FIRST), /^error moving image file: copied sha1/);
    t.equal(await attempt({}), 'error moving image file: file is missing from storage');
    t.same(await bench.files(bench.manta), []);
});

void t.test('a source that tells other facts than the record is not read', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    const uuid = await plantContainer(bench, { file0: 'manta', file1: 'manta', icon: 'manta' });
    const before = await bench.raw(uuid);
    for (const facts of [{ md5: md5(SECOND) }, { size: 5 }]) {
        const manta = replacing<Storage>(bench.manta, {
            open: async (...args) => {
                const opened = await bench.manta.open(...args);
                return opened && { ...opened, ...facts };
            },
        });
        const local = replacing<Storage>(bench.local, {
            createWriter: () => Promise.reject(new Error('the copy was begun')),
        });
        const { status, message } = await refusal(
            moveAll(withStorages(bench, { local, manta }), uuid, 'local'),
        );
        t.equal(status, 500);
        t.match(message, /^error moving image file: stored (size|Content-MD5) is \S+, expected \S+$/);
        t.same(await bench.raw(uuid), before);
    }
    t.same(await names(bench, bench.manta), [...NAMES]);
});

void t.test('what the target has under the final name is looked at before the record changes', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    const uuid = await plantContainer(bench, { file0: 'local', file1: 'local', icon: 'local' });
    const before = await bench.raw(uuid);
    const lies = [
        [undefined, 'copied file is missing from storage'],
        [{ size: 1 }, /^error moving image file: stored size is 1, expected \d+$/],
        [{ size: PNG.length, md5: md5(FIRST) }, /stored Content-MD5 is/],
    ] as const;
    for (const [facts, message] of lies) {
        const manta = replacing<Storage>(bench.manta, {
            stat: async (one, name) => (name === 'icon' ? facts : bench.manta.stat(one, name)),
        });
        t.match(await refusal(moveAll(withStorages(bench, { manta }), uuid, 'manta')), {
            status: 500,
            message,
        });
        t.same(await bench.raw(uuid), before);
        t.same(await names(bench, bench.manta), [], 'the copies go');
        t.same(await names(bench), [...NAMES], 'the old bytes stay');
        t.equal(await bench.pendingDeletes(), 0);
    }
});

void t.test('an MD5 that a storage tells is enough to know bytes by', async (t) => {
    const bench = await makeBench(t);
    const uuid = await plantImage(bench, { file: true });
    const telling = (told: string | undefined) =>
        replacing<Storage>(bench.local, {
            stat: async (...args) => {
                const facts = await bench.local.stat(...args);
                return facts && { ...facts, ...(told === undefined ? {} : { md5: told }) };
            },
            open: () => Promise.reject(new Error('the bytes were read')),
        });
    const entry = { sha1: sha1(FIRST), size: FIRST.length, contentMD5: md5(FIRST) };
    const { contentMD5, ...old } = entry;
    t.equal(await holdsBytes(telling(contentMD5), uuid, 'file0', entry), true);
    t.equal(await holdsBytes(telling(md5(SECOND)), uuid, 'file0', entry), false);
    t.equal(await holdsBytes(telling(contentMD5), uuid, 'file0', { ...entry, size: 1 }), false);
    await t.rejects(holdsBytes(telling(undefined), uuid, 'file0', entry), /were read/);
    await t.rejects(holdsBytes(telling(contentMD5), uuid, 'file0', old), /were read/);
    t.equal(await holdsBytes(bench.local, uuid, 'file0', old), true);
    t.equal(await holdsBytes(bench.local, uuid, 'file0', { ...old, sha1: sha1(SECOND) }), false);
    t.equal(await holdsBytes(bench.local, uuid, 'icon', old), false);
});

onEveryBackend(t, 'a reader that has the record from before a move', async (t, backend) => {
    const bench = await makeBench(t, { backend, config: MANTA });
    const uuid = await plantContainer(bench, { file0: 'local', file1: 'local', icon: 'local' });
    const open = async ({ files = [], icon }: RawImage, name: (typeof NAMES)[number]) => {
        const entry = name === 'icon' ? icon : files[Number(name.slice(4))];
        if (entry === undefined) throw new Error('no entry');
        const image = await bench.database.get(uuid);
        const opened = openImageFile(bench.services, bench.context(), image, name, entry, undefined);
        return Buffer.concat((await (await opened).stream.toArray()) as Buffer[]);
    };
    const local = await bench.raw(uuid);
    const contents = await contentsOf(bench, uuid, bench.local);
    await moveAll(bench, uuid, 'manta');
    const moved = await bench.raw(uuid);
    for (const name of NAMES) t.same(await open(local, name), contents[name]);
    await moveAll(bench, uuid, 'local');
    for (const name of NAMES) t.same(await open(moved, name), contents[name]);
    await addIcon(bench, uuid, FIRST, { storage: 'manta' });
    t.equal((await refusal(open(local, 'icon'))).status, 404, 'other bytes are not what it asked for');
    await bench.database.del(uuid);
    await bench.local.remove(uuid, 'file0');
    const gone = openImageFile(
        bench.services,
        bench.context(),
        { raw: local, token: '' },
        'file0',
        { sha1: '', size: 1, stor: 'local' },
        undefined,
    );
    t.same(await refusal(gone), refused(404, 'ResourceNotFound', `image ${uuid} not found`));
});

void t.test('what a slow target was asked for does not come once the move has failed', async (t) => {
    const bench = await makeBench(t, { backend: 'local', config: MANTA });
    const uuid = await plantImage(bench);
    await addFile(bench, uuid, FIRST, { storage: 'local' });
    const { manta } = bench;
    const late: (() => Promise<void>)[] = [];
    const createWriter = manta.createWriter.bind(manta);
    manta.createWriter = async (...args) => {
        const writer = await createWriter(...args);
        late.push(writer.commit.bind(writer));
        writer.commit = () => Promise.reject(storageIsDown());
        return writer;
    };
    const remove = manta.remove.bind(manta);
    manta.remove = async (...args) => {
        await remove(...args);
        for (const commit of late.splice(0)) await commit().catch(() => undefined);
    };
    await t.rejects(move(bench, uuid, 'manta'), { code: 'StorageIsDown' });
    t.same(late, []);
    t.same(await bench.files(manta), []);
    t.match((await bench.raw(uuid)).files, [{ stor: 'local' }]);
    t.same(await bench.bytes(uuid, 'file0'), FIRST);
});
