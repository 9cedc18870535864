import { randomBytes } from 'node:crypto';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { MAX_IMAGE_SIZE } from '#lib/base/constants.js';
import { sha256 } from '../doubles/simplestreams/lxd-site.js';
import { CHANNELS } from '../helpers/image-bench.js';
import { USERS } from '../helpers/images.js';
import { lxdBench, said, steps } from '../helpers/lxd-bench.js';

const META = randomBytes(500);
const ROOT = randomBytes(1_500_000);
const DONE = ['Download complete', 'Activating image', 'Pull complete'];

function failure(code: string, message: string): object {
    return { code, message };
}

void t.test('an image of two files', async (t) => {
    const { bench, site, bring } = await lxdBench(t);
    const { uuid, fingerprint, files } = site.put('alpine:3.16:amd64:default', {
        aliases: 'alpine/3.16,alpine/3.16/default',
        split: [META, ROOT],
    });
    const lines = await bring('alpine/3.16');
    t.same(steps(lines), ['Downloading image', 'Downloading image', ...DONE]);
    const payload = { id: 'local:alpine/3.16', status: 'Downloading image' };
    t.equal(
        JSON.stringify(lines[0]),
        JSON.stringify({ type: 'progress', payload, alias: 'local:alpine/3.16' }),
    );
    const raw = await bench.raw(uuid);
    t.match(raw, {
        v: 2,
        uuid,
        owner: '00000000-0000-0000-0000-000000000000',
        name: 'alpine_3.16_amd64_default',
        version: '20240102_03_04',
        description: 'alpine:3.16:amd64:default',
        type: 'lxd',
        os: 'linux',
        state: 'active',
        public: false,
        published_at: '2024-01-02T00:00:00.000Z',
        requirements: { brand: 'lx' },
    });
    t.same(raw.tagsObj, {
        'lxd:arch': 'amd64',
        'lxd:aliases': 'alpine/3.16,alpine/3.16/default',
        'lxd:fingerprint': fingerprint,
        'lxd:ftype': 'squashfs',
        'lxd:name': 'alpine:3.16:amd64:default',
        'lxd:os': 'Alpine',
        'lxd:path': files[0]?.path.slice(1),
        'lxd:release': '3.16',
        'lxd:release_title': 'three sixteen',
        'lxd:repo': 'local',
        'lxd:sha256': files[0]?.sha256,
    });
    t.notOk('x_imgapi' in raw, 'nothing tells of the import any more');
    const order = ['contentMD5', 'sha1', 'sha256', 'size', 'mtime', 'stor', 'compression'];
    t.same(
        raw.files?.map((file) => Object.keys(file)),
        [order, order],
    );
    t.match(raw.files, [
        { compression: 'xz', sha256: files[0]?.sha256 },
        { compression: 'none', sha256: files[1]?.sha256 },
    ]);
    t.ok((await bench.bytes(uuid, 'file0'))?.equals(META));
    t.ok((await bench.bytes(uuid, 'file1'))?.equals(ROOT));
    site.web.service.requests.length = 0;
    t.same(said(await bring('alpine/3.16/default')), ['Already exists'], 'by another alias');
    t.equal(site.asked.length, 2, 'no file was asked for');
    await bench.services.database.update(uuid, (now) => ({ ...now, disabled: true, state: 'disabled' }));
    t.same(said(await bring('alpine/3.16')), ['Already exists'], 'disabled');
});

void t.test('how far the download is', async (t) => {
    const { site, bring } = await lxdBench(t);
    site.put('big', { aliases: 'big', combined: ROOT });
    const lines = (await bring('big')).filter(
        ({ payload }) => (payload as { status: string }).status === 'Downloading',
    );
    t.ok(lines.length >= 1);
    const [first] = lines.map(({ payload }) => payload as { progressDetail: Record<string, number> });
    t.same(Object.keys(first?.progressDetail ?? {}), ['current', 'total', 'start']);
    t.equal(first?.progressDetail['total'], ROOT.length);
    t.ok(Number(first?.progressDetail['current']) >= 524_288);
    t.equal(first?.progressDetail['start'], Math.floor(Date.parse('2026-01-02T03:04:05Z') / 1000));
});

void t.test('modes and channels', async (t) => {
    const { site, bring, bench } = await lxdBench(t, {
        config: { mode: 'public', channels: CHANNELS },
    });
    const image = site.put('p', { aliases: 'a', combined: META, more: { pubname: 'Alpine, 3.16 (x)' } });
    await bring('a', { channel: 'release' });
    t.match(await bench.raw(image.uuid), { public: true, channels: ['release'], name: 'Alpine_ 3.16 _x_' });
    const dc = await lxdBench(t, { config: { mode: 'dc', adminUuid: USERS.sdc } });
    const there = dc.site.put('p', { aliases: 'a', combined: META, version: 'newest' });
    await dc.bring('a');
    const raw = await dc.bench.raw(there.uuid);
    t.match(raw, { public: false, owner: USERS.sdc, version: 'newest' });
    t.match(raw.published_at, /^2026-01-02/, 'a version that is no date');
});

