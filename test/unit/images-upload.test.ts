import { PassThrough } from 'node:stream';
import t from 'tap';
import { type FileUploadInput } from '#lib/images/add-image-file.js';
import { activateImage } from '#lib/images/activate-image.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { updateImage } from '#lib/images/update-image.js';
import { newUuid } from '#lib/base/uuid.js';
import {
    makeBench,
    md5,
    onEveryBackend,
    refusal,
    refused,
    sha1,
    sha256,
    upload,
} from '../helpers/image-bench.js';
import { USERS } from '../helpers/images.js';
import { addFile, FIRST, plantImage, SECOND } from '../helpers/planted-images.js';

const { vader, luke, sdc } = USERS;
const NOW = '2026-01-02T03:04:05.006Z';
const MANTA = { storageTypes: ['manta', 'local'] as const };

void t.test('AddImageFile', (t) => {
    onEveryBackend(t, 'stores bytes and facts', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench);
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
        const uuid = await plantImage(bench);
        const active = await plantImage(bench, { active: true });
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
            const uuid = await plantImage(bench);
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
            const fresh = await plantImage(bench);
            await refusal(addFile(bench, fresh, Buffer.alloc(0)));
            t.notOk((await bench.files()).some((file) => file.uuid === fresh));
        },
    );

    onEveryBackend(t, 'a client that goes away', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench);
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
            const uuid = await plantImage(bench);
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
        const uuid = await plantImage(bench);
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
            const uuid = await plantImage(bench);
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
            const uuid = await plantImage(bench);
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
        const uuid = await plantImage(bench);
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
        const uuid = await plantImage(bench, {
            more: { type: 'lxd', files: [entry, { ...entry, compression: 'xz' }] },
        });
        await bench.plantFile(uuid, 'file0', FIRST);
        await bench.plantFile(uuid, 'file1', FIRST);
        const { raw } = await addFile(bench, uuid, SECOND);
        t.match(raw.files, [{ sha1: sha1(SECOND) }, { sha1: sha1(FIRST), compression: 'xz' }]);
        t.same(await bench.bytes(uuid, 'file1'), FIRST);
    });
    t.end();
});
