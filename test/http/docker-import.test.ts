// Pulls over the wire: their lines, what they make, and how they end (jobs-and-imports 5.1-5.5).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import { MEDIA_TYPES, sha256Digest, type ImageSpec, type MadeImage } from '../helpers/docker-images.js';
import { HttpClient } from '../helpers/http-client.js';
import { sha1Hex } from '../helpers/images.js';
import { LineReader } from '../helpers/line-reader.js';
import { offered, progressOf, stagedFiles, type Told } from '../helpers/pull-bench.js';
import { LIMIT_MS, ServerProcess } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

const OPEN = { authType: 'none' };
const registry = await new RegistryDouble().start(t);
const server = await ServerProcess.start({ config: OPEN });
const client = new HttpClient(server.port);
t.teardown(async () => {
    client.close();
    await server.stop();
});

/** The path of a pull. */
function pathOf(repository: string, reference: string, from: RegistryDouble = registry): string {
    const key = reference.startsWith('sha256:') ? 'digest' : 'tag';
    return `/images?action=import-docker-image&repo=${from.host}/${repository}&${key}=${reference}`;
}

function open(
    path: string,
    headers: Readonly<Record<string, string>> = {},
    by = client,
): Promise<LineReader> {
    return LineReader.open(by, path, { headers }, 'POST');
}

async function pull(path: string, headers: Readonly<Record<string, string>> = {}): Promise<readonly Told[]> {
    return (await open(path, headers)).rest();
}

/** The keys in their order, too. */
function texts(lines: readonly Told[]): readonly string[] {
    return lines.map((line) => JSON.stringify(line));
}

interface Expected {
    /** `<local name>:<tag>` or `<local name>@<digest>`. */
    readonly named: string;
    readonly id: string;
    readonly shortIds: readonly string[];
}

function progress({ id, shortIds }: Expected, at: number, status: string, progressDetail?: object): Told {
    const payload = { id: shortIds[at], status, ...(progressDetail === undefined ? {} : { progressDetail }) };
    return { type: 'progress', payload, id };
}

/** What comes before the layers. */
function opening({ id, shortIds }: Expected, reference: string, requestId: string): readonly Told[] {
    const status = `${reference}: Pulling from ${id} (req ${requestId})`;
    return [
        { type: 'status', payload: { status }, id },
        ...shortIds.map((short) => ({
            type: 'status',
            payload: { id: short, progressDetail: {}, status: 'Pulling fs layer' },
            id,
        })),
    ];
}

/** What comes behind them. */
function closing({ id, named }: Expected, image: MadeImage, status: string): readonly Told[] {
    return [
        {
            type: 'create-docker-image',
            config_digest: image.config.digest,
            head: true,
            image: JSON.parse(image.config.bytes.toString()),
            image_uuid: offered(image).uuids.at(-1),
            manifest_digest: image.digest,
            manifest_str: image.bytes.toString(),
            size: image.layers.reduce((sum, { size }) => sum + size, 0),
            dockerImageVersion: '2.2',
            id,
        },
        { type: 'status', payload: { status: `Digest: ${image.digest}` }, id },
        { type: 'status', payload: { status: `Status: ${status} for ${named}` }, id },
    ];
}

const REQUEST_ID = '12345678-1234-4123-8123-123456789abc';
const UP_TO_DATE = 'Image is up to date';
const NEWER = 'Downloaded newer image';

