import fc from 'fast-check';
import t, { type Test } from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import { buildImage } from '#lib/manifest/build.js';
import { parseLxdAlias } from '#lib/manifest/lxd/alias.js';
import type { LxdImage } from '#lib/manifest/lxd/lxd-image.js';
import { lxdManifest } from '#lib/manifest/lxd/lxd-manifest.js';
import { findLxdImage } from '#lib/manifest/lxd/products.js';
import { productsPath } from '#lib/manifest/lxd/streams-index.js';
import { fileAddress } from '#lib/remotes/simplestreams/file-address.js';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const C = 'c'.repeat(64);
const D = 'd'.repeat(64);
const META = { path: 'm/lxd.tar.xz', size: 5, sha256: A };

function root(ftype: string, more: object = {}): object {
    return { ftype, path: `r/${ftype}`, size: 7, sha256: B, ...more };
}

function find(versions: unknown, more: object = {}): LxdImage {
    return findLxdImage({ products: { p: { aliases: 'x,y', versions, ...more } } }, 'y');
}

function ofItems(items: unknown): LxdImage {
    return find({ '20240102': { items } });
}

function fails(t: Test, run: () => unknown, message: string): void {
    t.throws(run, { code: 'NotFound', message: `${message} found for image p` }, message);
}

void t.test('aliases', (t) => {
    t.same(parseLxdAlias('images:alpine:3/x'), {
        text: 'images:alpine:3/x',
        registry: 'images',
        name: 'alpine:3/x',
    });
    t.same(parseLxdAlias('images:'), { text: 'images:', registry: 'images', name: '' });
    for (const text of [undefined, '']) t.throws(() => parseLxdAlias(text), { code: 'ValidationFailed' });
    for (const text of ['x', ':', ':x', ':x:y']) {
        t.throws(() => parseLxdAlias(text), { code: 'InvalidParameter' }, text);
    }
    t.end();
});

void t.test('the file with the file system, and the fingerprint', (t) => {
    const all = {
        'lxd.tar.xz': {
            ...META,
            combined_sha256: A,
            combined_rootxz_sha256: B,
            combined_squashfs_sha256: C,
            'combined_disk-kvm-img_sha256': D,
            'combined_uefi1-img_sha256': A,
            'combined_disk1-img_sha256': B,
        },
        5: root('disk1.img'),
        4: root('uefi1.img'),
        3: root('disk-kvm.img'),
        2: root('root.tar.xz', { path: 'r/root.tar.xz' }),
        1: root('squashfs'),
    };
    const rows: [without: readonly string[], ftype: string, fingerprint: string | undefined][] = [
        [[], 'squashfs', C],
        [['1'], 'root.tar.xz', B],
        [['1', '2'], 'disk-kvm.img', D],
        [['1', '2', '3'], 'uefi1.img', A],
        [['1', '2', '3', '4'], 'disk1.img', B],
    ];
    for (const [without, ftype, fingerprint] of rows) {
        const { version } = ofItems(
            Object.fromEntries(Object.entries(all).filter(([key]) => !without.includes(key))),
        );
        t.match(version, { ftype, fingerprint }, ftype);
        t.equal(version.files.length, 2);
        t.equal(version.files[0].compression, 'xz');
    }
    const old = { 'lxd.tar.xz': { ...META, combined_sha256: D }, r: root('root.tar.xz') };
    t.equal(ofItems(old).version.fingerprint, D, 'as servers said it before');
    const unmarked = {
        'lxd.tar.xz': { ...META, combined_rootxz_sha256: C },
        s: root('squashfs'),
        r: root('root.tar.xz'),
    };
    t.equal(
        ofItems(unmarked).version.ftype,
        'root.tar.xz',
        'a file system without a fingerprint is passed over',
    );
    const combined = {
        ...all,
        'lxd_combined.tar.gz': { path: 'c.tar.bz2', size: 1, sha256: D.toUpperCase() },
    };
    t.match(ofItems(combined).version, {
        ftype: 'lxd_combined.tar.gz',
        fingerprint: D,
        files: [{ path: 'c.tar.bz2', size: 1, sha256: D, compression: 'bzip2' }],
    });
    t.end();
});

void t.test('the newest version that can be used', (t) => {
    const good = { items: { 'lxd_combined.tar.gz': META } };
    t.equal(find({ '20240101': good, '20240102': good, '20231231': good }).version.version, '20240102');
    t.equal(find({ '20240101': good, '20240102': {}, '20240103': null }).version.version, '20240101');
    fails(
        t,
        () => find({ '20240102': {}, '20240101': { items: { 'lxd.tar.xz': META } } }),
        'No "lxd.tar.gz" item',
    );
    fails(t, () => find({ '20240102': { items: { 'lxd.tar.xz': META } } }), 'No filesystem');
    for (const versions of [{}, null, [], 'x', undefined]) fails(t, () => find(versions), 'No version');
    const items: object[] = [
        { sha256: A.slice(1) },
        { sha256: 7 },
        { size: 0 },
        { size: -1 },
        { size: '5' },
        { size: 1.5 },
        { size: null },
        { path: '' },
        { path: {} },
    ];
    for (const item of items) {
        fails(t, () => ofItems({ 'lxd_combined.tar.gz': { ...META, ...item } }), 'No "lxd.tar.gz" item');
    }
    t.end();
});

