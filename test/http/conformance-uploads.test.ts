// AddImageFile (http-api 3.8, 4.4): every check, aborts, 100-continue.
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { rawExchange } from '../helpers/http-client.js';
import {
    PNG,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    imageDirectory,
    md5Base64,
    publishImage,
    sha1Hex,
    uploadFile,
} from '../helpers/images.js';
import {
    UNAUTHORIZED,
    badAccount,
    expectError,
    invalidParameter,
    notFound,
    putRows,
    repeated,
    runErrorRows,
    type ExpectedError,
} from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';
import { signatureHeaders } from '../helpers/signing.js';
import { startServer } from '../helpers/start-server.js';
import { storedFiles } from '../helpers/stored-files.js';

const { server, client, guest, key } = await startServer(t);
const { vader, luke, emperor } = USERS;
const FILE = gzipFile('a file');
const LIMIT = 21_474_836_480;
const IMAGE_PNG = { 'content-type': 'image/png' };

const active = await publishImage(client, { acl: [luke] });
const uuid = await createImage(client);

const download = (message: string): ExpectedError => ({ status: 400, code: 'Download', message });
const badStorage = (value: string): ExpectedError =>
    invalidParameter(`invalid storage "${value}" (must be one of local, manta)`, ['storage', 'Invalid']);
const storageNotAllowed = (value: string): ExpectedError =>
    invalidParameter(`invalid storage "${value}"`, [
        'storage',
        'NotAllowed',
        'Parameter cannot be specified by non-operators',
    ]);
const badCompression = (value: string): ExpectedError =>
    invalidParameter(`invalid compression "${value}" (must be one of gzip, bzip2, xz, none)`, [
        'compression',
        'Invalid',
    ]);
const notOwner: ExpectedError = {
    status: 422,
    code: 'NotImageOwner',
    message: `account ${luke} is not the owner of image ${active}`,
};
const immutable: ExpectedError = {
    status: 422,
    code: 'ImageFilesImmutable',
    message: `cannot modify files on activated image ${active}`,
};

const { storedNames, expectStored } = storedFiles(server.baseDir);
const put = putRows(FILE);

const file = (image: string, query: string): string => `/images/${image}/file${query}`;
const wrongSha1 = sha1Hex('something else');

await t.test('AddImageFile: checks in their order', async (test) => {
    await runErrorRows(test, client, [
        put(file(active, '?compression=gzip'), UNAUTHORIZED, { sign: false }),
        put(file('foo', '?compression=gzip'), notFound('/images/foo/file?compression=gzip does not exist')),
        put(file(UNKNOWN, '?compression=gzip'), notFound(`image ${UNKNOWN} not found`)),
        put(file(UNKNOWN, '?account=foo'), badAccount('foo')),
        put(file(active, `?account=${emperor}`), notFound('image not found')),
        put(file(active, `?account=${luke}`), notOwner),
        put(file(active, ''), immutable),
        put(file(active, `?account=${vader}&storage=local`), immutable),
        put(file(uuid, ''), invalidParameter('missing "compression"', ['compression', 'Missing'])),
        put(
            file(uuid, '?compression='),
            invalidParameter('missing "compression"', ['compression', 'Missing']),
        ),
        put(file(uuid, '?compression=zip&storage=tape'), badCompression('zip')),
        put(file(uuid, '?compression=constructor'), badCompression('constructor')),
        put(file(uuid, `?compression=gzip&account=${vader}&storage=tape`), storageNotAllowed('tape')),
        put(file(uuid, `?compression=gzip&account=${vader}&storage=local`), storageNotAllowed('local')),
        put(file(uuid, '?compression=gzip&storage=tape'), badStorage('tape')),
        put(file(uuid, '?compression=gzip&compression=xz'), repeated('compression')),
        put(
            file(uuid, '?compression=gzip'),
            download('image file size is 0 bytes, empty files are not allowed'),
            {
                body: '',
            },
        ),
        put(
            file(uuid, `?compression=gzip&sha1=${wrongSha1}`),
            download(
                `"sha1" hash, ${wrongSha1}, does not match the uploaded file sha1 hash, ${sha1Hex(FILE)}`,
            ),
        ),
        put(
            file(uuid, `?compression=gzip&sha1=${sha1Hex(FILE)}`),
            {
                status: 400,
                code: 'BadDigest',
                message: `Content-MD5 'AAAA' didn't match '${md5Base64(FILE)}'`,
            },
            { headers: { 'content-md5': 'AAAA' } },
        ),
    ]);
    await expectStored(test, uuid, [], 'no byte is left behind');
    const raw = JSON.parse(readFileSync(join(server.baseDir, 'manifests', `${uuid}.raw`), 'utf8')) as object;
    test.notMatch(raw, { files: Array }, 'nor a record of a file');
});

