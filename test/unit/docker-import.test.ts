// What becomes of images of registries, whoever asks for them, and how failures are named (jobs-and-imports 5.1-5.4).
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { Config } from '#lib/base/config-types.js';
import { UNSET_OWNER_UUID } from '#lib/base/constants.js';
import { ApiError, serviceUnavailable } from '#lib/base/errors.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import { registryCredentials } from '#lib/images/docker/registry-credentials.js';
import { registryFailure } from '#lib/images/docker/registry-failure.js';
import { ADMIN } from '../helpers/datacenter.js';
import type { ImageSpec } from '../helpers/docker-images.js';
import { CHANNELS, refusal, refused } from '../helpers/image-bench.js';
import {
    hookedBench,
    progressOf,
    pullBench,
    readAll,
    stagedFiles,
    type Told,
} from '../helpers/pull-bench.js';
import { eventually } from '../helpers/server-process.js';

const SPEC: ImageSpec = { layers: [{ seed: 'base' }, { seed: 'top', size: 100_000 }] };

const MADE = ['Pulling fs layer', 'Download complete', 'Activating image', 'Pull complete'];

function expectDone(t: Test, lines: readonly Told[]): void {
    t.match(lines.at(-1), { payload: { status: /^Status: Downloaded newer image for / } });
}

void t.test('layers that images share are there once, and made once', async (t) => {
    const place = await pullBench(t);
    const first = await place.offer(SPEC, 'one');
    const second = await place.offer({ layers: [{ seed: 'base' }, { seed: 'other' }] }, 'two');
    t.equal(first.uuids[0], second.uuids[0]);
    t.not(first.uuids[1], second.uuids[1]);
    await Promise.all([place.pull('one'), place.pull('two')]);
    t.equal(place.registry.downloads(first.layers[0]?.digest ?? '').length, 1);
    await place.bench.raw(first.uuids[1] ?? '');
    await place.bench.raw(second.uuids[1] ?? '');
    t.equal((await place.bench.files()).length, 3);
});

void t.test('files go to the storage that is right for the owner', async (t) => {
    const place = await pullBench(t, { config: { storageTypes: ['local', 'manta'] } });
    const { bench } = place;
    bench.manta.adopt = () => Promise.resolve(undefined);
    const image = await place.offer({ layers: [{ seed: 'base', packing: 'none' }, { seed: 'top' }] });
    const lines = await place.pull();
    expectDone(t, lines);
    for (const [at, uuid] of image.uuids.entries()) {
        const [file] = (await bench.raw(uuid)).files ?? [];
        const bytes = place.registry.repositories.bytes(image.layers[at]?.digest ?? '');
        t.equal(file?.stor, 'manta');
        t.same(await bench.bytes(uuid, 'file0', bench.manta), bytes);
    }
    t.same(await bench.files(), []);
    t.same(stagedFiles(bench.base), []);
});

void t.test('a reader that is slow gets the newest of what it has not read', async (t) => {
    const place = await hookedBench(t);
    const image = await place.offer({
        layers: [
            { seed: 'slow', size: 6_000_000 },
            { seed: 'slower', size: 6_000_000 },
        ],
    });
    let isActive = false;
    const top = image.uuids.at(-1);
    place.hooks.update = (uuid, nth) => (isActive ||= uuid === top && nth === 2);
    const lines = place.begin();
    await eventually('the end of the work', 10_000, () => isActive);
    const told = await readAll(lines, '');
    expectDone(t, told);
    for (const shortId of image.shortIds) {
        t.same(
            progressOf(told, shortId),
            ['Pulling fs layer', 'Downloading', ...MADE.slice(1)],
            'of eleven lines the last one',
        );
    }
});

/** What a mode makes of the images: the parameter as given, whose they are, whether they are public. */
const MODES: readonly (readonly [
    config: Partial<Config>,
    given: boolean | undefined,
    owner: string,
    isPublic: boolean,
])[] = [
    [{ mode: 'private' }, undefined, UNSET_OWNER_UUID, false],
    [{ mode: 'private' }, false, UNSET_OWNER_UUID, false],
    [{ mode: 'public', channels: CHANNELS }, undefined, UNSET_OWNER_UUID, true],
    [{ mode: 'public' }, true, UNSET_OWNER_UUID, true],
    [{ mode: 'dc', adminUuid: ADMIN }, undefined, ADMIN, true],
    [{ mode: 'dc', adminUuid: ADMIN, channels: CHANNELS }, false, ADMIN, false],
];

void t.test('owner, visibility and channel are those of the server', async (t) => {
    for (const [config, given, owner, isPublic] of MODES) {
        const place = await pullBench(t, { config });
        const image = await place.offer({ layers: [{ seed: 'base' }] });
        const channel = config.channels === undefined ? {} : { channel: 'release' };
        const lines = await place.pull('latest', channel, given);
        expectDone(t, lines);
        const raw = await place.bench.raw(image.uuids[0] ?? '');
        t.match(raw, { owner, public: isPublic, state: 'active' }, JSON.stringify(config));
        t.same(raw.channels, config.channels === undefined ? undefined : ['release']);
    }
});

void t.test(
    'a server that has only private images makes no public one, nor the other way round',
    async (t) => {
        for (const [mode, given, message] of [
            ['private', true, 'public images are not allowed on a private Images API'],
            ['public', false, 'private images are not allowed on a public Images API'],
        ] as const) {
            const { pull } = await pullBench(t, { config: { mode } });
            t.same(
                await refusal(() => pull('latest', {}, given)),
                refused(422, 'ValidationFailed', 'invalid image data: public', [
                    'public',
                    'Invalid',
                    message,
                ]),
            );
        }
    },
);

