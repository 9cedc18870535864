import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import {
    compressionOfMediaType,
    dockerLayerType,
    sniffCompression,
} from '#lib/manifest/docker/compression.js';
import { goJson } from '#lib/manifest/docker/go-json.js';
import { type DockerManifest, manifestDigest, parseManifest } from '#lib/manifest/docker/image-manifest.js';
import { MANIFEST_TYPES, manifestKindOf } from '#lib/manifest/docker/media-types.js';
import { choosePlatform } from '#lib/manifest/docker/platform.js';
import type { JsonObject, JsonValue } from '#lib/manifest/types.js';
import { json } from '../helpers/manifest-arbitraries.js';

const SUBJECT = 'busybox:1';
const [DOCKER_IMAGE, OCI_IMAGE, DOCKER_LIST, OCI_INDEX] = MANIFEST_TYPES;
/** What a registry may say in another way than it should. */
const CHANGED = [
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'fsLayers',
    'signatures',
] as const;
const SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest('c'), size: 3 };
const LAYERS = [
    { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: digest('a'), size: 1 },
    { digest: digest('b') },
];
const IMAGE: JsonObject = { schemaVersion: 2, config: CONFIG, layers: LAYERS };
const entry = (letter: string, os: string, architecture: string): JsonObject => ({
    mediaType: OCI_IMAGE,
    digest: digest(letter),
    size: 5,
    platform: { os, architecture },
});
const LIST: JsonObject = {
    schemaVersion: 2,
    manifests: [entry('d', 'linux', 'arm64'), entry('e', 'linux', 'amd64'), entry('f', 'linux', 'amd64')],
};

function parse(value: JsonValue, contentType?: string): DockerManifest {
    return parseManifest(Buffer.from(JSON.stringify(value)), contentType, SUBJECT);
}

function chosenFrom(manifests: readonly JsonValue[]): string {
    const list = parse({ manifests });
    assert(list.kind === 'list');
    return choosePlatform(list);
}

void t.test('what a manifest is', async (t) => {
    const rows: readonly (readonly [string, JsonObject, string | undefined])[] = [
        ['image', { ...IMAGE, mediaType: DOCKER_IMAGE }, undefined],
        ['image', { ...IMAGE, mediaType: OCI_IMAGE }, DOCKER_LIST],
        ['image', IMAGE, OCI_IMAGE],
        ['image', IMAGE, 'application/json'],
        ['image', { ...IMAGE, mediaType: 'text/x-new' }, undefined],
        ['list', { ...LIST, mediaType: DOCKER_LIST }, undefined],
        ['list', LIST, `${OCI_INDEX.toUpperCase()} ; charset=utf-8`],
        ['list', LIST, undefined],
        ['list', { manifests: LIST.manifests ?? null }, 'text/plain'],
    ];
    for (const [kind, value, contentType] of rows) {
        t.equal(parse(value, contentType).kind, kind, `${JSON.stringify(value)} ${contentType}`);
    }
    t.equal(manifestKindOf(SCHEMA1), 'schema1');
    t.equal(manifestKindOf('application/vnd.docker.distribution.manifest.v1+json'), 'schema1');
    t.equal(manifestKindOf('constructor'), undefined);
    const image = parse({ ...IMAGE, mediaType: DOCKER_IMAGE });
    t.match(image, { mediaType: DOCKER_IMAGE, config: CONFIG, layers: LAYERS, value: IMAGE });
    t.match(parse(IMAGE), { mediaType: undefined });
});

void t.test('the digest of a manifest is that of its bytes', async (t) => {
    const bytes = Buffer.from(JSON.stringify(IMAGE, null, 7));
    const expected = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    t.equal(manifestDigest(bytes, parseManifest(bytes, undefined, SUBJECT)), expected);
});

