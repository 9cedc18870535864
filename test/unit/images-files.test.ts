import { PassThrough } from 'node:stream';
import t from 'tap';
import { addImageFile, type FileUploadInput } from '#lib/images/add-image-file.js';
import { addImageIcon, type IconUploadInput } from '#lib/images/add-image-icon.js';
import { activateImage } from '#lib/images/activate-image.js';
import { changeImageStorage } from '#lib/images/change-storage.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { deleteImageIcon } from '#lib/images/delete-image-icon.js';
import { findImageFile, findImageIcon, openImageFile } from '#lib/images/open-file.js';
import { updateImage } from '#lib/images/update-image.js';
import { newUuid } from '#lib/base/uuid.js';
import {
    type Bench,
    makeBench,
    md5,
    onEveryBackend,
    refusal,
    refused,
    sha1,
    sha256,
    upload,
} from '../helpers/image-bench.js';
import { PNG, rawRecord, USERS } from '../helpers/images.js';

const { vader, luke, sdc } = USERS;
const FIRST = Buffer.from('the first bytes');
const SECOND = Buffer.from('other bytes, and more of them');
const NOW = '2026-01-02T03:04:05.006Z';
const MANTA = { storageTypes: ['manta', 'local'] as const };

type Facts = Readonly<Record<string, unknown>>;

async function plant(bench: Bench, more: Facts = {}): Promise<string> {
    const uuid = newUuid();
    await bench.plant(rawRecord({ uuid, name: 'planted', owner: vader, more }));
    return uuid;
}

function addFile(
    bench: Bench,
    uuid: string,
    bytes: Buffer,
    input: Partial<FileUploadInput> = {},
    context = {},
) {
    const { start } = upload(bytes);
    return addImageFile(bench.services, bench.context(context), uuid, {
        compression: 'gzip',
        start,
        ...input,
    });
}

function addIcon(
    bench: Bench,
    uuid: string,
    bytes: Buffer,
    input: Partial<IconUploadInput> = {},
    context = {},
) {
    const { start } = upload(bytes);
    return addImageIcon(bench.services, bench.context(context), uuid, {
        contentType: 'image/png',
        start,
        ...input,
    });
}

async function activated(bench: Bench): Promise<string> {
    const uuid = await plant(bench);
    await addFile(bench, uuid, FIRST);
    await activateImage(bench.services, bench.context(), uuid);
    return uuid;
}