void t.test('what registries say of failures', async (t) => {
    const url = 'GET https://registry.example/v2/';
    const status = (code: number, body?: unknown): OutgoingError =>
        new OutgoingError('status', `${url}: status ${code}`, { status: code, body });
    const said = (code: string, message?: unknown): unknown => ({ errors: [{ code, message }] });
    const rows: readonly (readonly [error: unknown, code: string, message: string])[] = [
        [status(404, said('MANIFEST_UNKNOWN', 'manifest unknown')), 'ResourceNotFound', 'manifest unknown'],
        [status(404), 'ResourceNotFound', `${url}: status 404`],
        [status(401, said('UNAUTHORIZED', 'who?')), 'UnauthorizedError', 'who?'],
        [status(400, said('DIGEST_INVALID', 'wrong digest')), 'ValidationFailed', 'wrong digest'],
        [status(429, said('TOOMANYREQUESTS', 'slower')), 'InternalError', 'slower'],
        [status(500, { errors: [] }), 'InternalError', `${url}: status 500`],
        [status(500, { errors: 'x' }), 'InternalError', `${url}: status 500`],
        [status(500, said('X', 7)), 'InternalError', `${url}: status 500`],
        [status(500, said('X', 'm'.repeat(600))), 'InternalError', 'm'.repeat(500)],
        [new OutgoingError('connect', `${url}: ECONNRESET`), 'RemoteSourceError', `${url}: ECONNRESET`],
        [new OutgoingError('timeout', `${url}: late`), 'RemoteSourceError', `${url}: late`],
        [new OutgoingError('malformed', `${url}: what?`), 'InternalError', `${url}: what?`],
        [
            new OutgoingError('refused', 'no', { host: '10.0.0.1' }),
            'InvalidParameter',
            '"repo" host is not allowed: 10.0.0.1',
        ],
        [serviceUnavailable('server is shutting down'), 'ServiceUnavailableError', 'server is shutting down'],
        [new Error('/secret/path'), 'InternalError', 'internal error'],
    ];
    for (const [error, code, message] of rows) {
        const failure = registryFailure(error);
        t.same({ code: failure.code, message: failure.message }, { code, message });
    }
    const refusedHost = new OutgoingError('refused', 'no', { host: 'h' });
    t.equal(registryFailure(refusedHost, 'repoAndTag').message, '"repoAndTag" host is not allowed: h');
});

void t.test('who asks a registry', async (t) => {
    const { bench } = await pullBench(t);
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
    const luke = { username: 'luke', password: 'p' };
    const hub = 'https://index.docker.io/v1/';
    const ask = (registry: string, auth: unknown, config: unknown): unknown =>
        registryCredentials(
            bench.services,
            bench.context(),
            {
                ...(auth === undefined ? {} : { auth: encoded(auth) }),
                ...(config === undefined ? {} : { config: encoded(config) }),
            },
            { registry },
        );
    t.same(ask('docker.io', undefined, { [hub]: luke }), luke);
    t.same(ask('docker.io', undefined, { [hub]: {}, 'docker.io': luke }), luke);
    t.same(ask('quay.io', undefined, { [hub]: luke }), undefined, 'only for the registry it was made for');
    t.same(ask('quay.io', { ...luke, email: 'e', serveraddress: 's' }, { 'quay.io': {} }), luke);
    t.same(ask('quay.io', { username: '', password: '' }, undefined), undefined);
    t.same(ask('quay.io', { username: 7, password: ['x'] }, undefined), undefined);
    t.same(ask('constructor', undefined, {}), undefined);
    t.throws(() => ask('quay.io', { identitytoken: 'x' }, undefined), {
        code: 'NotImplemented',
        status: 400,
    });
    bench.setConfig({ dockerIdentityToken: true });
    t.same(ask('quay.io', { identitytoken: 'x', ...luke }, undefined), { identityToken: 'x' });
});

void t.test('whatever the headers say, there are credentials, none, or a refusal', async (t) => {
    const { bench } = await pullBench(t);
    const auth = fc.oneof(
        fc.record(
            { username: fc.anything(), password: fc.anything(), identitytoken: fc.anything() },
            { requiredKeys: [] },
        ),
        fc.jsonValue(),
    );
    const header = fc.oneof(
        fc.string({ unit: 'binary' }),
        fc
            .oneof(auth, fc.dictionary(fc.constantFrom('quay.io', 'docker.io', '__proto__'), auth))
            .map((value) => Buffer.from(JSON.stringify(value) ?? '').toString('base64')),
    );
    const property = fc.property(header, header, (first, second) => {
        try {
            const found = registryCredentials(
                bench.services,
                bench.context(),
                { auth: first, config: second },
                { registry: 'quay.io' },
            );
            return (
                found === undefined ||
                ('username' in found &&
                    typeof found.username === 'string' &&
                    typeof found.password === 'string')
            );
        } catch (error) {
            return error instanceof ApiError && error.code === 'NotImplemented';
        }
    });
    fc.assert(property, { numRuns: 150 });
    t.pass('150 pairs');
    const warnings = bench.records.filter(({ level }) => level >= 40).map(({ msg }) => msg);
    const ignored = (name: string): string =>
        `header "${name}" is ignored: it is not base64 of a JSON object`;
    t.same(
        [...new Set(warnings)].sort(),
        ['x-registry-auth', 'x-registry-config'].map(ignored),
        'never what they say',
    );
});
