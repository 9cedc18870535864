import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { chainUuids } from '#lib/manifest/docker/image-layers.js';
import { manifestDigest, parseManifest } from '#lib/manifest/docker/image-manifest.js';
import { rebuildImage } from '#lib/manifest/docker/rebuild-image.js';
import type { Schema1Manifest } from '#lib/manifest/docker/schema1.js';
import type { JsonObject, JsonValue } from '#lib/manifest/types.js';
import { json } from '../helpers/manifest-arbitraries.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';
import {
    makeKey,
    makeSignature,
    prettyJson,
    signedPart,
    withSignatures,
} from '../helpers/signed-document.js';

const SUBJECT = 'busybox:1';
const TIME = '2016-01-02T03:04:05Z';
const KEY = makeKey('ES256');

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const sha256 = (text: string | Buffer): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** Signed by others: with the digests that a registry gave them. */
const FOREIGN = JSON.parse(
    readFileSync(join(PROJECT_ROOT, 'test/fixtures/docker-schema1.json'), 'utf8'),
) as readonly { readonly signedBy: string; readonly digest: string; readonly text: string }[];

const step = (command: string | readonly string[], more: JsonObject = {}): JsonObject => ({
    id: '1'.repeat(64),
    created: TIME,
    container_config: { Cmd: typeof command === 'string' ? [command] : command },
    ...more,
});

/** @param steps the oldest first, with the letter of its layer's digest */
function payloadOf(steps: readonly (readonly [string, JsonObject])[], more: JsonObject = {}): string {
    const newestFirst = steps.toReversed();
    return prettyJson({
        schemaVersion: 1,
        name: 'library/busybox',
        tag: '1',
        architecture: 'amd64',
        fsLayers: newestFirst.map(([letter]) => ({ blobSum: digest(letter) })),
        history: newestFirst.map(([, entry]) => ({ v1Compatibility: JSON.stringify(entry) })),
        ...more,
    });
}

const STEPS: readonly (readonly [string, JsonObject])[] = [
    ['a', step(['/bin/sh', '-c', '#(nop) ADD file:1 in /'], { author: 'A', comment: 'first' })],
    ['e', step('/bin/sh -c #(nop) CMD ["sh"]', { throwaway: true })],
    ['b', step('/bin/sh -c make <all> & more')],
    [
        'e',
        step('/bin/sh -c #(nop)  ENV A=1', {
            parent: '2'.repeat(64),
            os: 'linux',
            architecture: 'amd64',
            config: { Cmd: ['sh'], Env: ['A=1'] },
        }),
    ],
];
const PAYLOAD = payloadOf(STEPS);

function signed(payload: string): string {
    return withSignatures(payload, [makeSignature(payload, KEY, signedPart(payload, TIME))]);
}

function parse(text: string | Buffer): Schema1Manifest {
    const manifest = parseManifest(Buffer.from(text), undefined, SUBJECT);
    if (manifest.kind !== 'schema1') {
        throw new Error(`it is of kind ${manifest.kind}`);
    }
    return manifest;
}

void t.test('documents that others have signed', async (t) => {
    const layers = [
        'sha256:64144a31673b06b39f5f9a883e68d703d0e036c6dd2144aca69f4e462dcd9c6b',
        'sha256:149216729c61f1034dcc7ce4609584186e4db41b8670f70399832406b1ebbb7d',
    ];
    for (const { signedBy, digest: given, text } of FOREIGN) {
        const manifest = parse(text);
        t.equal(manifestDigest(Buffer.from(text), manifest), given, signedBy);
        t.strictSame(
            manifest.layers.map(({ uuid }) => uuid),
            chainUuids(layers),
        );
        t.match(manifest.config, { config: { Env: ['PATH=/bin', 'X=<a>&b'] } });
        const other = text.replace('CMD', 'RUN');
        t.not(other, text);
        t.throws(() => parse(other), {
            message: `cannot verify ${SUBJECT} manifest: it does not verify`,
        });
    }
    t.equal(FOREIGN.length, 2);
});

void t.test('a manifest whose signature is missing', async (t) => {
    const message = `cannot verify ${SUBJECT} manifest: there are no signatures`;
    t.throws(() => parse(PAYLOAD), { code: 'InternalError', message });
});