void t.test('all lines of a pull, of the next one, and what they make', async (t) => {
    const spec: ImageSpec = {
        format: 'docker',
        layers: [{ seed: 'lines' }, { seed: 'top', size: 1_200_000, packing: 'none' }],
        config: { comment: '<&>\u2028' },
    };
    const image = await registry.putImage('lines', '1', spec);
    const { shortIds, uuids } = offered(image);
    const id = `${registry.host}/lines`;
    const expected = { id, named: `${id}:1`, shortIds };
    const second = registry.hold({ path: (path) => path.endsWith(image.layers[1]?.digest ?? '') });
    const reader = await open(pathOf('lines', '1'), { 'x-request-id': REQUEST_ID });
    t.equal(reader.status, 200);
    t.equal(reader.header('content-type'), 'application/json');
    t.equal(reader.header('transfer-encoding'), 'chunked');
    for (;;) {
        const line = await reader.next();
        if (progressOf([line], shortIds[0]).includes('Download complete')) break;
    }
    second.resume();
    await reader.rest();
    const { size } = image.layers[1] ?? { size: 0 };
    const isDownloading = ({ payload }: Told): boolean =>
        (payload as { status?: unknown } | undefined)?.status === 'Downloading';
    t.same(
        texts(reader.lines.filter((line) => !isDownloading(line))),
        texts([
            ...opening(expected, '1', REQUEST_ID),
            progress(expected, 0, 'Pulling fs layer'),
            progress(expected, 0, 'Download complete'),
            progress(expected, 1, 'Pulling fs layer'),
            progress(expected, 1, 'Download complete'),
            ...[0, 1].flatMap((at) => [
                progress(expected, at, 'Activating image'),
                progress(expected, at, 'Pull complete'),
            ]),
            ...closing(expected, image, NEWER),
        ]),
    );
    const downloading = reader.lines.filter(isDownloading);
    t.ok(downloading.length >= 1 && downloading.length <= 2);
    for (const line of downloading) {
        const { progressDetail } = line['payload'] as { progressDetail: Record<string, number> };
        const { current = 0, start = 0 } = progressDetail;
        t.ok(current >= 524_288 && current <= size);
        t.ok(Math.abs(start - Date.now() / 1000) < 60);
        t.equal(
            JSON.stringify(line),
            JSON.stringify(progress(expected, 1, 'Downloading', { current, total: size, start })),
        );
    }

    const answer = await client.post(pathOf('lines', image.digest), undefined, {
        headers: { 'x-request-id': REQUEST_ID },
    });
    const again = { ...expected, named: `${id}@${image.digest}` };
    t.equal(
        answer.text,
        [
            ...opening(again, image.digest, REQUEST_ID),
            ...[0, 1].map((at) => progress(again, at, 'Already exists')),
            ...closing(again, image, UP_TO_DATE),
        ]
            .map((line) => `${JSON.stringify(line)}\r\n`)
            .join(''),
    );

    for (const [at, uuid] of uuids.entries()) {
        const layer = image.layers[at];
        const made = (await client.get(`/images/${uuid}`)).document;
        const bytes = registry.repositories.bytes(layer?.digest ?? '') ?? Buffer.alloc(0);
        t.match(made, {
            uuid,
            state: 'active',
            name: 'docker-layer',
            version: shortIds[at],
            type: 'docker',
            os: 'linux',
            public: false,
            owner: '00000000-0000-0000-0000-000000000000',
            tags: { 'docker:repo': id, 'docker:id': layer?.digest, 'docker:architecture': 'amd64' },
            files: [{ sha1: sha1Hex(bytes), size: bytes.length, compression: at === 0 ? 'gzip' : 'none' }],
        });
        t.equal(made['origin'], at === 0 ? undefined : uuids[0]);
        const record = JSON.parse(readFileSync(join(server.baseDir, 'manifests', `${uuid}.raw`), 'utf8')) as {
            readonly files: readonly Told[];
        };
        t.notHas(record, 'x_imgapi');
        const [file = {}] = record.files;
        t.equal(
            Object.keys(file).join(' '),
            'sha1 digest size contentMD5 mtime stor compression uncompressedDigest sha256',
        );
        t.match(file, { digest: layer?.digest, uncompressedDigest: layer?.diffId, stor: 'local' });
        t.equal(`sha256:${String(file['sha256'])}`, layer?.digest);
        t.same((await client.get(`/images/${uuid}/file`)).body, bytes);
    }
    t.same(stagedFiles(server.baseDir), []);
});

void t.test('of a list, the image for our platform is taken', async (t) => {
    const index = await registry.putIndex('index', 'multi', {
        attestations: true,
        images: [
            { architecture: 'arm64', layers: [{ seed: 'index arm' }] },
            { layers: [{ seed: 'index amd' }], history: 'none', manifest: { mediaType: undefined } },
        ],
        index: { mediaType: undefined },
    });
    const [, image] = index.images;
    if (image === undefined) throw new Error('no image');
    const id = `${registry.host}/index`;
    const { shortIds, uuids } = offered(image);
    const lines = await pull(pathOf('index', 'multi'));
    t.same(texts(lines.slice(-3)), texts(closing({ id, shortIds, named: `${id}:multi` }, image, NEWER)));
    t.equal((await client.get(`/images/${uuids[0]}`)).document['os'], 'linux');
    t.same(
        registry.requests({ kind: 'get-manifest', path: /index/ }).map(({ path }) => path.split('/').at(-1)),
        ['multi', image.digest],
    );
});

void t.test('what has no layer of its own makes no image', async (t) => {
    const image = await registry.putImage('empty-layers', '1', {
        layers: [{ seed: 'e1' }, { seed: 'e2' }],
        history: 'with-empty',
    });
    const { uuids } = offered(image);
    await pull(pathOf('empty-layers', '1'));
    const last = (await client.get(`/images/${uuids[1]}`)).document;
    t.match(last, { os: 'linux', tags: { 'docker:config': { Cmd: ['/bin/sh'], WorkingDir: '/srv' } } });
    const base = (await client.get(`/images/${uuids[0]}`)).document;
    t.match(base, { os: 'linux', description: /ADD file:e1/ });
    t.notHas(base, 'tags.docker:config');
});

