// AdminImportImage from another image server (http-api 3.5, jobs-and-imports 3.1, 3.2, 8.6).
import t, { type Test } from 'tap';
import { ImageServerDouble } from '../doubles/image-server/image-server-double.js';
import { ADMIN, startDatacenter } from '../helpers/datacenter.js';
import type { Answer, Document } from '../helpers/http-client.js';
import { BASE_181, NOBODY, UNKNOWN, USERS, gzipFile, type Fixture } from '../helpers/images.js';
import { serve } from '../helpers/outgoing.js';
import {
    expectError,
    extraParameters,
    invalidImage,
    invalidParameter,
    notBoolean,
    OPERATOR_ONLY,
    repeated,
    uuidExists,
    validationFailed,
    type ExpectedError,
} from '../helpers/rows.js';
import { freePort } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke } = USERS;

const CREATING = 'c0000000-0000-4000-8000-000000000003';
const IMPORT_ID = 'aaaaaaaa-0000-4000-8000-000000000001';
const PLACE: Fixture = {
    uuid: CREATING,
    name: 'being-copied',
    owner: vader,
    state: 'creating',
    file: gzipFile('stray'),
    more: {
        type: 'null',
        os: 'null',
        expires_at: '2999-01-01T00:00:00.000Z',
        x_imgapi: { import_id: IMPORT_ID },
    },
};

async function startDouble(
    options?: ConstructorParameters<typeof ImageServerDouble>[0],
): Promise<ImageServerDouble> {
    const double = await new ImageServerDouble(options).start();
    t.teardown(() => double.stop());
    return double;
}

const source = await startDouble();
const secret = await startDouble({
    channels: ['release', 'dev'],
    prefix: '/an/imgapi',
    credentials: 'joe:pass word',
});
const dc = await startDatacenter(t, {
    images: [PLACE, { uuid: BASE_181, name: 'base', owner: ADMIN, file: gzipFile('base') }],
    config: { imgapiUrlFromDatacenter: { 'us-east': source.address } },
});
const { client } = dc;

let count = 0;
const freshUuid = (): string => `f0000000-0000-4000-8000-${String(++count).padStart(12, '0')}`;

function importImage(uuid: string, from: string, more = ''): Promise<Answer> {
    return client.post(`/images/${uuid}?action=import&source=${encodeURIComponent(from)}${more}`);
}

/** Imports an image that the double is given for it. */
async function imported(test: Test, manifest: Document, more = ''): Promise<Document> {
    const uuid = freshUuid();
    source.add({ uuid, ...manifest });
    const answer = await importImage(uuid, source.address, more);
    test.equal(answer.status, 200, answer.text);
    return answer.document;
}

function remote(uuid: string, reason: string): ExpectedError {
    const message = `Unable to get manifest for image ${uuid}. Error from remote: ${reason}`;
    return { status: 503, code: 'RemoteSourceError', message };
}

function badSource(shown: string): ExpectedError {
    return invalidParameter(`invalid "source": "${shown}"`, ['source', 'Invalid']);
}

async function stored(uuid: string): Promise<Document> {
    return JSON.parse((await dc.record(uuid)) ?? 'null') as Document;
}

await t.test('what is refused before the source is asked', async (test) => {
    const uuid = freshUuid();
    const rows: [more: string, expected: ExpectedError][] = [
        [`source=x&account=${vader}&skip_owner_check=x`, OPERATOR_ONLY],
        ['source=&skip_owner_check=x', badSource('')],
        ['source=x', badSource('x')],
        ['source=ftp://example.com/', badSource('ftp://example.com/')],
        ['source=ftp://joe:pass@example.com/', badSource('ftp://example.com/')],
        ['source=http://joe:pass@', badSource('http://')],
        [`source=${source.address}&source=${source.address}`, repeated('source')],
        [`source=${source.address}&skip_owner_check=x`, notBoolean('skip_owner_check', 'x')],
    ];
    for (const [query, expected] of rows) {
        expectError(test, await client.post(`/images/${uuid}?action=import&${query}`), expected, query);
    }
    test.same(source.requests, [], 'nothing was asked');
    test.equal(await dc.record(uuid), undefined);
});

