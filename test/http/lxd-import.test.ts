import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Gate } from '../doubles/gate.js';
import { LxdSite, sha256, type ServedImage } from '../doubles/simplestreams/lxd-site.js';
import { HttpClient, type Document } from '../helpers/http-client.js';
import { md5Base64, sha1Hex, USERS } from '../helpers/images.js';
import { LineReader } from '../helpers/line-reader.js';
import { said, steps } from '../helpers/lxd-bench.js';
import { eventually, LIMIT_MS, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { expectCleanEnd, startServer } from '../helpers/start-server.js';
import { storedFiles } from '../helpers/stored-files.js';

t.setTimeout(LIMIT_MS);

const META = randomBytes(500);
const ROOT = randomBytes(1_500_000);
/** Size of the file of an image that must take little memory; larger with `LXD_BIG_MB`. */
const BIG_MB = Number(process.env['LXD_BIG_MB'] ?? '200');
/** The promise where nothing else shares the cores; beside other tests garbage is collected late. */
const BIG_LIMIT_MIB = process.env['LXD_BIG_MB'] === undefined ? 320 : 250;
const DONE = ['Download complete', 'Activating image', 'Pull complete'];

const site = await LxdSite.start(t);
const lxdRegistries = { local: site.url, other: 'http://127.0.0.1:1' };
const { client, guest, server } = await startServer(t, { lxdRegistries });
const { storedNames, expectStored } = storedFiles(server.baseDir);

/** Metadata and file system of an image that no other test has. */
function twoFiles(): readonly [Buffer, Buffer] {
    return [randomBytes(500), ROOT];
}

function path(alias: string): string {
    return `/images?action=import-lxd-image&alias=${encodeURIComponent(alias)}`;
}

function begin(alias: string, from = client): Promise<LineReader> {
    return LineReader.open(from, path(`local:${alias}`), {}, 'POST');
}

async function bring(alias: string, from = client): Promise<readonly Document[]> {
    return (await begin(alias, from)).rest();
}

/** Holds the second file of an image back behind its first bytes. */
function hold(image: ServedImage): Gate {
    const gate = new Gate();
    const file = image.files.at(-1);
    if (file === undefined) throw new Error('no file');
    site.web.page(file.path, (_, response) => {
        response.writeHead(200, { 'content-length': file.bytes.length });
        response.write(file.bytes.subarray(0, 700_000));
        void gate.pass().then(() => response.end(file.bytes.subarray(700_000)));
    });
    return gate;
}

void t.test('what is answered as an error', async (t) => {
    const rows: [target: string, status: number, error: object][] = [
        [`${path('local:a')}&account=${USERS.luke}`, 403, { code: 'OperatorOnly' }],
        [
            '/images?action=import-lxd-image',
            422,
            {
                code: 'ValidationFailed',
                message: 'missing parameters',
                errors: [{ field: 'alias', code: 'MissingParameter' }],
            },
        ],
        ...['alpine', ':alpine'].map((alias): [string, number, object] => [
            path(alias),
            422,
            {
                code: 'InvalidParameter',
                message: 'alias must be in the format "registry:image"',
                errors: [{ field: 'alias', code: 'InvalidParameter' }],
            },
        ]),
        [`${path('local:a')}&alias=b`, 422, { code: 'InvalidParameter' }],
    ];
    for (const [target, status, error] of rows) {
        const answer = await client.post(target);
        t.equal(answer.status, status, target);
        t.match(answer.error, error, target);
    }
    t.equal((await guest.post(path('local:a'))).status, 401, 'unsigned');
});

void t.test('what ends the stream', async (t) => {
    const unknown = await client.post(path('nowhere:a:b'));
    t.equal(unknown.status, 200);
    t.equal(unknown.header('content-type'), 'application/json');
    t.equal(unknown.header('transfer-encoding'), 'chunked');
    const message = 'No registry found for \\"nowhere\\" - valid registries are \\"local, other\\"';
    t.equal(
        unknown.text,
        `{"type":"error","id":"nowhere:a:b","error":{"code":"InvalidParameter","message":"${message}"},"alias":"nowhere:a:b"}\r\n`,
    );
    const [missing] = await bring('missing');
    t.same(missing?.['error'], { code: 'NotFound', message: 'Image missing was not found' });
});

void t.test('an image of one file', async (t) => {
    const image = site.put('tiny', { aliases: 'tiny,t', combined: META });
    const answer = await client.post(path('local:tiny'));
    t.equal(
        answer.text,
        ['Downloading image', ...DONE]
            .map((status) => {
                const payload = JSON.stringify({ id: 'local:tiny', status });
                return `{"type":"progress","payload":${payload},"alias":"local:tiny"}\r\n`;
            })
            .join(''),
    );
    const found = (await client.get('/images?type=lxd&tag.lxd:aliases=tiny,t')).list;
    t.match(found, [{ uuid: image.uuid, files: [{ sha1: sha1Hex(META), compression: 'gzip' }] }]);
    t.notOk(JSON.stringify(found).includes(sha256(META, Buffer.from('x'))));
    t.ok((await client.get(`/images/${image.uuid}/file`)).body.equals(META));
    t.same(said(await bring('t')), ['Already exists']);
});

void t.test('an image of two files', async (t) => {
    const { uuid } = site.put('pair', { aliases: 'pair', split: [META, ROOT], ftype: 'root.tar.xz' });
    t.same(steps(await bring('pair')), ['Downloading image', 'Downloading image', ...DONE]);
    t.same(storedNames(uuid), ['file0', 'file1']);
    const [document] = [(await client.get(`/images/${uuid}`)).document];
    t.match(document, {
        type: 'lxd',
        files: [
            { sha1: sha1Hex(META), compression: 'xz' },
            { sha1: sha1Hex(ROOT), size: ROOT.length, compression: 'xz' },
        ],
    });
    const second = `/images/${uuid}/file?index=1`;
    const whole = await client.get(second);
    t.ok(whole.body.equals(ROOT));
    t.equal(whole.header('content-md5'), md5Base64(ROOT));
    const part = await client.get(second, { headers: { range: 'bytes=1000-1999' } });
    t.equal(part.status, 206);
    t.ok(part.body.equals(ROOT.subarray(1000, 2000)));
    const head = await client.request('HEAD', second);
    t.equal(head.header('content-length'), String(ROOT.length));
    const none = await client.get(`/images/${uuid}/file?index=2`);
    t.equal(none.status, 404);
    t.match(none.error, { code: 'ResourceNotFound', message: `image "${uuid}" has no file at index 2` });
    t.equal((await client.delete(`/images/${uuid}`)).status, 204);
    await expectStored(t, uuid, [], 'both files go with the image');
});

void t.test('two imports of one image at the same time', async (t) => {
    const image = site.put('twice', { aliases: 'twice', split: twoFiles() });
    const gate = hold(image);
    const [, root] = image.files;
    site.web.service.requests.length = 0;
    const first = await begin('twice');
    await gate.arrived();
    const second = await begin('twice');
    const third = await begin('twice');
    await eventually(
        'the others know the image',
        5000,
        () => site.asked.filter((one) => one.endsWith('images.json')).length === 3,
    );
    third.close();
    gate.resume();
    t.equal(said(await first.rest()).at(-1), 'Pull complete');
    t.same(said(await second.rest()), ['Already exists']);
    t.equal(site.asked.filter((one) => one === root?.path).length, 1, 'downloaded once');
});

void t.test('a client that goes away', async (t) => {
    const image = site.put('left', { aliases: 'left', split: twoFiles() });
    const gate = hold(image);
    const reader = await begin('left');
    await eventually('bytes are told of', 5000, () => said(reader.lines).includes('Downloading'));
    t.equal(storedNames(image.uuid).length, 2, 'both files are on their way');
    reader.close();
    await expectStored(t, image.uuid, [], 'nothing stays');
    t.equal((await client.get(`/images/${image.uuid}`)).status, 404);
    gate.resume();
    t.equal(said(await bring('left')).at(-1), 'Pull complete', 'another one has it');
});

void t.test('a big image takes little memory', async (t) => {
    const size = BIG_MB * 1_000_000;
    const block = randomBytes(1_000_000);
    const image = site.put('big', {
        aliases: 'big',
        split: [META, block],
        item: { size, sha256: sha256(...Array.from({ length: size / block.length }, () => block)) },
    });
    site.web.page(image.files[1]?.path ?? '', (_, response) => {
        response.writeHead(200, { 'content-length': size });
        let sent = 0;
        const more = (): void => {
            while (sent < size) {
                sent += block.length;
                if (!response.write(block)) {
                    response.once('drain', more);
                    return;
                }
            }
            response.end();
        };
        more();
    });
    const lines = await bring('big');
    t.equal(said(lines).at(-1), 'Pull complete');
    const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
    const peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
    t.ok(peak > 0 && peak < BIG_LIMIT_MIB, `at most ${Math.round(peak)} MiB`);
    t.equal((await client.delete(`/images/${image.uuid}`)).status, 204);
});

void t.test('a server that is killed in the middle', async (t) => {
    const baseDir = temporaryDirectory();
    t.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    const config = { authType: 'none', mode: 'public', lxdRegistries };
    const image = site.put('killed', { aliases: 'killed', split: twoFiles() });
    const gate = hold(image);
    const before = await ServerProcess.start({ baseDir, config });
    const reader = await begin('killed', new HttpClient(before.port));
    await gate.arrived();
    await before.kill();
    await t.rejects(reader.rest());
    gate.resume();
    const after = await ServerProcess.start({ baseDir, config });
    t.teardown(() => expectCleanEnd(after));
    const there = new HttpClient(after.port);
    t.equal((await there.get(`/images/${image.uuid}`)).status, 404);
    t.equal(said(await bring('killed', there)).at(-1), 'Pull complete');
    const { document } = await there.get(`/images/${image.uuid}`);
    t.match(document, { public: true, state: 'active' });
    t.ok((await there.get(`/images/${image.uuid}/file?index=1`)).body.equals(ROOT));
    const manifests = join(baseDir, 'manifests');
    t.ok(existsSync(manifests) && readdirSync(manifests).length > 0);
});