void t.test('only what is signed counts', async (t) => {
    const signature = makeSignature(PAYLOAD, KEY, signedPart(PAYLOAD, TIME));
    const end = '\n}';
    const other = prettyJson([{ blobSum: digest('f') }]);
    const text = `${withSignatures(PAYLOAD, [signature]).slice(0, -end.length)},\n"fsLayers": ${other}${end}`;
    t.strictSame((JSON.parse(text) as JsonObject).fsLayers, [{ blobSum: digest('f') }]);
    t.strictSame(
        parse(text).layers.map((layer) => layer.digest),
        [digest('a'), digest('b')],
    );
});

void t.test('layers', async (t) => {
    const { layers, config } = parse(signed(PAYLOAD));
    const [base, last] = chainUuids([digest('a'), digest('b')]);
    const nop = '/bin/sh -c #(nop) ';
    const history = [
        { created: TIME, created_by: `${nop}ADD file:1 in /`, author: 'A', comment: 'first' },
        { created: TIME, created_by: `${nop}CMD ["sh"]`, empty_layer: true },
        { created: TIME, created_by: '/bin/sh -c make <all> & more' },
        { created: TIME, created_by: `${nop} ENV A=1`, empty_layer: true },
    ];
    t.strictSame(config, {
        created: TIME,
        container_config: { Cmd: [`${nop} ENV A=1`] },
        parent: '2'.repeat(64),
        os: 'linux',
        architecture: 'amd64',
        config: { Cmd: ['sh'], Env: ['A=1'] },
        history,
    });
    t.strictSame(layers, [
        {
            uuid: base,
            digest: digest('a'),
            shortId: 'a'.repeat(12),
            metadata: {
                created: TIME,
                container_config: { Cmd: [`${nop}ADD file:1 in /`] },
                os: 'linux',
                architecture: 'amd64',
            },
        },
        { uuid: last, origin: base, digest: digest('b'), shortId: 'b'.repeat(12), metadata: config },
    ]);
});

void t.test('which layers are empty', async (t) => {
    const rows: readonly (readonly [JsonValue, boolean])[] = [
        [['/bin/sh -c #(nop) CMD ["a"]'], true],
        [['/bin/sh', '-c', '#(nop) ENTRYPOINT x'], true],
        [['/bin/sh -c #(nop)  ENV a'], true],
        [['/bin/sh -c #(nop)  \t COPY a'], false],
        [['/bin/sh -c #(nop) ADD a'], false],
        [['/bin/sh -c #(nop) ADDED a'], true],
        [['/bin/sh -c #(nop) RUN'], false],
        [['/bin/sh -c #(nop) '], true],
        [['#(nop) CMD'], false],
        [['make'], false],
        [[], false],
        ['/bin/sh -c #(nop) CMD', false],
        [null, false],
        [[1, null], false],
    ];
    for (const [command, isEmpty] of rows) {
        const { layers } = parse(
            signed(
                payloadOf([
                    ['a', step('make')],
                    ['b', { container_config: { Cmd: command } }],
                ]),
            ),
        );
        t.equal(layers.length, isEmpty ? 1 : 2, JSON.stringify(command));
    }
});

void t.test('the image that is made of one', async (t) => {
    const manifest = parse(signed(PAYLOAD));
    const files = [
        { size: 10, compression: 'gzip', uncompressedDigest: digest('1') },
        { size: 20, compression: 'none', uncompressedDigest: digest('2') },
    ] as const;
    const { config, configText, configDigest, manifestText, manifestDigest } = rebuildImage(manifest, files);
    t.strictSame(Object.keys(config), [
        'created',
        'container_config',
        'parent',
        'os',
        'architecture',
        'config',
        'history',
        'rootfs',
    ]);
    t.strictSame(config.rootfs, { type: 'layers', diff_ids: [digest('1'), digest('2')] });
    t.equal(configText, JSON.stringify(config));
    t.equal(configDigest, sha256(configText));
    t.equal(manifestDigest, sha256(manifestText));
    const expected = `{
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": ${Buffer.byteLength(configText)},
        "digest": "${configDigest}"
    },
    "layers": [
        {
            "digest": "${digest('a')}",
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "size": 10
        },
        {
            "digest": "${digest('b')}",
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
            "size": 20
        }
    ]
}`;
    t.equal(manifestText, expected);
    t.match(parseManifest(Buffer.from(manifestText), undefined, SUBJECT), {
        kind: 'image',
        config: { digest: configDigest },
    });
    t.throws(() => rebuildImage(manifest, [files[0]]), { message: '1 files for 2 layers' });
});

