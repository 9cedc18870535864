import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { buildImage } from '#lib/manifest/build.js';
import type { DockerLayer } from '#lib/manifest/docker/docker-layer.js';
import { configDownloadFailed, parseConfig } from '#lib/manifest/docker/image-config.js';
import { chainUuids, imageLayers } from '#lib/manifest/docker/image-layers.js';
import type { ImageManifest } from '#lib/manifest/docker/image-manifest.js';
import { layerManifest } from '#lib/manifest/docker/layer-manifest.js';
import { parseRepository } from '#lib/manifest/docker/repository.js';
import type { JsonObject, JsonValue } from '#lib/manifest/types.js';
import { json } from '../helpers/manifest-arbitraries.js';
import { DC, without } from '../helpers/manifests.js';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const [A, B, C] = ['a', 'b', 'c'].map(digest) as [string, string, string];
const GZIP = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const CREATED = '2020-01-02T03:04:05.123456789Z';
const REPOSITORY = parseRepository('busybox');
const OPTIONS = { repository: REPOSITORY, isPublic: true };

function manifestOf(...digests: string[]): ImageManifest {
    const layers = digests.map((one, at) => ({ digest: one, mediaType: GZIP, size: at + 1 }));
    return { kind: 'image', mediaType: undefined, config: { digest: C }, layers, value: {} };
}

const step = (name: string, isEmpty?: boolean): JsonObject => ({
    created: CREATED,
    created_by: name,
    ...(isEmpty === undefined ? {} : { empty_layer: isEmpty }),
});

const CONFIG: JsonObject = {
    created: '2021-01-01T00:00:00Z',
    architecture: 'arm64',
    os: 'linux',
    config: { Env: ['A=1'], Cmd: ['sh'], Entrypoint: null, WorkingDir: '/', User: 'x' },
    history: [step('one'), step('nothing', true), step('two', false), step('at last', true)],
    rootfs: { type: 'layers', diff_ids: [digest('1'), digest('2')] },
};

void t.test('uuids of chains', async (t) => {
    t.strictSame(chainUuids([A, B]), [
        '9f447b1b-473d-3598-84f2-b8541a1ad0b7',
        'ccd72292-8bd9-2476-ba17-45586fed6e45',
    ]);
    const real = [
        'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4',
        'sha256:8ddc19f16526912237dd8af81971d5e4dd0587907234be2b83e249518d5b673f',
    ];
    t.strictSame(chainUuids(real), [
        'b4a96f09-026d-7abb-7aa3-bc2cfa5c5826',
        'ce34d094-cfd6-308e-4e5c-93e53e79996e',
    ]);
    t.strictSame(chainUuids([]), []);
});

void t.test('the layers of an image', async (t) => {
    const layers = imageLayers(CONFIG, manifestOf(A, B));
    const [base, last] = chainUuids([A, B]);
    t.strictSame(layers, [
        {
            uuid: base,
            digest: A,
            shortId: 'a'.repeat(12),
            compression: 'gzip',
            uncompressedDigest: digest('1'),
            metadata: {
                created: CREATED,
                container_config: { Cmd: ['one'] },
                os: 'linux',
                architecture: 'arm64',
            },
        },
        {
            uuid: last,
            origin: base,
            digest: B,
            shortId: 'b'.repeat(12),
            compression: 'gzip',
            uncompressedDigest: digest('2'),
            metadata: CONFIG,
        },
    ]);
});

void t.test('the same layer twice in an image', async (t) => {
    const rootfs = { diff_ids: [digest('1'), digest('1'), digest('1')] };
    const layers = imageLayers({ rootfs }, manifestOf(A, A, A));
    t.equal(new Set(layers.map(({ uuid }) => uuid)).size, 3);
    t.strictSame(
        layers.map(({ origin }) => origin),
        [undefined, layers[0]?.uuid, layers[1]?.uuid],
    );
});

void t.test('images without a history', async (t) => {
    for (const history of [undefined, null, []]) {
        const config = { ...without(CONFIG, 'history'), ...(history === undefined ? {} : { history }) };
        const [first, last] = imageLayers(config, manifestOf(A, B));
        t.match(first?.metadata, { created: CONFIG.created, container_config: { Cmd: [''] } });
        t.equal(last?.metadata, config);
    }
    const [first] = imageLayers(without(without(CONFIG, 'history'), 'created'), manifestOf(A, B));
    t.strictSame(first?.metadata, {
        container_config: { Cmd: [''] },
        os: 'linux',
        architecture: 'arm64',
    });
});