await t.test('AddImageFile: what is stored', async (test) => {
    const image = await createImage(client);
    const query = `?compression=bzip2&sha1=${sha1Hex(FILE).toUpperCase()}&dataset_guid=123&storage=local`;
    const answer = await client.put(file(image, query), FILE, {
        headers: { 'content-md5': md5Base64(FILE) },
    });
    test.equal(answer.status, 200, answer.text);
    test.strictSame(answer.document['files'], [
        { sha1: sha1Hex(FILE), size: FILE.length, compression: 'bzip2', dataset_guid: '123' },
    ]);
    test.equal(answer.header('etag'), sha1Hex(JSON.stringify(answer.json)));
    test.equal((await guest.get(`/images/${image}`)).text, answer.text, 'GetImage gives the same bytes');
    test.strictSame(storedNames(image), ['file0'], 'under its final name only');

    const second = gzipFile('a second file');
    const chunked = await client.put(file(image, '?compression=gzip'), Readable.from([second]), {
        headers: { 'content-type': 'application/x-anything' },
    });
    test.match(chunked.document['files'], [
        { sha1: sha1Hex(second), size: second.length, compression: 'gzip' },
    ]);
    test.ok((await guest.get(`/images/${image}/file`)).body.equals(second), 'a file may be replaced');
    test.equal((chunked.document['files'] as object[]).length, 1, 'not added');

    const failed = await client.put(file(image, `?compression=gzip&sha1=${wrongSha1}`), FILE);
    test.equal(failed.status, 400);
    test.ok(
        (await guest.get(`/images/${image}/file`)).body.equals(second),
        'a failed upload changes nothing',
    );
    test.strictSame(storedNames(image), ['file0']);

    const raw = JSON.parse(readFileSync(join(server.baseDir, 'manifests', `${image}.raw`), 'utf8')) as {
        files: Record<string, unknown>[];
    };
    test.match(raw.files[0], { contentMD5: md5Base64(second), stor: 'local', sha256: /^[0-9a-f]{64}$/ });
});

await t.test('AddImageFile: a big file and several at once', async (test) => {
    const big = Buffer.alloc(8 * 1024 * 1024);
    for (let i = 0; i < big.length; i += 4) big.writeUInt32LE((i * 2_654_435_761) % 4_294_967_296, i);
    const images = await Promise.all([1, 2, 3, 4].map(() => createImage(client)));
    const answers = await Promise.all(
        images.map((image) => client.put(file(image, `?compression=none&sha1=${sha1Hex(big)}`), big)),
    );
    test.strictSame(
        answers.map((answer) => answer.status),
        [200, 200, 200, 200],
    );
    const bodies = await Promise.all(images.map((image) => guest.get(`/images/${image}/file`)));
    test.ok(
        bodies.every((answer) => answer.body.equals(big)),
        'they come back as they were',
    );

    const image = images[0] ?? '';
    const rivals = [gzipFile('one'), gzipFile('two'), gzipFile('three')];
    const results = await Promise.all(
        rivals.map((body) => client.put(file(image, '?compression=gzip'), body)),
    );
    test.strictSame(
        results.map((answer) => answer.status),
        [200, 200, 200],
        'rivals all succeed in some order',
    );
    const winner = await guest.get(`/images/${image}/file`);
    const document = (await guest.get(`/images/${image}`)).document;
    test.match(
        document['files'],
        [{ sha1: sha1Hex(winner.body) }],
        'the record describes the bytes in place',
    );
    test.strictSame(storedNames(image), ['file0']);
});

const head = (path: string, length: number): string =>
    [
        `PUT ${path} HTTP/1.1`,
        'Host: x',
        ...Object.entries(signatureHeaders(key)).map(([name, value]) => `${name}: ${value}`),
        `Content-Length: ${length}`,
        '\r\n',
    ].join('\r\n');

await t.test('a length over the limit is refused before the body', async (test) => {
    const message = `image file size ${LIMIT + 1} (from Content-Length) exceeds the maximum allowed size, 20 GiB`;
    const request = head(file(uuid, '?compression=gzip'), LIMIT + 1);
    const answer = await rawExchange(server.port, request + 'x'.repeat(1000));
    test.match(answer, /^HTTP\/1\.1 400 /);
    test.ok(answer.includes(JSON.stringify(message)), answer.split('\r\n\r\n')[1] ?? answer);
    test.match(answer, /\r\nConnection: close\r\n/i, 'and the connection is closed');
    await expectStored(test, uuid, [], 'nothing was stored');
});