void t.test('AddImageFile', (t) => {
    onEveryBackend(t, 'stores bytes and facts', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench);
        const { raw } = await addFile(bench, uuid, FIRST, {
            sha1: sha1(FIRST).toUpperCase(),
            contentLength: FIRST.length,
            contentMD5: md5(FIRST),
            datasetGuid: '12174250418047371888',
            compression: 'xz',
        });
        t.equal(
            JSON.stringify(raw.files),
            JSON.stringify([
                {
                    sha1: sha1(FIRST),
                    size: FIRST.length,
                    contentMD5: md5(FIRST),
                    mtime: NOW,
                    stor: 'local',
                    compression: 'xz',
                    dataset_guid: '12174250418047371888',
                    sha256: sha256(FIRST),
                },
            ]),
            'keys in the order they are stored',
        );
        t.same(await bench.bytes(uuid, 'file0'), FIRST);
        const again = (await addFile(bench, uuid, SECOND)).raw.files;
        t.match(again, [{ sha1: sha1(SECOND), size: SECOND.length, compression: 'gzip' }]);
        t.notOk(again?.[0]?.dataset_guid);
        t.same(await bench.bytes(uuid, 'file0'), SECOND);
        t.same(
            (await bench.files()).map((file) => file.name),
            ['file0'],
        );
        t.same(await bench.raw(uuid), (await addFile(bench, uuid, SECOND, { datasetGuid: '' })).raw);
    });

    onEveryBackend(t, 'checks before the body is read', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench);
        const active = await activated(bench);
        const invalid = (message: string, entry: readonly [string, string, string?]) =>
            refused(422, 'InvalidParameter', message, entry);
        const cases: [string, Partial<FileUploadInput>, object, object][] = [
            [
                active,
                { compression: '' },
                {},
                refused(422, 'ImageFilesImmutable', `cannot modify files on activated image ${active}`),
            ],
            [newUuid(), {}, {}, { status: 404 }],
            [uuid, {}, { account: luke }, { status: 404 }],
            [active, {}, { account: vader }, { code: 'ImageFilesImmutable' }],
            [
                uuid,
                { compression: '', storage: 'x' },
                {},
                invalid('missing "compression"', ['compression', 'Missing']),
            ],
            [
                uuid,
                { compression: 'zip', storage: 'x' },
                {},
                invalid('invalid compression "zip" (must be one of gzip, bzip2, xz, none)', [
                    'compression',
                    'Invalid',
                ]),
            ],
            [
                uuid,
                { storage: 'local', contentLength: 2 ** 40 },
                { account: vader },
                invalid('invalid storage "local"', [
                    'storage',
                    'NotAllowed',
                    'Parameter cannot be specified by non-operators',
                ]),
            ],
            [
                uuid,
                { storage: 'tape', contentLength: 2 ** 40 },
                {},
                invalid('invalid storage "tape" (must be one of local, manta)', ['storage', 'Invalid']),
            ],
            [
                uuid,
                { contentLength: 21_474_836_481 },
                {},
                refused(
                    400,
                    'Upload',
                    'image file size 21474836481 (from Content-Length) exceeds the maximum allowed size, 20 GiB',
                ),
            ],
        ];
        for (const [target, input, context, expected] of cases) {
            const source = upload(FIRST);
            t.match(
                await refusal(addFile(bench, target, FIRST, { ...input, start: source.start }, context)),
                expected,
            );
            t.notOk(source.started(), 'nothing was read');
        }
    });

    onEveryBackend(
        t,
        'bytes that are not the announced ones leave everything as it was',
        async (t, backend) => {
            const bench = await makeBench(t, { backend });
            const uuid = await plant(bench);
            const before = (await addFile(bench, uuid, FIRST)).raw;
            const { length } = SECOND;
            const cases: [Buffer, Partial<FileUploadInput>, object][] = [
                [
                    Buffer.alloc(0),
                    { contentLength: 0 },
                    refused(400, 'Download', 'image file size is 0 bytes, empty files are not allowed'),
                ],
                [
                    SECOND,
                    { contentLength: length + 1, sha1: 'x' },
                    refused(
                        400,
                        'Download',
                        `"Content-Length" header, ${length + 1}, does not match uploaded size, ${length}`,
                    ),
                ],
                [
                    SECOND,
                    { sha1: 'ABC', contentMD5: 'x' },
                    refused(
                        400,
                        'Download',
                        `"sha1" hash, ABC, does not match the uploaded file sha1 hash, ${sha1(SECOND)}`,
                    ),
                ],
                [
                    SECOND,
                    { sha1: sha1(SECOND), contentMD5: md5(FIRST) },
                    refused(400, 'BadDigest', `Content-MD5 '${md5(FIRST)}' didn't match '${md5(SECOND)}'`),
                ],
            ];
            for (const [bytes, input, expected] of cases) {
                t.same(await refusal(addFile(bench, uuid, bytes, input)), expected);
                t.equal(await bench.raw(uuid), before);
                t.same(await bench.bytes(uuid, 'file0'), FIRST);
                t.same(
                    (await bench.files()).map((file) => file.name),
                    ['file0'],
                    'no temporary file is left',
                );
            }
            const fresh = await plant(bench);
            await refusal(addFile(bench, fresh, Buffer.alloc(0)));
            t.notOk((await bench.files()).some((file) => file.uuid === fresh));
        },
    );

    onEveryBackend(t, 'a client that goes away', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench);
        const gone = new AbortController();
        const body = new PassThrough();
        const call = addFile(bench, uuid, FIRST, { start: () => body }, { signal: gone.signal });
        body.write(FIRST);
        gone.abort();
        t.equal((await refusal(call)).code, 'Upload');
        t.same(await bench.files(), []);
        t.notOk((await bench.raw(uuid)).files);
    });

    onEveryBackend(
        t,
        'uploads at the same time: the record describes the bytes in place',
        async (t, backend) => {
            const bench = await makeBench(t, { backend });
            const uuid = await plant(bench);
            const bodies = Array.from({ length: 8 }, (_, index) => Buffer.alloc(1000 + index, index));
            const results = await Promise.all(bodies.map((bytes) => addFile(bench, uuid, bytes)));
            t.same(
                results.map(({ raw }) => raw.files?.[0]?.sha1),
                bodies.map(sha1),
                'every answer describes its own bytes',
            );
            const entry = (await bench.raw(uuid)).files?.[0];
            const bytes = (await bench.bytes(uuid, 'file0')) ?? Buffer.alloc(0);
            t.match(entry, {
                sha1: sha1(bytes),
                size: bytes.length,
                contentMD5: md5(bytes),
                sha256: sha256(bytes),
            });
            t.equal((await bench.files()).length, 1);
        },
    );

    onEveryBackend(t, 'an upload that ends after the activation', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench);
        await addFile(bench, uuid, FIRST);
        const body = new PassThrough();
        const late = addFile(bench, uuid, SECOND, { start: () => body });
        body.write(SECOND);
        const { raw } = await activateImage(bench.services, bench.context(), uuid);
        body.end();
        t.same(
            await refusal(late),
            refused(422, 'ImageAlreadyActivated', `image "${uuid}" is already activated`),
        );
        t.equal(await bench.raw(uuid), raw);
        t.same(await bench.bytes(uuid, 'file0'), FIRST);
        t.equal((await bench.files()).length, 1);
    });

    onEveryBackend(t, 'activation and upload at the same time', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        for (let round = 0; round < 10; round += 1) {
            const uuid = await plant(bench);
            await addFile(bench, uuid, FIRST);
            const [activation, second] = await Promise.allSettled([
                activateImage(bench.services, bench.context(), uuid),
                addFile(bench, uuid, SECOND),
            ]);
            t.equal(activation.status, 'fulfilled');
            const { files } = await bench.raw(uuid);
            t.equal(files?.[0]?.sha1, sha1(second.status === 'fulfilled' ? SECOND : FIRST));
            t.same(await bench.bytes(uuid, 'file0'), second.status === 'fulfilled' ? SECOND : FIRST);
        }
    });

    onEveryBackend(t, 'an image that is deleted or given away meanwhile', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const during = async (context: object, change: (uuid: string) => Promise<unknown>) => {
            const uuid = await plant(bench);
            const body = new PassThrough();
            const call = addFile(bench, uuid, FIRST, { start: () => body }, context);
            body.write(FIRST);
            await change(uuid);
            body.end();
            return refusal(call);
        };
        const gone = await during({}, (uuid) => deleteImage(bench.services, bench.context(), uuid, false));
        t.match(gone, { status: 404, message: /^image .* not found$/ });
        const given = await during({ account: vader }, (uuid) =>
            updateImage(bench.services, bench.context(), uuid, { owner: luke }),
        );
        t.match(given, { status: 404, message: 'image not found' });
        t.same(await bench.files(), []);
    });

    onEveryBackend(t, 'choice of storage', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { ...MANTA, adminUuid: sdc } });
        const uuid = await plant(bench);
        t.equal((await addFile(bench, uuid, FIRST)).raw.files?.[0]?.stor, 'manta');
        t.same(await bench.bytes(uuid, 'file0', bench.manta), FIRST);
        const { raw } = await addFile(bench, uuid, SECOND, { storage: 'local' });
        t.equal(raw.files?.[0]?.stor, 'local');
        t.same(await bench.bytes(uuid, 'file0'), SECOND);
        t.same(await bench.files(bench.manta), [], 'the bytes in the other storage are gone');
        t.equal(await bench.pendingDeletes(), 0);
    });

    onEveryBackend(t, 'further files of an image are kept', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const entry = { sha1: sha1(FIRST), size: FIRST.length, compression: 'none', stor: 'local' };
        const uuid = await plant(bench, { type: 'lxd', files: [entry, { ...entry, compression: 'xz' }] });
        await bench.plantFile(uuid, 'file0', FIRST);
        await bench.plantFile(uuid, 'file1', FIRST);
        const { raw } = await addFile(bench, uuid, SECOND);
        t.match(raw.files, [{ sha1: sha1(SECOND) }, { sha1: sha1(FIRST), compression: 'xz' }]);
        t.same(await bench.bytes(uuid, 'file1'), FIRST);
    });
    t.end();
});