void t.test('layers in other forms', async (t) => {
    const withType = (mediaType?: string): ImageManifest => ({
        ...manifestOf(A),
        layers: [{ digest: A, ...(mediaType === undefined ? {} : { mediaType }) }],
    });
    const config = { rootfs: { diff_ids: [digest('1')] } };
    t.notOk('compression' in imageLayers(config, withType())[0]!);
    t.equal(
        imageLayers(config, withType('application/vnd.docker.image.rootfs.diff.tar'))[0]?.compression,
        'none',
    );
    t.throws(() => imageLayers(config, withType('application/vnd.oci.image.layer.v1.tar+zstd')), {
        code: 'NotImplemented',
        message: 'zstd-compressed layers are not supported',
    });
});

void t.test('configs that do not fit the manifest', async (t) => {
    const diffIds = '"rootfs.diff_ids" is not an array of SHA-256 digests';
    const rows: readonly (readonly [JsonObject, string])[] = [
        [{ history: [step('one')] }, '1 layers in "history", but 2 in the manifest'],
        [{ history: [step('a'), step('b'), step('c')] }, '3 layers in "history", but 2 in the manifest'],
        [{ history: [step('a', true)] }, '0 layers in "history", but 2 in the manifest'],
        [{ history: {} }, '"history" is not an array of objects'],
        [{ history: [step('a'), null] }, '"history" is not an array of objects'],
        [{ rootfs: null }, diffIds],
        [{ rootfs: { type: 'layers' } }, diffIds],
        [{ rootfs: { diff_ids: [digest('1'), 'sha256:undefined'] } }, diffIds],
        [{ rootfs: { diff_ids: [digest('1')] } }, '1 layers in "rootfs.diff_ids", but 2 in the manifest'],
        [{ rootfs: { diff_ids: [] } }, '0 layers in "rootfs.diff_ids", but 2 in the manifest'],
    ];
    for (const [change, why] of rows) {
        const message = `invalid docker config, digest ${C}, ${why}`;
        t.throws(() => imageLayers({ ...CONFIG, ...change }, manifestOf(A, B)), {
            code: 'ValidationFailed',
            message,
        });
    }
});

void t.test('configs as they come', async (t) => {
    const hash = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const good = Buffer.from(JSON.stringify(CONFIG));
    t.strictSame(parseConfig(good, hash(good)), CONFIG);
    t.throws(() => parseConfig(good, A), {
        code: 'Download',
        message: `config digest does not match, got ${hash(good)}, expected ${A}`,
    });
    for (const text of ['', '{', '[]', '"x"', '{"a":'.repeat(300) + '1' + '}'.repeat(300)]) {
        const bytes = Buffer.from(text);
        const message = new RegExp(`^invalid JSON for docker config, digest ${hash(bytes)}, err .+`);
        t.throws(
            () => parseConfig(bytes, hash(bytes)),
            { code: 'ValidationFailed', message },
            text.slice(0, 5),
        );
    }
    const huge = Buffer.alloc(8_388_609, 0x20);
    t.throws(() => parseConfig(huge, hash(huge)), {
        code: 'Download',
        message: `error downloading config with digest ${hash(huge)}, it has more than 8388608 bytes`,
    });
    t.match(configDownloadFailed(A, 'it stalled'), {
        code: 'Download',
        message: `error downloading config with digest ${A}, it stalled`,
    });
});

function layerOf(metadata: JsonObject): DockerLayer {
    const [base = '', uuid = ''] = chainUuids([A, B]);
    return { uuid, origin: base, digest: B, shortId: 'b'.repeat(12), metadata };
}

function recordOf(manifest: JsonObject) {
    return buildImage('import', manifest, { rules: DC, lifespanDays: 7, now: 0 });
}