void t.test('images of the first schema are rebuilt', async (t) => {
    const made = await registry.putSchema1({
        name: 'old',
        tag: '1',
        steps: [{ seed: 'old base' }, { command: 'ENV A=b' }, { seed: 'old top', size: 1000 }],
    });
    const { uuids, shortIds } = offered({ ...made } as unknown as MadeImage);
    const lines = await pull(pathOf('old', '1'));
    for (const shortId of shortIds) {
        const said = progressOf(lines, shortId).filter((status) => status !== 'Uncompression completed');
        t.same(said, [
            'Pulling fs layer',
            'Uncompressing layer',
            'Download complete',
            'Activating image',
            'Pull complete',
        ]);
    }
    const created = lines.at(-3) ?? {};
    const config = created['image'] as { readonly rootfs: unknown; readonly history: readonly unknown[] };
    const manifestText = String(created['manifest_str']);
    t.match(created, {
        type: 'create-docker-image',
        dockerImageVersion: '2.1',
        image_uuid: uuids[1],
        config_digest: sha256Digest(JSON.stringify(config)),
        manifest_digest: sha256Digest(manifestText),
        size: made.layers.reduce((sum, { size }) => sum + size, 0),
    });
    t.same(config.rootfs, { type: 'layers', diff_ids: made.layers.map(({ diffId }) => diffId) });
    t.equal(config.history.length, 3);
    t.match(JSON.parse(manifestText), {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.docker.manifest,
        layers: made.layers.map(({ digest, size }) => ({ digest, size })),
    });
    t.equal((lines.at(-2)?.['payload'] as Told)['status'], `Digest: ${sha256Digest(manifestText)}`);
    // The layers are here: what was found out of them is in their records.
    const again = await pull(pathOf('old', '1'));
    t.same(again.at(-3), created);
});

void t.test('what is asked for is checked first, in this order', async (t) => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const token = Buffer.from(JSON.stringify({ identitytoken: 'secret' })).toString('base64');
    const missing = { field: 'repo', code: 'MissingParameter' };
    const neither = {
        field: 'tag',
        code: 'MissingParameter',
        message: 'one of "tag" or "digest" is required',
    };
    const both = { field: 'digest', code: 'Invalid', message: 'cannot specify both "tag" and "digest"' };
    const validation = (message: string, ...errors: object[]): object => ({
        code: 'ValidationFailed',
        message,
        errors,
    });
    const account = '86055c40-2547-11e2-8a6b-4bb37edc84ba';
    const rows: readonly (readonly [query: string, status: number, body: object])[] = [
        [
            `&account=${account}`,
            403,
            { code: 'OperatorOnly', message: 'this endpoint may only be called by an operator' },
        ],
        ['&public=x', 422, validation('missing parameters', missing, neither)],
        ['&repo=&tag=&digest=', 422, validation('missing parameters', missing, neither)],
        [`&tag=1&digest=${digest}`, 422, validation('missing parameters', missing, both)],
        ['&repo=X!', 422, validation('missing parameters', neither)],
        [
            '&repo=X!&tag=1',
            422,
            validation('invalid repository name, may only contain [a-z0-9_/.-] characters: X!', {
                field: 'repo',
                code: 'Invalid',
            }),
        ],
        [
            '&repo=x&tag=../1',
            422,
            validation('invalid tag, may only have 128 [A-Za-z0-9_.-] characters', {
                field: 'tag',
                code: 'Invalid',
            }),
        ],
        [
            '&repo=x&digest=sha256:1',
            422,
            validation('invalid digest, must be "sha256:" and 64 hexadecimal digits', {
                field: 'digest',
                code: 'Invalid',
            }),
        ],
        [
            '&repo=x&tag=1&public=x',
            400,
            {
                code: 'NotImplemented',
                message:
                    'OAuth to Docker registry is not yet supported, please "docker logout" and "docker login" and try again',
            },
        ],
    ];
    for (const [query, status, body] of rows) {
        const answer = await client.post(`/images?action=import-docker-image${query}`, undefined, {
            headers: { 'x-registry-auth': token },
        });
        t.equal(answer.status, status, query);
        t.same(answer.json, body, query);
    }
    for (const [given, code, message, more] of [
        ['x', 'InvalidParameter', 'invalid value for "public" param: "x" is not a boolean', {}],
        [
            'true',
            'ValidationFailed',
            'invalid image data: public',
            { message: 'public images are not allowed on a private Images API' },
        ],
    ] as const) {
        const answer = await client.post(`${pathOf('x', '1')}&public=${given}`);
        t.equal(answer.status, 422);
        t.same(answer.json, { code, message, errors: [{ field: 'public', code: 'Invalid', ...more }] });
    }
});