void t.test('a storage elsewhere', async (t) => {
    const { site, bring, bench } = await lxdBench(t, { config: { storageTypes: ['local', 'manta'] } });
    const { uuid } = site.put('p', { aliases: 'a', split: [META, ROOT] });
    t.same(steps(await bring('a')).at(-1), 'Pull complete');
    t.match((await bench.raw(uuid)).files, [{ stor: 'manta' }, { stor: 'manta' }]);
    t.ok((await bench.bytes(uuid, 'file1', bench.manta))?.equals(ROOT));
});

void t.test('what the server says of its images', async (t) => {
    const { site, bring, bench } = await lxdBench(t);
    const index = '/streams/v1/index.json';
    const invalid = (what: string): object => failure('InvalidContent', `Invalid server response - ${what}`);
    const rows: [document: unknown, error: object][] = [
        [[], invalid('no index found')],
        [{}, invalid('no index found')],
        [{ index: { a: null, constructor: 1 } }, invalid('no image downloads found')],
        [{ index: { a: { datatype: 'image-downloads' } } }, invalid('no image path found in the index')],
        [
            { index: { a: { datatype: 'image-downloads', path: 7 } } },
            invalid('no image path found in the index'),
        ],
        [{ index: { a: { datatype: 'image-downloads', path: 'ftp://x/y' } } }, invalid('no products found')],
    ];
    for (const [document, error] of rows) {
        site.json(index, document);
        t.same(said(await bring('a')), [error], JSON.stringify(document));
    }
    site.web.file(index, Buffer.from('<html>'));
    t.same(said(await bring('a')), [invalid('no index found')], 'no JSON');
    site.json(index, { index: { a: { datatype: 'image-downloads', path: '/streams/v1/images.json' } } });
    site.setProducts({ products: [] });
    t.same(said(await bring('a')), [invalid('no products found')]);
    site.put('p', { aliases: 'a,constructor-not', combined: META });
    for (const name of ['b', 'constructor', '__proto__', 'a,constructor-not', '']) {
        t.same(said(await bring(name)), [failure('NotFound', `Image ${name} was not found`)]);
    }
    site.put('p', { aliases: 'a', combined: META, item: { path: '' } });
    t.same(said(await bring('a')), [failure('NotFound', 'No "lxd.tar.gz" item found for image p')]);
    site.put('p', { aliases: 'a', split: [META, ROOT], item: { ftype: 'tar' } });
    t.same(said(await bring('a')), [failure('NotFound', 'No filesystem found for image p')]);
    site.put('p', { aliases: 'a', split: [META, ROOT], item: { size: MAX_IMAGE_SIZE + 1 } });
    const tooBig = 'Image file size, 21474836481, exceeds the max allowed file size, 20 GiB';
    t.same(said(await bring('a')), [failure('ImageFileTooBig', tooBig)]);
    site.web.status(index, 404);
    const gone = 'Unable to get index of LXD registry "local". Error from remote: HTTP status 404';
    t.same(said(await bring('a')), [failure('RemoteSourceError', gone)]);
    t.equal((await bench.files()).length, 0, 'nothing was stored');
});

void t.test('registries of a wrong form', async (t) => {
    const { bring, bench } = await lxdBench(t);
    const none = (names: string): object =>
        failure('InvalidParameter', `No registry found for "local" - valid registries are "${names}"`);
    bench.setConfig({ lxdRegistries: { a: 'http://a', local: 7, b: 'http://b' } as never });
    t.same(said(await bring('x')), [none('a, b')]);
    bench.setConfig({ lxdRegistries: 'http://x' as never });
    t.same(said(await bring('x')), [none('')]);
    bench.setConfig({ lxdRegistries: { local: 'no url' } });
    t.same(said(await bring('x')), [none('')]);
});