void t.test('the manifest of a layer', async (t) => {
    const manifest = layerManifest(layerOf({ ...CONFIG, comment: 'hello' }), {
        ...OPTIONS,
        tags: ['1', 'x'],
    });
    t.strictSame(manifest, {
        v: 2,
        uuid: 'ccd72292-8bd9-2476-ba17-45586fed6e45',
        owner: '00000000-0000-0000-0000-000000000000',
        name: 'docker-layer',
        version: 'bbbbbbbbbbbb',
        disabled: false,
        public: true,
        published_at: '2021-01-01T00:00:00.000Z',
        type: 'docker',
        os: 'linux',
        description: 'hello',
        tags: {
            'docker:repo': 'busybox',
            'docker:id': B,
            'docker:architecture': 'arm64',
            'docker:tag:1': true,
            'docker:tag:x': true,
            'docker:config': { Cmd: ['sh'], Entrypoint: null, Env: ['A=1'], WorkingDir: '/' },
        },
        origin: '9f447b1b-473d-3598-84f2-b8541a1ad0b7',
    });
    t.match(recordOf(manifest), { state: 'unactivated', tagsObj: manifest.tags as JsonObject });
    const [base] = imageLayers(CONFIG, manifestOf(A, B));
    const bare = layerManifest(base!, { repository: parseRepository('quay.io/a/b'), isPublic: false });
    t.match(bare, { public: false, description: 'one', tags: { 'docker:repo': 'quay.io/a/b' } });
    t.notOk('origin' in bare);
    t.notOk('docker:config' in (bare.tags as JsonObject));
    t.ok(recordOf(bare));
});

void t.test('dates, descriptions and systems as configs have them', async (t) => {
    const of = (metadata: JsonObject): JsonObject => layerManifest(layerOf(metadata), OPTIONS);
    const dates: Readonly<Record<string, string | undefined>> = {
        [CREATED]: '2020-01-02T03:04:05.123Z',
        '2020-01-02T03:04:05.9Z': '2020-01-02T03:04:05.900Z',
        '2020-01-02T03:04:05.000000001+02:00': '2020-01-02T01:04:05.000Z',
        '0001-01-01T00:00:00Z': '0001-01-01T00:00:00.000Z',
        '9999-12-31T23:59:59-05:00': undefined,
        '2020-13-02T03:04:05Z': undefined,
        '2020-01-02': undefined,
        'Thu, 02 Jan 2020 03:04:05 GMT': undefined,
        '': undefined,
    };
    for (const [created, published] of Object.entries(dates)) {
        t.equal(of({ created }).published_at, published, created);
    }
    t.notOk('published_at' in of({ created: 5 }));
    t.notOk('published_at' in of({}));
    const descriptions: readonly (readonly [JsonObject, string | undefined])[] = [
        [{ comment: 'c', container_config: { Cmd: ['a'] } }, 'c'],
        [{ comment: '', container_config: { Cmd: ['a', 'b c'] } }, 'a b c'],
        [{ comment: 5, container_config: { Cmd: 'text' } }, 'text'],
        [{ container_config: { Cmd: ['a', null, 5, 'b'] } }, 'a b'],
        [{ container_config: { Cmd: [''] } }, undefined],
        [{ container_config: null }, undefined],
        [{}, undefined],
        [{ comment: 'x'.repeat(10_241) }, 'x'.repeat(10_240)],
        [{ comment: `${'x'.repeat(10_239)}😀` }, 'x'.repeat(10_239)],
        [{ comment: `${'x'.repeat(10_238)}😀y` }, `${'x'.repeat(10_238)}😀`],
    ];
    for (const [metadata, description] of descriptions) {
        t.equal(of(metadata).description, description);
    }
    t.equal(of({ os: 'linux' }).os, 'linux');
    for (const os of ['windows', '', null, 5, 'Linux', undefined]) {
        t.equal(of(os === undefined ? {} : { os }).os, 'other', String(os));
    }
});

void t.test('tags keep within their limit', async (t) => {
    const env = Array.from({ length: 5000 }, (_item, at) => `NAME_${at}="${'x'.repeat(20)}"`);
    const big = layerManifest(layerOf({ config: { Env: env, Cmd: ['sh'], WorkingDir: '/w' } }), OPTIONS);
    t.strictSame((big.tags as JsonObject)['docker:config'], { Cmd: ['sh'], WorkingDir: '/w' });
    t.ok(recordOf(big));
    const fits = env.slice(0, 2600);
    const full = layerManifest(layerOf({ config: { Env: fits, Cmd: ['sh'] } }), OPTIONS);
    t.strictSame((full.tags as JsonObject)['docker:config'], { Cmd: ['sh'], Env: fits });
    const length = JSON.stringify(full.tags).length;
    t.ok(length > 90_000 && recordOf(full), `${length}`);
    for (const architecture of ['x'.repeat(129), 5, null]) {
        t.notOk(
            'docker:architecture' in (layerManifest(layerOf({ architecture }), OPTIONS).tags as JsonObject),
        );
    }
});

interface OtherOpinion {
    readonly imgManifestFromDockerInfo: (info: object) => JsonObject;
}

const other = createRequire(import.meta.url)('imgmanifest') as OtherOpinion;