void t.test('manifests that are refused', async (t) => {
    const deep = JSON.parse('['.repeat(300) + ']'.repeat(300)) as JsonValue;
    const many = (length: number, value: JsonValue): JsonValue[] => Array.from({ length }, () => value);
    const LAYER = 'its digest is not "sha256:" and 64 hexadecimal digits';
    const rows: readonly (readonly [JsonValue, string])[] = [
        [{ ...IMAGE, schemaVersion: 3 }, 'unsupported schemaVersion in busybox:1 manifest: 3'],
        [{ ...IMAGE, schemaVersion: '2' }, 'invalid schemaVersion in busybox:1 manifest: not a number'],
        [{ ...LIST, manifests: [] }, 'no manifests in busybox:1 manifest list'],
        [{ mediaType: OCI_INDEX }, 'no manifests in busybox:1 manifest list'],
        [{ ...IMAGE, layers: [] }, 'no layers in busybox:1 manifest'],
        [{ ...IMAGE, layers: null }, 'no layers in busybox:1 manifest'],
        [{}, 'no layers in busybox:1 manifest'],
        [{ ...IMAGE, layers: {} }, 'invalid "layers" in busybox:1 manifest: not an array'],
        [{ ...IMAGE, layers: [1] }, 'invalid layer 0 in busybox:1 manifest: not an object'],
        [{ ...IMAGE, layers: [{ digest: 'sha512:00' }] }, `invalid layer 0 in busybox:1 manifest: ${LAYER}`],
        [
            { ...IMAGE, layers: [LAYERS[1] ?? null, { digest: `${digest('a')}/..` }] },
            `invalid layer 1 in busybox:1 manifest: ${LAYER}`,
        ],
        ...[-1, 1.5, 2 ** 53, '1', null].map((size): readonly [JsonValue, string] => [
            { ...IMAGE, layers: [{ digest: digest('a'), size }] },
            'invalid layer 0 in busybox:1 manifest: its size is not a number of bytes',
        ]),
        [{ ...IMAGE, config: null }, 'invalid config in busybox:1 manifest: not an object'],
        [{ ...IMAGE, config: { digest: 1 } }, `invalid config in busybox:1 manifest: ${LAYER}`],
        [
            { ...IMAGE, layers: many(257, LAYERS[1] ?? null) },
            'too many layers in busybox:1 manifest: 257 (max 256)',
        ],
        [
            { manifests: many(1001, entry('a', 'a', 'a')) },
            'too many manifests in busybox:1 manifest: 1001 (max 1000)',
        ],
        [{ manifests: [{}] }, `invalid entry 0 in busybox:1 manifest list: ${LAYER}`],
        [{ ...IMAGE, ...LIST }, 'ambiguous busybox:1 manifest: "layers" does not belong there'],
        [
            { ...IMAGE, ...LIST, mediaType: OCI_IMAGE },
            'ambiguous busybox:1 manifest: "manifests" does not belong there',
        ],
        [{ ...IMAGE, more: deep }, 'invalid JSON in busybox:1 manifest: nested too deeply'],
        [[], 'invalid JSON in busybox:1 manifest: not an object'],
        [null, 'invalid JSON in busybox:1 manifest: not an object'],
    ];
    for (const [value, message] of rows) {
        t.throws(() => parse(value), { code: 'InternalError', message }, message);
    }
    for (const [bytes, reason] of [
        [Buffer.from([0x7b, 0xff, 0x7d]), 'not UTF-8'],
        [Buffer.from('{'), ''],
        [Buffer.from(`\uFEFF${JSON.stringify(IMAGE)}`), ''],
        [Buffer.alloc(0), ''],
    ] as const) {
        const message = new RegExp(`^invalid JSON in busybox:1 manifest: ${reason}`);
        t.throws(() => parseManifest(bytes, OCI_IMAGE, SUBJECT), { code: 'InternalError', message });
    }
});

void t.test('the platform of a list', async (t) => {
    t.equal(chosenFrom(LIST.manifests as JsonValue[]), digest('e'), 'the first one');
    const attestation = {
        ...entry('1', 'linux', 'amd64'),
        annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    };
    const noted = { ...entry('2', 'linux', 'amd64'), annotations: { other: 'x' } };
    t.equal(chosenFrom([attestation, noted]), digest('2'), 'no attestation');
    const nested = { mediaType: OCI_INDEX, digest: digest('3') };
    t.equal(chosenFrom([nested, noted]), digest('2'), 'an image rather than a list');
    t.equal(chosenFrom([entry('4', 'linux', 'arm64'), nested]), digest('3'), 'else a list that may have one');
});

void t.test('lists without the platform', async (t) => {
    const other = (platforms: string): { readonly code: string; readonly message: string } => ({
        code: 'ValidationFailed',
        message: `no linux-amd64 platform found in manifest list: ${platforms}`,
    });
    t.throws(() => chosenFrom([entry('a', 'linux', 'arm64')]), other(`[ 'linux-arm64' ]`));
    const oses = ['linux', 'windows', 'plan9', 'aix', 'darwin', 'freebsd', 'a', 'b', 'c'];
    const all = oses.map((os) => `'${os}-arm64'`).join(', ');
    t.throws(() => chosenFrom(oses.map((os) => entry('a', os, 'arm64'))), other(`[ ${all} ]`), 'on one line');
    t.throws(() => chosenFrom([{ digest: digest('a') }]), other(`[ 'unknown-unknown' ]`));
    const attestation = {
        ...entry('a', 'unknown', 'unknown'),
        annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    };
    t.throws(() => chosenFrom([attestation]), other('[]'));
    const closed = { ...entry('a', 'linux', 'arm64'), mediaType: DOCKER_LIST };
    t.throws(() => chosenFrom([closed]), other(`[ 'linux-arm64' ]`), 'a list for another platform');
    t.throws(() => chosenFrom([{ digest: digest('a'), platform: 5 }]), other(`[ 'unknown-unknown' ]`));
    const long = Array.from({ length: 1000 }, (_item, at) => entry('a', `o'\n${at}`, 'x'.repeat(5000)));
    t.throws(() => chosenFrom(long), { message: /^[^\n]{100,9000}\.\.\. 900 more items \]$/ });
});