await t.test('a source that cannot be used', async (test) => {
    const uuid = freshUuid();
    const absent = await importImage(uuid, source.address);
    expectError(test, absent, remote(uuid, `image ${uuid} not found`), 'no such image');
    const port = await freePort();
    const refused = remote(uuid, `connect ECONNREFUSED 127.0.0.1:${port}`);
    expectError(test, await importImage(uuid, `http://joe:pass@127.0.0.1:${port}`), refused, 'no server');
    const { onManifest } = source.add({ uuid });
    const answers: [body: unknown, reason: string][] = [
        [{ code: 'Odd', message: 'no thanks' }, 'no thanks'],
        [{ code: 'Odd', message: '' }, 'Odd'],
        [{}, 'HTTP status 418'],
    ];
    for (const [body, reason] of answers) {
        onManifest.refuse = { status: 418, body, times: 1 };
        expectError(test, await importImage(uuid, source.address), remote(uuid, reason), reason);
    }
    source.fault = 'garbage';
    expectError(test, await importImage(uuid, source.address), remote(uuid, 'malformed answer'), 'no JSON');
    source.fault = 'none';
    source.add({ uuid, files: undefined }).manifest['uuid'] = UNKNOWN;
    expectError(
        test,
        await importImage(uuid, source.address),
        remote(uuid, 'malformed answer'),
        'another image',
    );
    test.equal(await dc.record(uuid), undefined);
    test.notMatch(JSON.stringify(dc.server.log), 'joe:pass', 'the log has no user info');
});

await t.test('manifests that are refused', async (test) => {
    const rows: [name: string, changes: Document, expected: ExpectedError, more?: string][] = [
        [
            'an unknown owner',
            { owner: UNKNOWN },
            { status: 422, code: 'OwnerDoesNotExist', message: `owner "${UNKNOWN}" does not exist` },
        ],
        ['no owner', { owner: undefined }, invalidImage(['owner', 'MissingParameter'])],
        ['no owner that is one', { owner: 'me' }, invalidImage(['owner', 'Invalid'])],
        ['keys nobody knows', { colour: 'red', smell: 1 }, extraParameters('colour', 'smell')],
        ['no name', { name: undefined }, invalidImage(['name', 'MissingParameter'])],
    ];
    for (const [name, changes, expected] of rows) {
        const uuid = freshUuid();
        source.add({ uuid, ...changes });
        expectError(test, await importImage(uuid, source.address), expected, name);
        test.equal(await dc.record(uuid), undefined, name);
    }
    source.add({ uuid: BASE_181 });
    expectError(test, await importImage(BASE_181, source.address), uuidExists(BASE_181), 'it is here');
    source.add({ uuid: BASE_181, owner: UNKNOWN });
    expectError(test, await importImage(BASE_181, source.address), uuidExists(BASE_181), 'looked at first');
});