void t.test('what is signed and still no image', async (t) => {
    const internal = (message: string) => ({ code: 'InternalError', message });
    const invalid = `invalid layer in ${SUBJECT} manifest: its digest is not "sha256:" and 64 hexadecimal digits`;
    const notArray = `invalid ${SUBJECT} manifest: "fsLayers" or "history" is not an array`;
    const rows: readonly (readonly [string, { readonly code: string; readonly message: string | RegExp }])[] =
        [
            [payloadOf([]), internal(`no layers in ${SUBJECT} manifest`)],
            [payloadOf([['a', step('/bin/sh -c #(nop) CMD')]]), internal(`no layers in ${SUBJECT} manifest`)],
            [
                payloadOf(STEPS, { history: [] }),
                internal(`history length not equal to layers length in ${SUBJECT} manifest`),
            ],
            [
                payloadOf(STEPS, { fsLayers: null }),
                internal(`history length not equal to layers length in ${SUBJECT} manifest`),
            ],
            [payloadOf(STEPS, { fsLayers: 'x' }), internal(notArray)],
            [payloadOf(STEPS, { history: {} }), internal(notArray)],
            [payloadOf([['/', step('x')]]), internal(invalid)],
            [payloadOf(STEPS.slice(0, 1), { fsLayers: [null] }), internal(invalid)],
            [
                payloadOf(Array.from({ length: 257 }, () => STEPS[0]!)),
                internal(`too many layers in ${SUBJECT} manifest: 257 (max 256)`),
            ],
            [
                payloadOf(STEPS.slice(0, 1), { history: [{ v1Compatibility: '{x' }] }),
                {
                    code: 'ValidationFailed',
                    message: /^invalid "v1Compatibility" JSON in docker manifest: .+ \(\{x\)$/,
                },
            ],
            [
                payloadOf(STEPS.slice(0, 1), { history: [{ v1Compatibility: '[]' }] }),
                {
                    code: 'ValidationFailed',
                    message: 'invalid "v1Compatibility" JSON in docker manifest: not an object ([])',
                },
            ],
            [
                payloadOf(STEPS.slice(0, 1), { history: [{ v1Compatibility: `"${'x'.repeat(9000)}"` }] }),
                {
                    code: 'ValidationFailed',
                    message: `invalid "v1Compatibility" JSON in docker manifest: not an object ("${'x'.repeat(999)}...)`,
                },
            ],
            [
                payloadOf(STEPS.slice(0, 1), { history: [5] }),
                {
                    code: 'ValidationFailed',
                    message: /^invalid "v1Compatibility" JSON in docker manifest: .+ \(undefined\)$/,
                },
            ],
        ];
    for (const [payload, error] of rows) {
        t.throws(() => parse(signed(payload)), error, String(error.message));
    }
});

void t.test('whatever a registry says and signs, there is an answer', async (t) => {
    const wild = fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, json);
    const part = fc.record({ formatLength: wild, formatTail: wild });
    const entry = fc.oneof(
        {
            weight: 4,
            arbitrary: fc.record({ created: json, container_config: json, config: json, os: json }),
        },
        json,
    );
    const document = fc.record({
        steps: fc.array(fc.tuple(fc.constantFrom('a', 'b'), entry), { maxLength: 3 }),
        fsLayers: wild,
        history: wild,
        part,
        header: wild,
    });
    const defined = (value: Readonly<Record<string, unknown>>): JsonObject =>
        Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as JsonObject;
    const seen = { good: 0, refused: 0 };
    fc.assert(
        fc.property(document, ({ steps, fsLayers, history, part: wrong, header }) => {
            const payload = payloadOf(
                steps as unknown as readonly (readonly [string, JsonObject])[],
                defined({ fsLayers, history }),
            );
            const signature = makeSignature(payload, KEY, {
                ...signedPart(payload, TIME),
                ...defined(wrong),
            });
            const text = withSignatures(payload, [{ ...signature, ...defined({ header }) }]);
            try {
                const manifest = parse(text);
                seen.good += 1;
                const file = { size: 1, compression: 'gzip', uncompressedDigest: digest('1') } as const;
                const { manifestText } = rebuildImage(
                    manifest,
                    manifest.layers.map(() => file),
                );
                return parseManifest(Buffer.from(manifestText), undefined, SUBJECT).kind === 'image';
            } catch (error) {
                seen.refused += 1;
                return (
                    error instanceof ApiError && ['InternalError', 'ValidationFailed'].includes(error.code)
                );
            }
        }),
        { numRuns: 400 },
    );
    t.ok(seen.good > 5 && seen.refused > 50, JSON.stringify(seen));
});
