// AddImageFile from another image server (http-api 3.9, jobs-and-imports 3.1, 3.3, 9.7).
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Gate } from '../doubles/gate.js';
import { ImageServerDouble } from '../doubles/image-server/image-server-double.js';
import { fileEntry, type ServedFile } from '../doubles/image-server/served-image.js';
import { HttpClient, type Answer, type Document } from '../helpers/http-client.js';
import {
    imageDirectory,
    manifest,
    md5Base64,
    sha1Hex,
    UNKNOWN,
    uploadFile,
    USERS,
} from '../helpers/images.js';
import { expectError, invalidParameter, notFound, type ExpectedError } from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke } = USERS;

const source = await new ImageServerDouble().start();
t.teardown(() => source.stop());
const { client, key, server } = await startServer(t);

const MEBIBYTE = 1024 * 1024;
const small = randomBytes(1000);
const large = randomBytes(3 * MEBIBYTE);

let count = 0;
const freshUuid = (): string => `f0000000-0000-4000-8000-${String(++count).padStart(12, '0')}`;

/** An image at the source, imported here, without its files. */
async function importedImage(
    files: readonly (Buffer | ServedFile)[],
    changes: Document = {},
): Promise<{
    readonly uuid: string;
    readonly files: ServedFile[];
    readonly manifest: Record<string, unknown>;
}> {
    const uuid = freshUuid();
    const served = source.add({ uuid, public: false, ...changes }, files);
    const answer = await client.post(`/images/${uuid}?action=import&source=${source.address}`);
    if (answer.status !== 200) throw new Error(answer.text);
    return { uuid, files: served.files, manifest: served.manifest };
}

function addFile(uuid: string, more = '', from = source.address): Promise<Answer> {
    return client.put(`/images/${uuid}/file?source=${encodeURIComponent(from)}${more}`, '');
}

async function bytesOf(uuid: string, index = 0): Promise<Buffer> {
    return (await client.get(`/images/${uuid}/file?index=${index}`)).body;
}

/** What lies in the directory of an image. */
function stored(uuid: string): string[] {
    const directory = imageDirectory(server.baseDir, uuid);
    return existsSync(directory) ? readdirSync(directory).sort() : [];
}

function download(message: string): ExpectedError {
    return { status: 400, code: 'Download', message };
}

function remote(uuid: string, reason: string, what = 'stream for image file'): ExpectedError {
    const message = `Unable to get ${what} ${uuid}. Error from remote: ${reason}`;
    return { status: 503, code: 'RemoteSourceError', message };
}

/** Copies a file whose way is not smooth, and expects it to be right; gives how it was asked for. */
async function copied(test: Test, file: ServedFile, name: string): Promise<readonly (string | undefined)[]> {
    const { uuid } = await importedImage([file]);
    const answer = await addFile(uuid);
    test.equal(answer.status, 200, `${name}: ${answer.text.slice(0, 300)}`);
    test.ok((await bytesOf(uuid)).equals(file.bytes), `${name}: the right bytes`);
    test.strictSame(stored(uuid), ['file0'], `${name}: nothing lies about`);
    const requests = source.fileRequests(uuid);
    for (const { range, ifRange } of requests) {
        test.equal(
            ifRange,
            range === undefined ? undefined : `"${sha1Hex(file.bytes)}"`,
            `${name}: if it is the same`,
        );
    }
    return requests.map(({ range }) => range);
}

await t.test('what is refused', async (test) => {
    const { uuid } = await importedImage([small]);
    const rows: [more: string, expected: ExpectedError][] = [
        [
            'source=ftp://a:b@c&storage=tape',
            invalidParameter('invalid "source": "ftp://c"', ['source', 'Invalid']),
        ],
        ['source=', invalidParameter('invalid "source": ""', ['source', 'Invalid'])],
        [
            `source=${source.address}&storage=tape`,
            invalidParameter('invalid storage "tape" (must be one of local, manta)', ['storage', 'Invalid']),
        ],
        [`source=${source.address}&account=${vader}`, notFound('image not found')],
        [
            `source=${source.address}&account=x`,
            invalidParameter('invalid "account": not a UUID: "x"', ['account', 'Invalid']),
        ],
    ];
    const before = source.requests.length;
    for (const [query, expected] of rows) {
        expectError(test, await client.put(`/images/${uuid}/file?${query}`, ''), expected, query);
    }
    expectError(test, await addFile(UNKNOWN), notFound(`image ${UNKNOWN} not found`), 'no such image here');
    test.equal(source.requests.length, before, 'the source was not asked');
    source.images.delete(uuid);
    expectError(
        test,
        await addFile(uuid),
        remote(uuid, `image ${uuid} not found`, 'manifest for image'),
        'nor there',
    );
    test.strictSame(stored(uuid), []);
});

