import t from 'tap';
import { addImageIcon, type IconUploadInput } from '#lib/images/add-image-icon.js';
import { deleteImageIcon } from '#lib/images/delete-image-icon.js';
import { findImageFile, findImageIcon, openImageFile } from '#lib/images/open-file.js';
import { makeBench, md5, onEveryBackend, refusal, refused, sha1, upload } from '../helpers/image-bench.js';
import { PNG } from '../helpers/images.js';
import { addFile, addIcon, FIRST, plantImage } from '../helpers/planted-images.js';

const NOW = '2026-01-02T03:04:05.006Z';

void t.test('icons', (t) => {
    onEveryBackend(t, 'added, replaced, removed', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench, { active: true });
        const { raw } = await addIcon(bench, uuid, PNG, {
            contentType: 'Image/PNG; charset=x',
            sha1: sha1(PNG),
        });
        t.equal(
            JSON.stringify(raw.icon),
            JSON.stringify({
                sha1: sha1(PNG),
                size: PNG.length,
                contentType: 'image/png',
                contentMD5: md5(PNG),
                mtime: NOW,
                stor: 'local',
            }),
        );
        t.match((await addIcon(bench, uuid, FIRST, { contentType: 'image/gif' })).raw.icon, {
            sha1: sha1(FIRST),
        });
        t.same(await bench.bytes(uuid, 'icon'), FIRST);
        const without = (await deleteImageIcon(bench.services, bench.context(), uuid)).raw;
        t.notOk('icon' in without);
        t.equal(without.state, 'active');
        t.equal(await bench.bytes(uuid, 'icon'), undefined);
        t.same(await bench.bytes(uuid, 'file0'), FIRST, 'the file stays');
        t.equal(await bench.pendingDeletes(), 0);
        t.same(
            await refusal(deleteImageIcon(bench.services, bench.context(), uuid)),
            refused(404, 'ResourceNotFound', `image "${uuid}" has no icon`),
        );
    });

    onEveryBackend(t, 'refusals in order', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench);
        const before = (await addIcon(bench, uuid, PNG)).raw;
        const types = 'must be one of image/jpeg, image/gif, image/png';
        const upl = (message: string) => refused(400, 'Upload', message);
        const { contentType, ...noType } = { contentType: 'text/html', storage: 'tape' };
        const cases: [Buffer, Partial<IconUploadInput>, object][] = [
            [PNG, { contentType, ...noType }, upl(`invalid content-type, text/html, ${types}`)],
            [
                PNG,
                { storage: 'tape', contentLength: 2 ** 40 },
                { message: 'invalid storage "tape" (must be one of local, manta)' },
            ],
            [
                PNG,
                { contentLength: 131_073 },
                upl('icon size 131073 (from Content-Length) exceeds the maximum allowed size, 128 KiB'),
            ],
            [Buffer.alloc(131_073, 1), {}, upl('icon size exceeds the maximum allowed size, 128 KiB')],
            [Buffer.alloc(0), {}, upl('icon size is 0 bytes, empty icons are not allowed')],
            [
                PNG,
                { contentLength: PNG.length - 1, sha1: 'x' },
                upl(
                    `"Content-Length" header, ${PNG.length - 1}, does not match uploaded size, ${PNG.length}`,
                ),
            ],
            [
                PNG,
                { sha1: 'x' },
                upl(`"sha1" hash, x, does not match the uploaded icon file sha1 hash, ${sha1(PNG)}`),
            ],
            [
                PNG,
                { contentMD5: 'x' },
                refused(400, 'BadDigest', `Content-MD5 'x' didn't match '${md5(PNG)}'`),
            ],
        ];
        for (const [bytes, input, expected] of cases) {
            t.match(await refusal(addIcon(bench, uuid, bytes, input)), expected);
            t.equal(await bench.raw(uuid), before);
            t.same(
                (await bench.files()).map((file) => file.name),
                ['icon'],
            );
        }
        const { start } = upload(PNG);
        t.same(
            await refusal(addImageIcon(bench.services, bench.context(), uuid, { start })),
            upl(`invalid content-type, undefined, ${types}`),
        );
        t.same(
            (await addIcon(bench, uuid, Buffer.alloc(131_072, 1))).raw.icon?.size,
            131_072,
            'the limit itself',
        );
    });

    onEveryBackend(t, 'icon and file at the same time', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench);
        await Promise.all([
            addIcon(bench, uuid, PNG),
            addFile(bench, uuid, FIRST),
            addIcon(bench, uuid, PNG),
        ]);
        t.match(await bench.raw(uuid), { icon: { sha1: sha1(PNG) }, files: [{ sha1: sha1(FIRST) }] });
    });
    t.end();
});

void t.test('reading files', (t) => {
    onEveryBackend(t, 'whole and in part', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench);
        t.throws(() => findImageIcon({ raw: { uuid } as never, token: '' }), {
            message: `image "${uuid}" has no icon`,
        });
        const empty = await bench.database.get(uuid);
        t.throws(() => findImageFile(empty, 0), { status: 404, message: `image "${uuid}" has no file` });
        await addFile(bench, uuid, FIRST);
        const image = await addIcon(bench, uuid, PNG);
        t.throws(() => findImageFile(image, 1), { message: `image "${uuid}" has no file at index 1` });
        t.throws(() => findImageFile(image, -1), { message: `image "${uuid}" has no file at index -1` });
        const { file, name } = findImageFile(image, 0);
        const read = async (range?: { start: number; end: number }) => {
            const opened = await openImageFile(bench.services, bench.context(), image, name, file, range);
            return Buffer.concat((await opened.stream.toArray()) as Buffer[]);
        };
        t.same(await read(), FIRST);
        t.same(await read({ start: 4, end: 8 }), FIRST.subarray(4, 9));
        const icon = findImageIcon(image);
        const opened = await openImageFile(bench.services, bench.context(), image, 'icon', icon, undefined);
        t.same(Buffer.concat((await opened.stream.toArray()) as Buffer[]), PNG);
    });

    onEveryBackend(t, 'bytes that are not as recorded', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench);
        const image = await addFile(bench, uuid, FIRST);
        const open = (name: 'file0' | 'icon', entry: { sha1: string; size: number; stor?: string }) =>
            refusal(openImageFile(bench.services, bench.context(), image, name, entry, undefined));
        t.same(await open('file0', { sha1: sha1(FIRST), size: 5, stor: 'local' }), {
            status: 500,
            code: 'InternalError',
            message: `image "${uuid}" file is corrupt in storage`,
        });
        t.same(
            await open('icon', { sha1: sha1(PNG), size: 5 }),
            refused(404, 'ResourceNotFound', `image "${uuid}" icon is missing from storage`),
        );
        t.same(
            bench.records
                .filter((record) => record.level === 50)
                .map((record) => [record['name'], record['file'], record.msg]),
            [
                ['test', 'file0', `image "${uuid}" file is corrupt in storage`],
                ['test', 'icon', `image "${uuid}" icon is missing from storage`],
            ],
            'both are logged as errors, with the name of the program and that of the file',
        );
        t.equal(
            (await open('file0', { sha1: sha1(FIRST), size: FIRST.length, stor: 'manta' })).code,
            'StorageUnsupported',
        );
    });
    t.end();
});