void t.test('icons', (t) => {
    onEveryBackend(t, 'added, replaced, removed', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await activated(bench);
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
        const uuid = await plant(bench);
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
        const uuid = await plant(bench);
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
        const uuid = await plant(bench);
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
        const uuid = await plant(bench);
        const image = await addFile(bench, uuid, FIRST);
        const open = (name: 'file0' | 'icon', entry: { size: number; stor?: string }) =>
            refusal(openImageFile(bench.services, bench.context(), image, name, entry, undefined));
        t.same(await open('file0', { size: 5, stor: 'local' }), {
            status: 500,
            code: 'InternalError',
            message: `image "${uuid}" file is corrupt in storage`,
        });
        t.same(
            await open('icon', { size: 5 }),
            refused(404, 'ResourceNotFound', `image "${uuid}" icon is missing from storage`),
        );
        t.same(
            bench.records.filter((record) => record.level === 50).map((record) => record.msg),
            [`image "${uuid}" file is corrupt in storage`, `image "${uuid}" icon is missing from storage`],
            'both are logged as errors',
        );
        t.equal((await open('file0', { size: FIRST.length, stor: 'manta' })).code, 'StorageUnsupported');
    });
    t.end();
});

void t.test('AdminChangeImageStor', (t) => {
    const move = (bench: Bench, uuid: string, stor: string | undefined, context = {}) =>
        changeImageStorage(bench.services, bench.context(context), uuid, stor);

    onEveryBackend(t, 'there and back', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: MANTA });
        const uuid = await plant(bench);
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

    onEveryBackend(t, 'refusals in order', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench);
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
        const none = await refusal(move(bench, uuid, 'local'));
        t.same(none, refused(404, 'ResourceNotFound', `image "${uuid}" has no file`));
        await addIcon(bench, uuid, PNG);
        t.equal(
            (await refusal(move(bench, uuid, 'local'))).message,
            'cannot change stor for images with an icon',
        );
        const entry = { sha1: sha1(FIRST), size: FIRST.length, compression: 'none', stor: 'local' };
        const double = await plant(bench, { type: 'lxd', files: [entry, entry] });
        t.same(
            await refusal(move(bench, double, 'local')),
            refused(400, 'NotImplemented', 'cannot change stor for images with multiple files'),
        );
    });

    onEveryBackend(t, 'a copy that is not the recorded file', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: MANTA });
        const entry = { sha1: sha1(FIRST), size: FIRST.length, compression: 'none', stor: 'local' };
        const attempt = async (changes: Facts, bytes?: Buffer) => {
            const uuid = await plant(bench, { files: [{ ...entry, ...changes }] });
            if (bytes !== undefined) await bench.plantFile(uuid, 'file0', bytes);
            const answer = await refusal(move(bench, uuid, 'manta'));
            t.equal(answer.status, 500);
            t.match(await bench.raw(uuid), { files: [{ stor: 'local' }] });
            return answer.message;
        };
        t.match(
            await attempt({ size: 3 }, FIRST),
            /^error moving image file: copied size is \d+, expected 3$/,
        );
        t.match(await attempt({ contentMD5: 'x' }, FIRST), /^error moving image file: copied Content-MD5/);
        t.match(await attempt({ sha1: sha1(SECOND) }, FIRST), /^error moving image file: copied sha1/);
        t.equal(await attempt({}), 'error moving image file: file is missing from storage');
        t.same(await bench.files(bench.manta), []);
    });
    t.end();
});