await t.test('an account may not choose a storage', async (test) => {
    const answer = await client.post(`/images?account=${luke}`, manifest({ owner: luke }));
    const uuid = String(answer.document['uuid']);
    const refused = await addFile(uuid, `&account=${luke}&storage=local`);
    const entry = ['storage', 'NotAllowed', 'Parameter cannot be specified by non-operators'] as const;
    expectError(test, refused, invalidParameter('invalid storage "local"', entry), 'storage');
    const host = '"source" host is not allowed: 127.0.0.1';
    const guarded = await addFile(uuid, `&account=${luke}`);
    expectError(test, guarded, invalidParameter(host, ['source', 'Invalid']), 'nor an internal source');
});

await t.test('manifests without files that could be copied', async (test) => {
    const rows: [files: unknown, reason: string][] = [
        [undefined, 'image has no file'],
        [[], 'image has no file'],
        ['x', 'image has no file'],
        [[null], 'files[0] of the manifest is malformed'],
        [[fileEntry(small, { sha1: '../../etc' })], 'files[0] of the manifest is malformed'],
        [[fileEntry(small, { compression: 'rar' })], 'files[0] of the manifest is malformed'],
        [[fileEntry(small, { size: -1 })], 'files[0] of the manifest is malformed'],
        [[fileEntry(small), fileEntry(small)], 'image has too many files'],
    ];
    const { uuid, manifest: served } = await importedImage([small]);
    for (const [files, reason] of rows) {
        served['files'] = files;
        expectError(test, await addFile(uuid), remote(uuid, reason), reason);
    }
    served['files'] = [fileEntry(small, { size: 21_474_836_481 })];
    const huge = 'image file size, 21474836481, exceeds the maximum allowed file size, 20 GiB';
    expectError(test, await addFile(uuid), download(huge), 'too big');
    test.same(source.fileRequests(uuid), [], 'none of them was asked for');
    test.strictSame(stored(uuid), []);
});

await t.test('all files of an image', async (test) => {
    const guid = '14137264517183893461';
    const { uuid, manifest: served } = await importedImage([small, { bytes: large }], {
        type: 'lxd',
        os: 'linux',
    });
    served['files'] = [
        fileEntry(small, { compression: 'xz', dataset_guid: guid }),
        fileEntry(large, { compression: 'none', sha1: sha1Hex(large).toUpperCase() }),
    ];
    const answer = await addFile(uuid, '&compression=bzip2&sha1=x&dataset_guid=y');
    test.equal(answer.status, 200, answer.text);
    test.match(answer.document['files'], [
        { sha1: sha1Hex(small), size: small.length, compression: 'xz', dataset_guid: guid },
        { sha1: sha1Hex(large), size: large.length, compression: 'none' },
    ]);
    test.equal(answer.header('etag'), (await client.get(`/images/${uuid}`)).header('etag'));
    test.ok((await bytesOf(uuid)).equals(small));
    test.ok((await bytesOf(uuid, 1)).equals(large));
    test.strictSame(stored(uuid), ['file0', 'file1']);

    const again = await addFile(uuid);
    test.strictSame(again.document, answer.document, 'a request made again has nothing to do');
    test.equal(source.fileRequests(uuid).length, 1);
    test.equal(source.fileRequests(uuid, 1).length, 1);

    served['files'] = [fileEntry(small)];
    const fewer = await addFile(uuid);
    test.match(fewer.document['files'], [{ compression: 'gzip' }]);
    test.equal((fewer.document['files'] as unknown[]).length, 1, 'the source has one file less');
    test.strictSame(stored(uuid), ['file0']);

    test.equal((await client.post(`/images/${uuid}?action=activate`)).status, 200);
    const late = await addFile(uuid);
    const immutable = {
        status: 422,
        code: 'ImageFilesImmutable',
        message: `cannot modify files on activated image ${uuid}`,
    };
    expectError(test, late, immutable, 'activated');
});