void t.test('compressions by media type', async (t) => {
    const docker = 'application/vnd.docker.image.rootfs.diff';
    const oci = 'application/vnd.oci.image.layer';
    const rows: readonly (readonly [string | undefined, string | undefined])[] = [
        [`${docker}.tar.gzip`, 'gzip'],
        [`${docker}.tar.bzip2`, 'bzip2'],
        [`${docker}.tar.xz`, 'xz'],
        [`${docker}.tar`, 'none'],
        [docker, 'none'],
        ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'gzip'],
        ['application/vnd.docker.image.rootfs.foreign.diff.tar', 'none'],
        [`${oci}.v1.tar+gzip`, 'gzip'],
        [`${oci}.nondistributable.v1.tar+gzip`, 'gzip'],
        [`${oci}.v1.tar`, undefined],
        [`${docker}.tar.lz4`, undefined],
        ['application/octet-stream', undefined],
        ['', undefined],
        [undefined, undefined],
    ];
    for (const [type, compression] of rows) {
        t.equal(compressionOfMediaType(type), compression, String(type));
    }
    const zstd = { code: 'NotImplemented', message: 'zstd-compressed layers are not supported' };
    for (const type of [`${oci}.v1.tar+zstd`, `${oci}.nondistributable.v1.tar+zstd`, `${docker}.tar.zstd`]) {
        t.throws(() => compressionOfMediaType(type), zstd, type);
    }
    const encrypted = { code: 'NotImplemented', message: 'encrypted layers are not supported' };
    t.throws(() => compressionOfMediaType(`${oci}.v1.tar+gzip+encrypted`), encrypted);
    for (const compression of ['gzip', 'bzip2', 'xz', 'none'] as const) {
        t.equal(compressionOfMediaType(dockerLayerType(compression)), compression);
    }
});

void t.test('compressions by the first bytes', async (t) => {
    const rows: Readonly<Record<string, string>> = {
        '425a68393141': 'bzip2',
        '1f8b08000000': 'gzip',
        fd377a585a00: 'xz',
        fd377a585a01: 'none',
        '1f8b09000000': 'none',
        '000000000000': 'none',
        '1f8b080000': 'none',
        '': 'none',
    };
    for (const [hex, compression] of Object.entries(rows)) {
        t.equal(sniffCompression(Buffer.from(hex, 'hex')), compression, hex);
    }
    const zstd = { code: 'NotImplemented', message: 'zstd-compressed layers are not supported' };
    t.throws(() => sniffCompression(Buffer.from('28b52ffd0458', 'hex')), zstd);
});

void t.test('JSON as Go writes it', async (t) => {
    const value = { '<k>': ['a&b', '\u2028', { x: '\u2029"\\' }], n: 1 };
    const expected = String.raw`{"\u003ck\u003e":["a\u0026b","\u2028",{"x":"\u2029\"\\"}],"n":1}`;
    t.equal(goJson(value), expected);
    fc.assert(
        fc.property(json, (value) => {
            const text = goJson(value);
            const isSame = JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
            return isSame && !/[<>&\u2028\u2029]/.test(text);
        }),
    );
});

void t.test('whatever a registry says, there is an answer', async (t) => {
    const descriptor = fc.record(
        {
            digest: fc.oneof({ weight: 9, arbitrary: fc.constant(digest('a')) }, json),
            mediaType: fc.oneof(fc.constantFrom<JsonValue[]>(...MANIFEST_TYPES, SCHEMA1), json),
            size: fc.oneof(fc.nat(), json),
            platform: fc.oneof(fc.constant({ os: 'linux', architecture: 'amd64' }), json),
            annotations: json,
        },
        { requiredKeys: ['digest'] },
    );
    const descriptors = fc.oneof({ weight: 4, arbitrary: fc.array(descriptor, { maxLength: 3 }) }, json);
    const changes = fc.record(
        {
            schemaVersion: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, 2) }, json),
            mediaType: fc.oneof(fc.constantFrom(...MANIFEST_TYPES, SCHEMA1), json),
            config: fc.oneof({ weight: 4, arbitrary: descriptor }, json),
            layers: descriptors,
            manifests: descriptors,
            fsLayers: descriptors,
            signatures: json,
        },
        { requiredKeys: [] },
    );
    const document = fc
        .tuple(fc.constantFrom(IMAGE, LIST, {}), changes, fc.subarray([...CHANGED]))
        .map(([base, changed, left]) => ({
            ...base,
            ...Object.fromEntries(
                Object.entries(changed).filter(([key]) => left.some((name) => name === key)),
            ),
        }));
    const contentType = fc.constantFrom(undefined, 'text/plain', SCHEMA1, ...MANIFEST_TYPES);
    const seen = { image: 0, list: 0, schema1: 0, refused: 0 };
    fc.assert(
        fc.property(fc.oneof({ weight: 9, arbitrary: document }, json), contentType, (value, type) => {
            try {
                const manifest = parse(value, type);
                seen[manifest.kind] += 1;
                if (manifest.kind === 'list') {
                    choosePlatform(manifest);
                }
            } catch (error) {
                seen.refused += 1;
                return (
                    error instanceof ApiError && ['InternalError', 'ValidationFailed'].includes(error.code)
                );
            }
            return true;
        }),
        { numRuns: 3000 },
    );
    t.ok(seen.image > 10 && seen.list > 10 && seen.refused > 100, JSON.stringify(seen));
});
