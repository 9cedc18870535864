import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WebSite } from '../doubles/web-site.js';
import { HttpClient, type Answer } from '../helpers/http-client.js';
import {
    createImage,
    gzipFile,
    md5Base64,
    sha1Hex,
    UNKNOWN,
    USERS,
    writeFixtures,
} from '../helpers/images.js';
import { call, connect } from '../helpers/library-client.js';
import { serve } from '../helpers/outgoing.js';
import {
    eventually,
    freePort,
    LIMIT_MS,
    ServerProcess,
    temporaryDirectory,
} from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';
import { storedFiles } from '../helpers/stored-files.js';

t.setTimeout(LIMIT_MS);

const OWNED = '11111111-1111-4111-8111-000000000001';
const ACTIVE = '11111111-1111-4111-8111-000000000002';
const MAX_SIZE = 21_474_836_480;
const BYTES = gzipFile('a file on the web');
const BIG = randomBytes(2_000_000);

const web = await WebSite.start(t);
const plain = await serve(t, (_, response) => response.end(BYTES));
const inner = await WebSite.start(t);
inner.file('/', BYTES);

const baseDir = temporaryDirectory();
writeFixtures(baseDir, [
    { uuid: OWNED, name: 'owned', owner: USERS.luke },
    { uuid: ACTIVE, name: 'active', activated: true, file: BYTES, published_at: '2020-01-01T00:00:00Z' },
]);
writeFileSync(join(baseDir, 'authorities.pem'), `${web.certificate}${inner.certificate}`);
const server = await ServerProcess.start({
    baseDir,
    config: {
        authType: 'none',
        egress: {
            allowHosts: [`127.0.0.1:${web.service.port}`],
            denyHosts: ['127.0.0.77', 'denied.example'],
        },
    },
    environment: { NODE_EXTRA_CA_CERTS: join(baseDir, 'authorities.pem') },
});
t.teardown(() => expectCleanEnd(server).finally(() => rmSync(baseDir, { recursive: true, force: true })));
const client = new HttpClient(server.port);
const { storedNames, expectStored } = storedFiles(baseDir);

async function fetchFile(uuid: string, url: unknown, query = 'compression=gzip'): Promise<Answer> {
    return client.post(`/images/${uuid}/file/from-url?${query}`, { file_url: url });
}

function download(message: string): object {
    return { code: 'Download', message };
}