await t.test('what breaks off goes on where it was', async (test) => {
    const bytes = large;
    const half = 1_500_000;
    const rest = `bytes=${half}-`;
    const cut = () => ({ at: half, times: 1 });
    const whole = [undefined];
    test.same(await copied(test, { bytes, cut: cut() }, 'cut'), [...whole, rest]);
    test.same(await copied(test, { bytes, cut: cut(), etag: 'quoted' }, 'quoted tag'), [...whole, rest]);
    test.same(await copied(test, { bytes, cut: cut(), length: 'none' }, 'no length'), [...whole, rest]);
    test.same(await copied(test, { bytes, cut: cut(), contentMD5: 'none' }, 'no MD5'), [...whole, rest]);
    test.same(await copied(test, { bytes, cut: { after: 1.2 * MEBIBYTE, times: 2 } }, 'again and again'), [
        ...whole,
        'bytes=1258291-',
        'bytes=2516582-',
    ]);
    const ignored = await copied(test, { bytes, cut: cut(), ranges: 'ignored' }, 'Range ignored');
    test.same(ignored.slice(0, 2), [...whole, rest]);
    test.same(ignored.at(-1), undefined, 'it starts over');
    test.same(await copied(test, { bytes, cut: cut(), etag: 'none' }, 'no tag'), [...whole, ...whole]);
    test.same(await copied(test, { bytes, cut: cut(), etag: 'weak' }, 'weak tag'), [...whole, ...whole]);
    const refuse = { status: 503, headers: { 'retry-after': '1' }, times: 1 };
    const started = Date.now();
    test.same(await copied(test, { bytes, refuse }, 'busy'), [...whole, ...whole]);
    test.ok(Date.now() - started >= 1000, 'it is waited for as long as it asks');
    test.same(await copied(test, { bytes, throttle: 20 * MEBIBYTE, delayMs: 100 }, 'slow'), whole);
});

await t.test('sources that do not deliver', async (test) => {
    const cut = await importedImage([{ bytes: large, cut: { at: 1000 } }]);
    const answer = await addFile(cut.uuid);
    test.match(answer.error, {
        code: 'RemoteSourceError',
        message: /^Unable to get stream for image file .* remote: ./,
    });
    test.equal(answer.status, 503);
    test.equal(source.fileRequests(cut.uuid).length, 3, 'three tries without progress');
    const gone = await importedImage([small]);
    gone.files.length = 0;
    expectError(
        test,
        await addFile(gone.uuid),
        remote(gone.uuid, `image "${gone.uuid}" has no file`),
        'no file',
    );
    test.equal(source.fileRequests(gone.uuid).length, 1, 'asked once');
    const busy = await importedImage([{ bytes: small, refuse: { status: 500, body: { message: 'oh no' } } }]);
    expectError(test, await addFile(busy.uuid), remote(busy.uuid, 'oh no'), 'its own words');
    for (const { uuid } of [cut, gone, busy]) {
        test.strictSame(stored(uuid), []);
        test.same((await client.get(`/images/${uuid}`)).document['files'], [], 'the image has no file');
    }
});

await t.test('bytes that are not what the manifest says', async (test) => {
    const other = randomBytes(small.length);
    const actual = sha1Hex(other);
    const wrongHash = `"sha1" file field, ${sha1Hex(small)}, does not match the downloaded file sha1 hash, ${actual}`;
    const wrongSize = (size: number) =>
        `"Content-Length" header, 1000, does not match downloaded size, ${size}`;
    const wrongMd5 = `"Content-MD5" header, ${md5Base64(other)}, does not match the downloaded file MD5 hash, ${md5Base64(small)}`;
    const rows: [name: string, file: ServedFile, message: string][] = [
        ['other bytes', { bytes: small, sends: other }, wrongHash],
        ['fewer', { bytes: small, sends: small.subarray(1) }, wrongSize(999)],
        ['more', { bytes: small, sends: large }, wrongSize(large.length)],
        [
            'none',
            { bytes: small, sends: Buffer.alloc(0) },
            'image file size is 0 bytes, empty files are not allowed',
        ],
        ['another MD5', { bytes: small, contentMD5: { text: md5Base64(other) } }, wrongMd5],
    ];
    for (const [name, file, message] of rows) {
        const { uuid } = await importedImage([file]);
        expectError(test, await addFile(uuid), download(message), name);
        test.same(source.fileRequests(uuid).length, 2, `${name}: tried once more`);
        test.strictSame(stored(uuid), [], `${name}: nothing is left`);
    }
    const endless = await importedImage([{ bytes: small, endless: true }]);
    const { status, error } = await addFile(endless.uuid);
    test.match(
        { status, error },
        { status: 400, error: { code: 'Download', message: /^"Content-Length" header, 1000, / } },
    );
    const huge = await importedImage([{ bytes: small, length: 21_474_836_481 }]);
    const tooBig = download('image file size exceeds the maximum allowed size, 20 GiB');
    expectError(test, await addFile(huge.uuid), tooBig, 'too big by its own word');
    test.strictSame([...stored(endless.uuid), ...stored(huge.uuid)], []);
    await eventually('the source to be rid of us', 5000, () => source.sockets.size < 5);
});