await t.test('an image is imported', async (test) => {
    const kept = {
        owner: luke,
        name: 'kept',
        version: '3.1',
        description: 'what it is',
        published_at: '2016-06-01T09:00:00.000Z',
        public: false,
        acl: [vader],
        tags: { role: 'db', nested: { a: 1 } },
        billing_tags: ['xxl'],
        traits: { ssd: true },
        requirements: { networks: [{ name: 'net0', description: 'public' }] },
        origin: UNKNOWN,
        urn: 'sdc:sdc:kept:3.1',
        disabled: true,
    };
    const uuid = freshUuid();
    source.add({ uuid, ...kept, state: 'disabled', icon: true, channels: ['x'] }, [gzipFile('a file')]);
    const answer = await importImage(uuid, source.address, `&import_id=${IMPORT_ID}`);
    test.equal(answer.status, 200, answer.text);
    test.match(answer.document, { uuid, ...kept, v: 2, state: 'unactivated' }, 'everything else stays');
    test.same(answer.document['files'], []);
    for (const key of ['icon', 'channels', 'provenance', 'x_imgapi']) {
        test.notOk(key in answer.document, key);
    }
    test.equal(answer.header('etag'), (await client.get(`/images/${uuid}`)).header('etag'));
    const asked = source.requests.at(-1);
    test.match(asked, {
        method: 'GET',
        target: `/images/${uuid}`,
        headers: { 'accept-version': '*', 'user-agent': /^IMGAPI\// },
    });
    test.equal(asked?.headers['request-id'], answer.header('x-request-id'), 'with our request id');
    test.equal(asked?.headers['x-request-id'], answer.header('x-request-id'));
    test.match(await stored(uuid), {
        activated: false,
        x_imgapi: {
            import_id: IMPORT_ID,
            provenance: {
                kind: 'import',
                source_image: uuid,
                source_owner: luke,
                source_url: source.address,
                at: /^\d{4}-\d\d-\d\dT.*Z$/,
            },
        },
    });
    const shown = await client.get(`/images/${uuid}?inclProvenance=true`);
    test.match(shown.document, { provenance: { kind: 'import', source_url: source.address } });
});

await t.test('owners, versions and what callers send beside', async (test) => {
    test.equal((await imported(test, { owner: NOBODY }))['owner'], ADMIN, 'nobody becomes the operator');
    const unknown = await imported(test, { owner: UNKNOWN }, '&skip_owner_check=true');
    test.equal(unknown['owner'], UNKNOWN, 'not checked');
    const old = await imported(test, {
        v: undefined,
        owner: undefined,
        public: undefined,
        state: undefined,
        disabled: undefined,
        published_at: '2012-01-02T03:04Z',
        creator_uuid: luke,
        creator_name: 'luke',
        restricted_to_uuid: vader,
        files: [{ path: 'a.zfs.bz2', sha1: '0'.repeat(40), size: 1, url: 'http://example.com/a.zfs.bz2' }],
    });
    test.match(old, { v: 2, owner: luke, public: false, acl: [vader], published_at: '2012-01-02T03:04:00Z' });
    const uuid = freshUuid();
    source.add({ uuid });
    const path = `/images/${uuid}?action=import&source=${source.address}/&import_id=no-uuid&datacenter=us-east`;
    const answer = await client.post(path, { uuid: UNKNOWN }, { headers: { 'accept-version': '~1' } });
    test.match(
        answer.document,
        { v: 2, state: 'unactivated' },
        'version 2 for everybody; the body is ignored',
    );
    const { x_imgapi: own } = await stored(uuid);
    test.strictSame(Object.keys(own as object), ['provenance'], 'an import id that is no UUID is ignored');
    test.match(own, { provenance: { kind: 'copy', source_datacenter: 'us-east' } }, 'a configured source');
    test.notMatch(own, { provenance: { source_url: String } });
    const elsewhere = await imported(test, {}, '&datacenter=mars');
    test.match(await stored(String(elsewhere['uuid'])), { x_imgapi: { provenance: { kind: 'import' } } });
});

await t.test('the placeholder of the same import is replaced', async (test) => {
    source.add({ uuid: CREATING, owner: vader, name: 'copied' });
    const { address } = source;
    const other = `&import_id=${IMPORT_ID.replace(/1$/, '2')}`;
    expectError(test, await importImage(CREATING, address), uuidExists(CREATING), 'no import id');
    expectError(test, await importImage(CREATING, address, other), uuidExists(CREATING), 'another one');
    const answer = await importImage(CREATING, address, `&import_id=${IMPORT_ID}`);
    test.match(answer.document, { name: 'copied', state: 'unactivated', type: 'zone-dataset' });
    test.ok('expires_at' in (await stored(CREATING)), 'a copy that fails now goes some time');
    expectError(
        test,
        await client.get(`/images/${CREATING}/file`),
        {
            status: 404,
            code: 'ResourceNotFound',
            message: `image "${CREATING}" has no file`,
        },
        'nor its file',
    );
    const before = await stored(CREATING);
    const again = await importImage(CREATING, address, `&import_id=${IMPORT_ID}`);
    test.same(again.document, answer.document, 'asked again, it is done already');
    test.same(await stored(CREATING), before);
    expectError(
        test,
        await importImage(CREATING, address, other),
        uuidExists(CREATING),
        'for others it is there',
    );
});

await t.test('a source with user info, a path and channels', async (test) => {
    const uuid = freshUuid();
    secret.add({ uuid, channels: ['dev'] });
    const address = secret.address.replace('//', '//joe:pass%20word@');
    const hidden = await importImage(uuid, address);
    expectError(test, hidden, remote(uuid, 'image not found'), 'it is not in the default channel');
    const unknown = await importImage(uuid, `${address}?channel=x`);
    expectError(test, unknown, remote(uuid, 'unknown channel: x'), 'no such channel');
    const wrong = await importImage(uuid, secret.address);
    expectError(test, wrong, remote(uuid, 'Unauthorized'), 'no user info');
    const answer = await importImage(uuid, `${address}/?channel=dev`);
    test.equal(answer.status, 200, answer.text);
    test.equal(secret.requests.at(-1)?.target, `/an/imgapi/images/${uuid}?channel=dev`);
    test.match(await stored(uuid), { x_imgapi: { provenance: { source_url: secret.address } } });
    test.notOk('channels' in answer.document, 'channels of the source are not ours');
    test.notMatch(JSON.stringify(dc.server.log), /joe:pass|pass%20word/, 'the log has no user info');
});

await t.test('redirects are followed, credentials stay', async (test) => {
    const uuid = freshUuid();
    source.add({ uuid });
    const other = await serve(test, (request, response) => {
        response.writeHead(302, { location: `${source.address}${request.target}` }).end();
    });
    const answer = await importImage(uuid, other.url.replace('//', '//joe:pass@'));
    test.equal(answer.status, 200, answer.text);
    test.ok(other.requests[0]?.headers.authorization);
    test.equal(source.requests.at(-1)?.headers.authorization, undefined);
});

await t.test('two imports of one image at once', async (test) => {
    const uuid = freshUuid();
    source.add({ uuid }).onManifest.delayMs = 50;
    const answers = await Promise.all([1, 2, 3].map(() => importImage(uuid, source.address)));
    test.same(answers.map(({ status }) => status).sort(), [200, 409, 409]);
    test.match(await stored(uuid), { uuid });
});

await t.test('operators who are guarded', async (test) => {
    dc.server.writeConfig({ egress: { guardOperators: true } });
    dc.server.signal('SIGHUP');
    await dc.server.waitForLog(({ msg }) => msg === 'configuration reloaded');
    const uuid = freshUuid();
    source.add({ uuid });
    const refused = invalidParameter('"source" host is not allowed: 127.0.0.1', ['source', 'Invalid']);
    const before = secret.requests.length;
    expectError(test, await importImage(uuid, secret.address), refused, 'no internal sources');
    test.equal(secret.requests.length, before, 'nothing was asked');
    const answer = await importImage(uuid, `${source.address}/`);
    test.equal(answer.status, 200, 'but those in the configuration');
});

await t.test('a server that is no datacenter, with channels', async (test) => {
    const channels = [
        { name: 'release', description: 'for all', default: true },
        { name: 'dev', description: 'for us' },
    ];
    const { client: operator, guest, server } = await startServer(test, { channels });
    const uuid = freshUuid();
    source.add({ uuid, owner: luke, public: false, channels: ['staging'] });
    const path = `/images/${uuid}?action=import&source=${source.address}`;
    test.equal((await guest.post(path)).status, 401, 'signed requests only');
    const answer = await operator.post(`${path}&channel=dev`);
    test.equal(answer.status, 200, answer.text);
    test.match(answer.document, { owner: NOBODY, channels: ['dev'] }, 'nobody owns it, it is in our channel');
    const unknown = await operator.post(`${path}&channel=x`);
    expectError(test, unknown, validationFailed('unknown channel: x', ['channel', 'Invalid']), 'no channel');
    test.notOk(
        'channel' in Object.fromEntries(source.requests.at(-1)?.query ?? []),
        'the source is not asked for it',
    );

    const second = await startServer(test);
    const ours = encodeURIComponent(`${server.url}?channel=dev`);
    const copied = await second.client.post(`/images/${uuid}?action=import&source=${ours}`);
    test.match(copied.document, { uuid, state: 'unactivated' }, 'from one of our servers to another');
    test.notOk('channels' in copied.document);
    const elsewhere = encodeURIComponent(server.url);
    const missing = await second.client.post(`/images/${uuid}?action=import&source=${elsewhere}`);
    expectError(test, missing, remote(uuid, 'image not found'), 'not in its default channel');
});