const command = fc.oneof(fc.array(fc.string({ maxLength: 9 }), { maxLength: 3 }), fc.constant(null));
const metadata = fc.record(
    {
        created: fc
            .date({ min: new Date('1970-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
            .map((date) => date.toISOString().replace('Z', '456789Z')),
        os: fc.constantFrom('linux', 'windows'),
        architecture: fc.constantFrom('amd64', 'arm64'),
        comment: fc.oneof(fc.string(), fc.constant('é'.repeat(10_300))),
        container_config: fc.record({ Cmd: command }),
        config: fc.oneof(
            fc.record(
                {
                    Cmd: command,
                    Entrypoint: command,
                    Env: command,
                    WorkingDir: fc.string(),
                    User: fc.string(),
                },
                { requiredKeys: [] },
            ),
            fc.constant(null),
        ),
    },
    { requiredKeys: ['created', 'architecture'] },
);

void t.test('agrees with the other implementation', async (t) => {
    const seen = { origins: 0, descriptions: 0 };
    fc.assert(
        fc.property(metadata, fc.boolean(), fc.boolean(), (meta, isBase, isPublic) => {
            const layerDigests = isBase ? [A] : [A, B];
            const uuids = chainUuids(layerDigests);
            const [uuid = '', origin] = uuids.toReversed();
            const theirs = other.imgManifestFromDockerInfo({
                imgJson: structuredClone(meta),
                layerDigests,
                repo: REPOSITORY,
                public: isPublic,
                tags: ['t'],
            });
            const last = layerDigests.at(-1) ?? '';
            const layer: DockerLayer = {
                uuid,
                ...(origin === undefined ? {} : { origin }),
                digest: last,
                shortId: last.slice(7, 19),
                metadata: meta,
            };
            const mine = layerManifest(layer, { repository: REPOSITORY, isPublic, tags: ['t'] });
            // They leave the system open where it is another one, and descriptions empty; keys come in another order.
            const expected = {
                ...theirs,
                os: theirs.os ?? 'other',
                description: theirs.description || undefined,
            };
            assert.deepEqual(sorted(mine), sorted(expected));
            recordOf(mine);
            seen.origins += mine.origin === undefined ? 0 : 1;
            seen.descriptions += mine.description === undefined ? 0 : 1;
        }),
        { numRuns: 300 },
    );
    t.ok(seen.origins > 50 && seen.descriptions > 50, JSON.stringify(seen));
});

function sorted(manifest: Readonly<Record<string, unknown>>): unknown {
    const keys = Object.keys(manifest).sort();
    return JSON.parse(JSON.stringify(Object.fromEntries(keys.map((key) => [key, manifest[key]]))));
}

void t.test('whatever a config says, its layers have valid manifests or it is refused', async (t) => {
    const deep = JSON.parse('['.repeat(250) + ']'.repeat(250)) as JsonValue;
    const wild = fc.oneof(json, fc.constant(deep), fc.constant('\u0000\ud800'.repeat(30_000)));
    const sometimes = (value: JsonValue) => fc.oneof({ weight: 6, arbitrary: fc.constant(value) }, wild);
    const config = fc.record({
        created: sometimes(CREATED),
        os: sometimes('linux'),
        architecture: sometimes('amd64'),
        comment: wild,
        container_config: fc.oneof(wild, fc.record({ Cmd: wild })),
        config: fc.oneof(wild, fc.record({ Cmd: wild, Env: wild, Entrypoint: wild, WorkingDir: wild })),
        history: fc.oneof(
            sometimes([]),
            fc.array(fc.record({ created: wild, created_by: wild, empty_layer: sometimes(false) }), {
                minLength: 2,
                maxLength: 2,
            }) as fc.Arbitrary<JsonValue>,
        ),
        rootfs: sometimes({ diff_ids: [A, B] }),
    }) as unknown as fc.Arbitrary<JsonObject>;
    const seen = { good: 0, refused: 0 };
    fc.assert(
        fc.property(config, (value) => {
            let layers;
            try {
                layers = imageLayers(value, manifestOf(A, B));
            } catch (error) {
                seen.refused += 1;
                return error instanceof ApiError && error.code === 'ValidationFailed';
            }
            seen.good += 1;
            return layers.map((layer) => recordOf(layerManifest(layer, OPTIONS))).length === 2;
        }),
        { numRuns: 250 },
    );
    t.ok(seen.good > 20 && seen.refused > 20, JSON.stringify(seen));
});