await t.test('a failure leaves the file that was there', async (test) => {
    const { uuid, files } = await importedImage([small]);
    test.equal((await addFile(uuid)).status, 200);
    const before = await client.get(`/images/${uuid}`);
    files[0] = { bytes: large, sends: small };
    const image = source.images.get(uuid);
    if (image !== undefined) image.manifest['files'] = [fileEntry(large)];
    test.equal((await addFile(uuid)).status, 400);
    test.strictSame((await client.get(`/images/${uuid}`)).document, before.document);
    test.ok((await bytesOf(uuid)).equals(small));
    test.strictSame(stored(uuid), ['file0']);
});

await t.test('a source that changes meanwhile', async (test) => {
    const {
        uuid,
        files,
        manifest: served,
    } = await importedImage([{ bytes: large, cut: { at: 1_000_000, times: 1 } }]);
    const fresh = randomBytes(2 * MEBIBYTE);
    source.before = (request) => {
        // As soon as the first transfer has begun.
        if (request.path === `/images/${uuid}` && source.fileRequests(uuid).length === 1) {
            files[0] = { bytes: fresh };
            served['files'] = [fileEntry(fresh, { compression: 'xz' })];
        }
    };
    const answer = await addFile(uuid);
    source.before = () => undefined;
    test.match(answer.document['files'], [{ sha1: sha1Hex(fresh), compression: 'xz' }], 'what it is now');
    test.ok((await bytesOf(uuid)).equals(fresh));
    test.strictSame(stored(uuid), ['file0']);
});

await t.test('an image that is activated, or deleted, meanwhile', async (test) => {
    for (const action of ['activate', 'delete'] as const) {
        const gate = new Gate();
        const { uuid } = await importedImage([{ bytes: large, gate: { at: MEBIBYTE, gate } }]);
        await uploadFile(client, uuid, small);
        const copying = addFile(uuid);
        await gate.arrived();
        if (action === 'activate') await client.post(`/images/${uuid}?action=activate`);
        else await client.delete(`/images/${uuid}`);
        gate.resume();
        const answer = await copying;
        const activated = {
            status: 422,
            code: 'ImageAlreadyActivated',
            message: `image "${uuid}" is already activated`,
        };
        expectError(
            test,
            answer,
            action === 'activate' ? activated : notFound(`image ${uuid} not found`),
            action,
        );
        test.strictSame(stored(uuid), action === 'activate' ? ['file0'] : [], `${action}: nothing is left`);
    }
});

await t.test('a client that goes away ends the transfer', async (test) => {
    const gate = new Gate();
    const { uuid } = await importedImage([{ bytes: large, gate: { at: MEBIBYTE, gate } }]);
    const path = `/images/${uuid}/file?source=${encodeURIComponent(source.address)}`;
    const upload = client.open('PUT', path, { headers: { 'content-length': '0' } });
    upload.request.end();
    await gate.arrived();
    test.equal(stored(uuid).length, 1, 'a temporary file');
    upload.request.destroy();
    await eventually('the temporary file to be removed', 5000, () => stored(uuid).length === 0);
    gate.resume();
    test.same((await client.get(`/images/${uuid}`)).document['files'], []);
    test.equal((await addFile(uuid)).status, 200, 'and it can be made again');
});

// Takes as long as a source may be silent, so only when asked for.
const skip = process.env['SILENT_SOURCES'] === undefined ? 'SILENT_SOURCES is not set' : false;
await t.test('sources that say nothing any more', { skip, timeout: 200_000 }, async (test) => {
    const patient = new HttpClient(server.port, key, 150_000);
    test.teardown(() => patient.close());
    const bytes = large;
    const rows: [name: string, file: ServedFile, ranges: readonly (string | undefined)[]][] = [
        ['in the middle', { bytes, stall: { at: MEBIBYTE, times: 1 } }, [undefined, `bytes=${MEBIBYTE}-`]],
        ['from the start', { bytes, hang: { times: 1 } }, [undefined, undefined]],
    ];
    await Promise.all(
        rows.map(async ([name, file, ranges]) => {
            const { uuid } = await importedImage([file]);
            const path = `/images/${uuid}/file?source=${encodeURIComponent(source.address)}`;
            const started = Date.now();
            const answer = await patient.put(path, '');
            test.equal(answer.status, 200, `${name}: ${answer.text.slice(0, 300)}`);
            test.ok(Date.now() - started > 29_000, `${name}: it is waited for`);
            test.same(
                source.fileRequests(uuid).map(({ range }) => range),
                ranges,
                name,
            );
            test.ok((await bytesOf(uuid)).equals(bytes), name);
        }),
    );
});