void t.test('a file from the web', async (t) => {
    const uuid = await createImage(client);
    const url = web.file('/file', BYTES).replace('//', '//user:secret@');
    web.service.requests.length = 0;
    const sha1 = sha1Hex(BYTES);
    const query = `compression=gzip&sha1=${sha1.toUpperCase()}&dataset_guid=123&storage=local`;
    const answer = await fetchFile(uuid, `${url}?a=b#c`, query);
    t.equal(answer.status, 200);
    t.match(answer.document, {
        uuid,
        state: 'unactivated',
        files: [{ sha1, size: BYTES.length, compression: 'gzip', dataset_guid: '123' }],
    });
    t.match(answer.header('etag'), /^"?[0-9a-f]{40}"?$/);
    t.equal(answer.header('etag'), (await client.get(`/images/${uuid}`)).header('etag'));
    const audit = await server.waitForLog((record) => JSON.stringify(record).includes('/file?a=b'));
    t.notMatch(JSON.stringify(audit), 'secret');
    const [sent] = web.service.requests;
    t.match(sent, { method: 'GET', target: '/file?a=b' });
    t.same(Object.keys(sent?.headers ?? {}).sort(), ['connection', 'host', 'user-agent']);
    t.match(sent?.headers['user-agent'], /^IMGAPI\//);
    const stored = await client.get(`/images/${uuid}/file`);
    t.ok(stored.body.equals(BYTES));
    t.equal(stored.header('content-md5'), md5Base64(BYTES));

    web.page('/chunked', (_, response) => {
        response.write(BIG.subarray(0, 5));
        response.end(BIG.subarray(5));
    });
    const again = await fetchFile(uuid, `${web.service.url}/chunked`, 'compression=none');
    t.match(again.document, { files: [{ sha1: sha1Hex(BIG), compression: 'none' }] }, 'it is replaced');
    t.same(storedNames(uuid), ['file0']);
    const byLibrary = { uuid, file_url: web.file('/disk.tar.bz2', BYTES), sha1 };
    t.match(await call(connect(t, server, undefined), 'addImageFileFromUrl', byLibrary), {
        files: [{ sha1, compression: 'bzip2' }],
    });
    t.equal((await client.post(`/images/${uuid}?action=activate`)).status, 200);
});

void t.test('what is checked before anybody is asked', async (t) => {
    const uuid = await createImage(client);
    const url = web.file('/unasked', BYTES);
    web.service.requests.length = 0;
    const missing = {
        code: 'InvalidParameter',
        message: 'missing "file_url" field from request body',
        errors: [{ field: 'file_url', code: 'Missing' }],
    };
    const scheme = {
        code: 'InvalidParameter',
        message: 'Only URLs using the https: scheme are supported',
        errors: [{ field: 'file_url', code: 'Invalid' }],
    };
    const path = (query: string, image = uuid): string => `/images/${image}/file/from-url?${query}`;
    const ok = { file_url: url };
    const text = { headers: { 'content-type': 'text/plain' }, body: 'https://example.com' };
    const rows: [name: string, answer: Promise<Answer>, status: number, error: object][] = [
        ['activated', client.post(path('', ACTIVE), {}), 422, { code: 'ImageFilesImmutable' }],
        [
            'no compression',
            client.post(path(''), {}),
            422,
            {
                code: 'InvalidParameter',
                message: 'missing "compression"',
                errors: [{ field: 'compression', code: 'Missing' }],
            },
        ],
        [
            'unknown compression',
            client.post(path('compression=zip'), {}),
            422,
            { message: 'invalid compression "zip" (must be one of gzip, bzip2, xz, none)' },
        ],
        ['no body', client.post(path('compression=none')), 422, missing],
        ['no JSON', client.post(path('compression=none'), undefined, text), 422, missing],
        ['null', client.post(path('compression=none'), null), 422, missing],
        ['a list', client.post(path('compression=none'), [url]), 422, missing],
        ['no file_url', client.post(path('compression=none'), { url }), 422, missing],
        ['empty', client.post(path('compression=none'), { file_url: '' }), 422, missing],
        ['a number', client.post(path('compression=none'), { file_url: 5 }), 422, missing],
        ['a list of one', client.post(path('compression=none'), { file_url: [url] }), 422, missing],
        ['http', fetchFile(uuid, plain.url), 422, scheme],
        ['ftp', fetchFile(uuid, 'ftp://127.0.0.1/'), 422, scheme],
        ['no URL', fetchFile(uuid, 'https://'), 422, scheme],
        ['a path', fetchFile(uuid, '/etc/passwd'), 422, scheme],
        ['a file', fetchFile(uuid, 'file:///etc/passwd'), 422, scheme],
        [
            'unknown storage',
            client.post(path('compression=none&storage=x'), ok),
            422,
            { message: 'invalid storage "x" (must be one of local, manta)' },
        ],
        [
            'storage for an account',
            client.post(path(`compression=none&storage=local&account=${USERS.luke}`, OWNED), ok),
            422,
            { errors: [{ field: 'storage', code: 'NotAllowed' }] },
        ],
        ['not the owner', client.post(path(`account=${USERS.vader}`, OWNED), ok), 404, {}],
        ['no image', client.post(path('', UNKNOWN), ok), 404, { code: 'ResourceNotFound' }],
        ['no uuid', client.post(path('', 'x'), ok), 404, { code: 'ResourceNotFound' }],
        [
            'broken JSON',
            client.post(path(''), undefined, {
                headers: { 'content-type': 'application/json' },
                body: '{"file_url',
            }),
            400,
            { code: 'InvalidContent' },
        ],
    ];
    for (const [name, request, status, error] of rows) {
        const answer = await request;
        t.equal(answer.status, status, name);
        t.match(answer.error, error, name);
    }
    t.equal(web.service.requests.length + plain.requests.length, 0);
    t.same(storedNames(uuid), []);
});

void t.test('files that cannot be had', async (t) => {
    const uuid = await createImage(client);
    const port = await freePort();
    const other = await WebSite.start(t);
    web.cut('/cut', BYTES.subarray(0, 7), { 'content-length': 5000 });
    web.cut('/cut-chunked', BYTES, {});
    web.cut('/weak', BYTES, { 'content-length': 5000, 'accept-ranges': 'bytes', etag: 'W/"e"' });
    web.cut('/unannounced', BYTES, { 'content-length': 5000, etag: '"e"' });
    web.cut('/huge', BYTES, { 'content-length': MAX_SIZE + 1 });
    const hops = ['/hop-1', '/hop-2', '/hop-3', '/hop-4', '/hop-5', '/hop-6'];
    for (const [index, hop] of hops.entries()) web.status(hop, 302, { location: hops[index + 1] ?? '/file' });
    const truncated = `"Content-Length" header, 5000, does not match downloaded size, ${BYTES.length}`;
    const rows: [name: string, url: string, query: string, message: string | RegExp][] = [
        [
            'nobody listens',
            `https://127.0.0.1:${port}/`,
            '',
            `Error getting image: Error: connect ECONNREFUSED 127.0.0.1:${port}`,
        ],
        [
            'another certificate',
            other.service.url,
            '',
            /^Error getting image: Error: self.signed certificate$/,
        ],
        ['no such name', 'https://name.invalid/', '', /^Error getting image: Error: getaddrinfo \w+ name/],
        ['no TLS', plain.url.replace('http:', 'https:'), '', /^Error getting image: Error: [\w ]+$/],
        ['404', `${web.service.url}/nothing`, '', 'HTTP 404 error attempting to download image'],
        ['500', web.status('/500', 500), '', 'HTTP 500 error attempting to download image'],
        ['204', web.status('/204', 204), '', 'HTTP 204 error attempting to download image'],
        [
            '206',
            web.status('/206', 206, { 'content-range': 'bytes 0-1/9' }),
            '',
            'HTTP 206 error attempting to download image',
        ],
        [
            'a redirect to http',
            web.status('/plain', 302, { location: `${plain.url}/` }),
            '',
            'HTTP 302 error attempting to download image',
        ],
        [
            'a redirect to nowhere',
            web.status('/nowhere', 301),
            '',
            'HTTP 301 error attempting to download image',
        ],
        [
            'redirects in a circle',
            web.status('/circle', 307, { location: '/circle' }),
            '',
            'HTTP 307 error attempting to download image',
        ],
        ['six redirects', `${web.service.url}/hop-1`, '', 'HTTP 302 error attempting to download image'],
        [
            'no bytes',
            web.file('/empty', Buffer.alloc(0)),
            '',
            'image file size is 0 bytes, empty files are not allowed',
        ],
        [
            'too many bytes announced',
            `${web.service.url}/huge`,
            '',
            `image file size, ${MAX_SIZE + 1}, exceeds the maximum allowed file size, 20 GiB`,
        ],
        [
            'another hash',
            web.file('/file', BYTES),
            `&sha1=${sha1Hex(BIG)}`,
            `expected sha1 hash, ${sha1Hex(BIG)}, does not match the uploaded file sha1 hash, ${sha1Hex(BYTES)}`,
        ],
        [
            'cut, also with a wrong hash',
            `${web.service.url}/cut`,
            `&sha1=${sha1Hex(BIG)}`,
            '"Content-Length" header, 5000, does not match downloaded size, 7',
        ],
        ['cut in chunks', `${web.service.url}/cut-chunked`, '', /^Error getting image: Error: \w/],
        ['cut, with a weak entity tag', `${web.service.url}/weak`, '', truncated],
        ['cut, without ranges', `${web.service.url}/unannounced`, '', truncated],
    ];
    for (const [name, url, query, message] of rows) {
        const answer = await fetchFile(uuid, url, `compression=gzip${query}`);
        t.equal(answer.status, 400, name);
        t.match(answer.error, { code: 'Download' }, name);
        t.match(answer.error.message, message, name);
    }
    t.equal(plain.requests.length, 0);
    t.same((await client.get(`/images/${uuid}`)).document['files'], []);
    t.same(storedNames(uuid), []);
    t.equal((await fetchFile(uuid, `${web.service.url}/hop-2`)).status, 200, 'five redirects are followed');
});

void t.test('transfers that break off', async (t) => {
    const uuid = await createImage(client);
    const resumed = await createImage(client);
    const ranges = web.parts('/resumed', BIG, [1000, 900_000, 1_500_000], ['e1']);
    const asked = web.parts('/often', BIG, [1000, 1001, 1002, 1003, 1004], ['e1']);
    const changed = web.parts('/changed', BIG, [1000], ['e1', 'e2']);
    let isGone = false;
    const url = web.page('/gone', (_, response) => {
        if (isGone) {
            response.writeHead(410).end();
            return;
        }
        isGone = true;
        response.writeHead(200, { 'content-length': 5000, 'accept-ranges': 'bytes', etag: '"e"' });
        response.write(BYTES, () => response.socket?.destroy());
    });
    const query = `compression=none&sha1=${sha1Hex(BIG)}`;
    const [well, often, other, gone] = await Promise.all([
        fetchFile(resumed, `${web.service.url}/resumed`, query),
        fetchFile(uuid, `${web.service.url}/often`),
        fetchFile(uuid, `${web.service.url}/changed`),
        fetchFile(uuid, url),
    ]);
    t.equal(well.status, 200);
    t.same(ranges, [undefined, 'bytes=1000-', 'bytes=900000-', 'bytes=1500000-']);
    t.match(well.document, { files: [{ sha1: sha1Hex(BIG), size: BIG.length }] });
    t.match(
        often.error,
        download(`"Content-Length" header, ${BIG.length}, does not match downloaded size, 1003`),
    );
    t.equal(asked.length, 4, 'three more times');
    t.match(
        other.error,
        download('Error getting image: Error: the source does not go on where it broke off'),
    );
    t.equal(changed.length, 2);
    t.match(gone.error, download('HTTP 410 error attempting to download image'));
    t.same([often.status, other.status, gone.status], [400, 400, 400]);
    t.same(storedNames(uuid), []);
});

void t.test('hosts that are not allowed', async (t) => {
    const url = web.file('/file', BYTES);
    const query = `compression=gzip&account=${USERS.luke}`;
    const refusal = (host: string): object => ({
        code: 'InvalidParameter',
        message: `"file_url" host is not allowed: ${host}`,
        errors: [{ field: 'file_url', code: 'Invalid' }],
    });
    const hosts: [written: string, host: string][] = [
        ['127.0.0.1', '127.0.0.1'],
        ['2130706433', '127.0.0.1'],
        ['0x7f.1', '127.0.0.1'],
        ['localhost', 'localhost'],
        ['[::1]', '[::1]'],
        ['[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
    ];
    for (const [written, host] of hosts) {
        const answer = await fetchFile(OWNED, `https://${written}:${inner.service.port}/`, query);
        t.equal(answer.status, 422, written);
        t.match(answer.error, refusal(host), written);
        web.page('/away', (_, response) =>
            response.writeHead(302, { location: `https://${written}:${inner.service.port}/` }).end(),
        );
        const redirected = await fetchFile(OWNED, `${web.service.url}/away`, query);
        t.equal(redirected.status, 422, `redirected to ${written}`);
        t.match(redirected.error, refusal(host), `redirected to ${written}`);
    }
    t.equal(inner.service.connections, 0, 'no connection was made');
    t.match((await fetchFile(OWNED, 'https://127.0.0.77/')).error, refusal('127.0.0.77'), 'denied');
    t.match((await fetchFile(OWNED, 'https://denied.example/')).error, refusal('denied.example'), 'denied');
    t.same(storedNames(OWNED), []);
    t.equal((await fetchFile(OWNED, url, query)).status, 200, 'a host of allowHosts');
    t.equal((await fetchFile(OWNED, inner.service.url)).status, 200, 'operators may');
    t.equal((await fetchFile(OWNED, `${web.service.url}/away`.replace('/away', '/file'))).status, 200);

    server.writeConfig({ egress: { guardOperators: true } });
    server.signal('SIGHUP');
    await eventually(
        'the new rules',
        10_000,
        async () => (await fetchFile(OWNED, inner.service.url)).status === 422,
    );
    t.match((await fetchFile(OWNED, url, query)).error, refusal('127.0.0.1'), 'no allowHosts any more');
    server.writeConfig({});
    server.signal('SIGHUP');
    await eventually(
        'the old rules',
        10_000,
        async () => (await fetchFile(OWNED, inner.service.url)).status === 200,
    );
});

void t.test('what happens meanwhile', async (t) => {
    const uuid = await createImage(client);
    await fetchFile(uuid, web.file('/file', BYTES));
    let open = 0;
    let finish: (() => void) | undefined;
    web.page('/slow', (_, response) => {
        open += 1;
        response.socket?.once('close', () => (open -= 1));
        response.writeHead(200, { 'content-length': BIG.length });
        response.write(BIG.subarray(0, 1_000_000));
        finish = () => response.end(BIG.subarray(1_000_000));
    });
    const late = fetchFile(uuid, `${web.service.url}/slow`);
    await eventually('the download to begin', 10_000, () => open === 1);
    await eventually('a temporary file', 10_000, () => storedNames(uuid).length === 2);
    t.equal((await client.post(`/images/${uuid}?action=activate`)).status, 200);
    finish?.();
    t.match((await late).error, { code: 'ImageAlreadyActivated' });
    await expectStored(t, uuid, ['file0'], 'the bytes of before');

    const left = await createImage(client);
    const leaving = client.open('POST', `/images/${left}/file/from-url?compression=gzip`, {
        headers: { 'content-type': 'application/json' },
    });
    leaving.answer.catch(() => undefined);
    leaving.request.end(JSON.stringify({ file_url: `${web.service.url}/slow` }));
    await eventually('a temporary file again', 10_000, () => storedNames(left).length === 1);
    leaving.request.destroy();
    await expectStored(t, left, [], 'nothing stays when the client leaves');
    await eventually('the download to end', 10_000, () => open === 0);
});