await t.test('Expect: 100-continue', async (test) => {
    const image = await createImage(client);
    const headers = { expect: '100-continue', 'content-length': String(FILE.length) };
    const good = client.open('PUT', file(image, '?compression=gzip'), { headers });
    good.request.flushHeaders();
    test.equal(await good.continued, true, 'the server asks for the body');
    good.request.end(FILE);
    test.equal((await good.answer).status, 200);
    const refusals: readonly (readonly [path: string, sign: boolean, status: number])[] = [
        [file(image, '?compression=gzip'), false, 401],
        [file(image, '?compression=zip'), true, 422],
        [file(UNKNOWN, '?compression=gzip'), true, 404],
        [file(active, '?compression=gzip'), true, 422],
        [`/images/${image}/icon`, true, 400],
        ['/nope', true, 404],
    ];
    for (const [path, sign, status] of refusals) {
        const bad = client.open('PUT', path, { headers, sign });
        bad.request.flushHeaders();
        test.equal(await bad.continued, false, `${path} ${sign}: no 100 Continue`);
        const answer = await bad.answer;
        test.strictSame([answer.status, answer.header('connection')], [status, 'close'], 'the error at once');
        bad.request.destroy();
    }
    const json = client.open('POST', '/images', {
        headers: { 'content-type': 'application/json', expect: '100-continue', 'content-length': '2' },
    });
    json.request.flushHeaders();
    test.equal(await json.continued, true, 'for JSON bodies, too');
    json.request.end('{}');
    test.equal((await json.answer).status, 422);
});

await t.test('an early error can be read while the body is still being sent', async (test) => {
    const body = Buffer.alloc(512 * 1024, 'x');
    for (let i = 0; i < 5; i++) {
        const answer = await client.put(file(UNKNOWN, '?compression=gzip'), body);
        expectError(test, answer, notFound(`image ${UNKNOWN} not found`), 'half a MiB');
    }
    const anonymous = await guest.put(file(uuid, '?compression=gzip'), body);
    expectError(test, anonymous, UNAUTHORIZED, 'without a signature');
});

await t.test('a client that goes away leaves nothing behind', async (test) => {
    const image = await createImage(client);
    const isReceiving = (): boolean => storedNames(image).some((name) => name.startsWith('file0.'));
    const sized = connect(server.port, '127.0.0.1');
    sized.on('error', () => undefined);
    sized.write(head(file(image, '?compression=gzip'), 1_000_000) + 'x'.repeat(70_000));
    await eventually('the upload has begun', 5_000, isReceiving);
    sized.destroy();
    await expectStored(test, image, [], 'cut off with a length');

    const chunked = client.open('PUT', file(image, '?compression=gzip'));
    chunked.request.write(Buffer.alloc(70_000));
    await eventually('the upload has begun', 5_000, isReceiving);
    chunked.request.destroy();
    await expectStored(test, image, [], 'cut off in chunks');
    test.equal((await guest.get(`/images/${image}`)).document['files'] instanceof Array, true);
    const done = await client.put(file(image, '?compression=gzip'), FILE);
    test.equal(done.status, 200, 'the image can still be filled');
});

await t.test('an image that is activated or deleted during the upload', async (test) => {
    const image = await createImage(client);
    await uploadFile(client, image, FILE);
    const late = client.open('PUT', file(image, '?compression=gzip'));
    late.request.write(Buffer.alloc(70_000));
    await eventually('the upload has begun', 5_000, () => storedNames(image).length === 2);
    test.equal((await client.post(`/images/${image}?action=activate`)).status, 200);
    late.request.end();
    expectError(
        test,
        await late.answer,
        { status: 422, code: 'ImageAlreadyActivated', message: `image "${image}" is already activated` },
        'activated meanwhile',
    );
    await expectStored(test, image, ['file0'], 'the bytes are those that were activated');
    test.ok((await guest.get(`/images/${image}/file`)).body.equals(FILE));

    const doomed = await createImage(client);
    const orphan = client.open('PUT', file(doomed, '?compression=gzip'));
    orphan.request.write(Buffer.alloc(70_000));
    await eventually('the upload has begun', 5_000, () => storedNames(doomed).length === 1);
    test.equal((await client.delete(`/images/${doomed}`)).status, 204);
    orphan.request.end();
    expectError(test, await orphan.answer, notFound(`image ${doomed} not found`), 'deleted meanwhile');
    await expectStored(test, doomed, [], 'nothing is left');
});

await t.test('a storage that cannot be written', async (test) => {
    const image = await createImage(client);
    // A file where the directory of the image would be: every write below it fails.
    const directory = imageDirectory(server.baseDir, image);
    const blocked = join(directory, '..');
    const { mkdirSync, rmSync } = await import('node:fs');
    mkdirSync(blocked, { recursive: true });
    rmSync(directory, { recursive: true, force: true });
    writeFileSync(directory, 'in the way');
    const failed = await client.put(file(image, '?compression=gzip'), FILE);
    test.equal(failed.status, 500, failed.text);
    test.match(failed.error, { code: 'InternalError', message: /^error receiving image file: / });
    test.notOk(failed.text.includes(server.baseDir), 'no path in the message');
    const icon = await client.put(`/images/${image}/icon`, PNG, { headers: IMAGE_PNG });
    test.match(icon.error, { code: 'InternalError', message: /^error receiving image icon: / });
    rmSync(directory);
    test.equal((await client.put(file(image, '?compression=gzip'), FILE)).status, 200, 'later it works');
});