void t.test('manifests', (t) => {
    const image = find(
        { 'a 20240102+b~': { items: { 'lxd_combined.tar.gz': META } } },
        { pubname: 'Ünï code (1)', arch: 7, os: '', release: 'r' },
    );
    t.same(lxdManifest(image, 'here', true), {
        v: 2,
        uuid: 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa',
        owner: '00000000-0000-0000-0000-000000000000',
        name: '_n_ code _1_',
        version: 'a_20240102+b_',
        description: 'p',
        type: 'lxd',
        os: 'linux',
        requirements: { brand: 'lx' },
        public: true,
        tags: {
            'lxd:aliases': 'x,y',
            'lxd:fingerprint': A,
            'lxd:ftype': 'lxd_combined.tar.gz',
            'lxd:name': 'Ünï code (1)',
            'lxd:path': 'm/lxd.tar.xz',
            'lxd:release': 'r',
            'lxd:repo': 'here',
            'lxd:sha256': A,
        },
    });
    const published = (version: string): unknown =>
        lxdManifest(find({ [version]: { items: { 'lxd_combined.tar.gz': META } } }), 'r', false)[
            'published_at'
        ];
    t.equal(published('20240229_07:42'), '2024-02-29T00:00:00.000Z');
    for (const version of ['20230229', '2024', 'x20240229', '00000000']) t.notOk(published(version), version);
    t.end();
});

void t.test('paths', (t) => {
    const at = (path: string, registry = 'https://u:p@h.example/lxd/?a=b#c'): object =>
        fileAddress(registry, path);
    const own = { supplier: 'config' };
    t.same(at('streams/v1/com.x:y:z.json'), {
        ...own,
        url: 'https://u:p@h.example/lxd/streams/v1/com.x:y:z.json',
    });
    t.same(at('com.x:y.json'), { ...own, url: 'https://u:p@h.example/lxd/com.x:y.json' });
    t.same(at('/a b'), { ...own, url: 'https://u:p@h.example/a%20b' });
    t.same(at('HTTPS://h.example/x'), { ...own, url: 'https://u:p@h.example/x' });
    t.same(at('a', 'http://h.example'), { ...own, url: 'http://h.example/a' });
    const elsewhere = { supplier: 'operator' };
    t.same(at('http://h.example/x'), { ...elsewhere, url: 'http://h.example/x' }, 'another scheme');
    t.same(at('https://v:q@i.example/x'), { ...elsewhere, url: 'https://i.example/x' });
    t.same(at('//i.example/x'), { ...elsewhere, url: 'https://i.example/x' });
    t.same(
        at('\\\\i.example/x'),
        { ...own, url: 'https://u:p@h.example/lxd///i.example/x' },
        'no other server',
    );
    for (const path of ['ftp://h.example/x', 'file:///etc/passwd', 'http://', 'https://[/']) {
        t.throws(() => at(path), OutgoingError, path);
    }
    t.throws(() => at('x', 'ftp://h'), OutgoingError);
    t.end();
});

/** Documents that are nearly right, with anything where something should be. */
function nearly(): fc.Arbitrary<unknown> {
    const junk = fc.oneof(
        fc.jsonValue({ maxDepth: 1 }),
        fc.constantFrom('constructor', '__proto__', 1e308, -1),
    );
    const key = fc.constantFrom(
        'constructor',
        '__proto__',
        'toString',
        'a',
        'lxd.tar.xz',
        'lxd_combined.tar.gz',
    );
    const or = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
        fc.oneof({ weight: 6, arbitrary: value }, { weight: 1, arbitrary: junk });
    const item = fc.record(
        {
            path: or(fc.string()),
            size: or(fc.integer({ min: -1, max: 1_000_000 })),
            sha256: or(fc.constantFrom(A, B)),
            ftype: or(fc.constantFrom('squashfs', 'root.tar.xz')),
            combined_sha256: or(fc.constant(C)),
            combined_squashfs_sha256: or(fc.constant(D)),
        },
        { requiredKeys: ['path', 'size', 'sha256'] },
    );
    const version = fc.record({ items: or(fc.dictionary(key, or(item), { minKeys: 1, maxKeys: 4 })) });
    const product = fc.record(
        {
            aliases: or(fc.constantFrom('x', 'x,constructor', '__proto__')),
            versions: or(
                fc.dictionary(fc.oneof(key, fc.stringMatching(/^20[0-9]{6}/)), or(version), {
                    minKeys: 1,
                    maxKeys: 3,
                }),
            ),
            pubname: or(fc.string()),
            arch: or(fc.string()),
        },
        { requiredKeys: ['aliases', 'versions'] },
    );
    const entry = fc.record({ datatype: or(fc.constant('image-downloads')), path: or(fc.string()) });
    return or(
        fc.record({
            index: or(fc.dictionary(key, or(entry), { maxKeys: 2 })),
            products: or(fc.dictionary(key, or(product), { minKeys: 1, maxKeys: 2 })),
        }),
    );
}

void t.test('whatever a server answers is refused, or makes a manifest', (t) => {
    let made = 0;
    const refusedOr = (run: () => void): void => {
        try {
            run();
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
        }
    };
    fc.assert(
        fc.property(nearly(), fc.constantFrom('x', 'constructor', '__proto__'), (value, name) => {
            // As it comes: `__proto__` is a key like any other.
            const document: unknown = JSON.parse(JSON.stringify(value));
            refusedOr(() => {
                if (productsPath(document) === '') throw new Error('an empty path');
            });
            refusedOr(() => {
                const manifest = lxdManifest(findLxdImage(document, name), 'r', false);
                buildImage('import', manifest, {
                    rules: { mode: 'private', channels: false },
                    lifespanDays: 7,
                    now: 0,
                });
                made += 1;
            });
        }),
        { numRuns: 300 },
    );
    t.ok(made > 0, `${made} manifests`);
    t.end();
});