void t.test('files that are wrong, or cannot be had', async (t) => {
    const { site, bring, bench } = await lxdBench(t);
    const { uuid, files } = site.put('p', { aliases: 'a', split: [META, ROOT] });
    const [, root] = files;
    if (root === undefined) throw new Error('no root');
    const fails = async (error: object, why: string): Promise<readonly unknown[]> => {
        const told = steps(await bring('a'));
        t.match(told.at(-1), error, why);
        t.equal((await bench.files()).length, 0, `${why}: nothing stays`);
        t.notOk(await bench.exists(uuid), `${why}: no record`);
        return told;
    };
    const wrong = randomBytes(ROOT.length);
    site.web.file(root.path, wrong);
    site.web.service.requests.length = 0;
    const told = await fails(
        failure(
            'Download',
            `sha256 digest does not match, received ${sha256(wrong)}, expected ${root.sha256}`,
        ),
        'wrong bytes',
    );
    t.notOk(told.includes('Download complete'));
    t.equal(site.asked.filter((path) => path === root.path).length, 2, 'once more from zero');
    site.web.file(root.path, ROOT.subarray(1));
    const length = (size: number): object =>
        failure(
            'Download',
            `"Content-Length" header, ${ROOT.length}, does not match downloaded size, ${size}`,
        );
    await fails(length(ROOT.length - 1), 'short');
    site.web.page(root.path, (_, response) => {
        const more = (): void => {
            while (response.writable && response.write(ROOT));
        };
        response.on('drain', more);
        more();
    });
    await fails({ code: 'Download', message: /^"Content-Length" header, 1500000, does not/ }, 'endless');
    site.web.cut(root.path, ROOT.subarray(0, 1000), {});
    await fails(length(1000), 'cut for good');
    site.web.status(root.path, 403);
    await fails(failure('Download', 'HTTP 403 error attempting to download image'), 'refused');
    site.web.page(root.path, (_, response) => {
        response.writeHead(200, { 'content-length': ROOT.length });
        response.write(ROOT.subarray(0, 1000));
    });
    const stalled = await fails(failure('Download', 'Image connection timed out'), 'silent');
    t.ok(stalled.filter((status) => status === 'Connection timed out').length >= 1);
    site.web.parts(root.path, ROOT, [], [root.sha256]);
    t.equal(said(await bring('a')).at(-1), 'Pull complete', 'what failed before is no hindrance');
});

void t.test('what breaks off goes on', async (t) => {
    const { site, bring, bench } = await lxdBench(t);
    const { uuid, files } = site.put('p', { aliases: 'a', combined: ROOT });
    const [file] = files;
    if (file === undefined) throw new Error('no file');
    const asked = site.web.parts(file.path, ROOT, [700_000, 1_200_000], [file.sha256]);
    t.same(steps(await bring('a')), ['Downloading image', ...DONE]);
    t.same(asked, [undefined, 'bytes=700000-', 'bytes=1200000-']);
    t.ok((await bench.bytes(uuid, 'file0'))?.equals(ROOT));
});

void t.test('five tries without a new MiB are made', async (t) => {
    const { site, bring } = await lxdBench(t);
    const [file] = site.put('p', { aliases: 'a', combined: ROOT }).files;
    if (file === undefined) throw new Error('no file');
    site.web.parts(file.path, ROOT, [10, 20, 30, 40, 50], [file.sha256]);
    t.match(said(await bring('a')).at(-1), { code: 'Download' });
    site.web.parts(file.path, ROOT, [10, 20, 30, 40], [file.sha256]);
    t.equal(said(await bring('a')).at(-1), 'Pull complete');
});

void t.test('other paths and redirects', async (t) => {
    const { site, bring, bench } = await lxdBench(t);
    const other = await lxdBench(t);
    const path = other.site.web.file('/elsewhere', META);
    site.put('far', { aliases: 'far', combined: META, item: { path } });
    const near = site.put('near', { aliases: 'near', combined: ROOT, item: { path: '/hop' } });
    site.web.status('/hop', 302, { location: `${other.site.url}/root` });
    other.site.web.file('/root', ROOT);
    bench.setConfig({ egress: { allowHosts: [], denyHosts: [], guardOperators: true } });
    const refused = failure('InvalidParameter', '"alias" host is not allowed: 127.0.0.1');
    t.same(said(await bring('far')).at(-1), refused, 'a path to another server');
    t.same(said(await bring('near')).at(-1), refused, 'a redirect to another server');
    bench.setConfig({ egress: { allowHosts: [], denyHosts: [], guardOperators: false } });
    t.equal(said(await bring('far')).at(-1), 'Pull complete');
    t.equal(said(await bring('near')).at(-1), 'Pull complete');
    t.ok(await bench.exists(near.uuid));
});

void t.test('a record that is there', async (t) => {
    const { site, bring, bench } = await lxdBench(t);
    const { uuid } = site.put('p', { aliases: 'a', combined: META });
    const record = {
        v: 2,
        uuid,
        owner: USERS.luke,
        name: 'n',
        version: '1',
        type: 'lxd',
        os: 'linux',
        public: false,
        disabled: false,
        activated: false,
        state: 'unactivated',
        acl: [],
    };
    await bench.plant({ ...record, x_imgapi: { import_id: newUuid() } });
    t.equal(said(await bring('a')).at(-1), 'Pull complete', 'what an import has left goes');
    t.match(await bench.raw(uuid), { name: 'p', state: 'active' });
    await bench.services.database.del(uuid);
    await bench.plant({
        ...record,
        state: 'creating',
        type: 'null',
        os: 'null',
        expires_at: '2027-01-01T00:00:00Z',
    });
    t.same(said(await bring('a')), ['Already exists'], 'a placeholder');
});
