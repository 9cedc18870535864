// AdminPushDockerImage on a running server, into Debian's registry (http-api 3.7, jobs-and-imports 5.6).
import type { IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import type { ImageSpec } from '../helpers/docker-images.js';
import { DockerRegistry, noDockerRegistry } from '../helpers/docker-registry.js';
import { HttpClient } from '../helpers/http-client.js';
import { FATHER, gzipFile, UNKNOWN, USERS, type Fixture } from '../helpers/images.js';
import { call, connect, expectFailure } from '../helpers/library-client.js';
import { layerFixtures, pushBody, REQUEST_ID, wholeImage, type WholeImage } from '../helpers/push-bench.js';
import { authHeader, beginPush, linesOf, push, pushPath } from '../helpers/push-calls.js';
import { closingLines, errorLine, shortId, statuses } from '../helpers/push-lines.js';
import { RegistryClient, type RegistryUser } from '../helpers/registry-client.js';
import {
    expectError,
    missing,
    notFound,
    notOwner,
    post,
    repeated,
    runErrorRows,
    UNAUTHORIZED,
    validationFailed,
    type ExpectedError,
} from '../helpers/rows.js';
import { ServerProcess } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke } = USERS;
const SPEC: ImageSpec = {
    layers: [{ seed: 'base' }, { seed: 'middle', size: 700_000 }, { seed: 'top', packing: 'none' }],
    config: { author: 'A & B <a@example.org>' },
};

const skip = noDockerRegistry;
const [open, secured, image, single, onSecured] = await Promise.all([
    skip === false ? DockerRegistry.start(t) : undefined,
    skip === false ? DockerRegistry.start(t, { tokens: { users: { luke: 'a: secret' } } }) : undefined,
    wholeImage(SPEC),
    wholeImage({ format: 'docker', layers: [{ seed: 'only' }] }),
    wholeImage({ layers: [{ seed: 'secret' }] }),
]);
const first = `${open?.host ?? 'quay.io'}/some/first`;
const firstSecured = `${secured?.host ?? 'quay.io'}/first`;
const zone: Fixture = {
    uuid: FATHER,
    name: 'zone',
    owner: vader,
    activated: true,
    published_at: '2012-01-01T00:00:00.000Z',
    file: gzipFile('zone'),
};
const { client, guest, server, key } = await startServer(t, {}, [
    ...layerFixtures(image, first).map((layer) => ({ ...layer, more: { ...layer.more, acl: [luke] } })),
    ...layerFixtures(single),
    ...layerFixtures(onSecured, firstSecured),
    zone,
]);

/** A registry, in the tests that are skipped without. */
function started(registry: DockerRegistry | undefined): DockerRegistry {
    if (registry === undefined) throw new Error('there is no registry');
    return registry;
}

/** A repository has exactly what the image is made of. */
async function requireThere(
    t: Test,
    registry: DockerRegistry,
    image: WholeImage,
    repository: string,
    user?: RegistryUser,
): Promise<void> {
    const client = new RegistryClient(registry.url, user);
    const manifest = await client.manifest(repository, 'v1');
    t.ok(manifest.body.equals(image.bytes), `${repository}: the manifest as it was`);
    t.equal(manifest.headers['content-type'], image.mediaType);
    for (const [digest, bytes] of image.blobs) {
        t.ok((await client.blob(repository, digest)).body.equals(bytes), `${repository}: ${digest}`);
    }
}

function lacking(...fields: readonly string[]): ExpectedError {
    return validationFailed('missing parameters', ...fields.map(missing));
}

function badRepo(message: string): ExpectedError {
    return validationFailed(message, ['repoAndTag', 'Invalid']);
}

function badManifest(message: string): ExpectedError {
    return validationFailed(message, ['manifest_str', 'Invalid']);
}

await t.test('what is refused before anything is sent', async (t) => {
    const path = pushPath(image, 'quay.io/a/b:1');
    const [bare = ''] = path.split('?', 1);
    const body = pushBody(image);
    const fields = ['image_uuid', 'config_digest', 'image', 'manifest_str'];
    const list = JSON.stringify({ schemaVersion: 2, manifests: [{ digest: image.digest }] });
    await runErrorRows(t, client, [
        post('/images/nobody/push', body, notFound('/images/nobody/push does not exist')),
        post(`/images/${UNKNOWN}/push`, body, notFound(`image ${UNKNOWN} not found`)),
        post(`/images/${FATHER}/push?account=${luke}`, body, notFound('image not found')),
        post(`${path}&account=${luke}`, {}, notOwner(luke, image.uuids[2] ?? '')),
        post(
            `/images/${FATHER}/push`,
            undefined,
            validationFailed('image is not a docker image', ['type', 'Invalid']),
        ),
        post(bare, undefined, lacking('repoAndTag', 'body')),
        post(`${bare}?repoAndTag=`, {}, lacking('repoAndTag', ...fields)),
        post(path, undefined, lacking('body')),
        post(path, { ...body, manifest_str: null, image: '' }, lacking('image', 'manifest_str')),
        post(path, [], validationFailed('invalid request body: not a JSON object', ['body', 'Invalid'])),
        post(`${path}&repoAndTag=b`, body, repeated('repoAndTag')),
        post(
            path,
            { image_uuid: 'x', config_digest: 'sha256:1', image: [], manifest_str: {} },
            validationFailed(
                'invalid parameters',
                ['image_uuid', 'Invalid', 'not a UUID'],
                ['config_digest', 'Invalid', 'not a digest: "sha256:" and 64 hexadecimal digits'],
                ['image', 'Invalid', 'not an object of modest depth'],
                ['manifest_str', 'Invalid', 'not a string'],
            ),
        ),
        post(
            pushPath(image, 'X!'),
            body,
            badRepo('invalid repository name, may only contain [a-z0-9_/.-] characters: X!'),
        ),
        post(
            pushPath(image, 'a@sha256:12'),
            body,
            badRepo('invalid digest, must be "sha256:" and 64 hexadecimal digits: sha256:12'),
        ),
        post(path, { ...body, manifest_str: '{' }, badManifest('JSON parse of manifest_str failed')),
        post(path, { ...body, manifest_str: '{}' }, badManifest('no layers in quay.io/a/b:1 manifest')),
        post(
            path,
            { ...body, manifest_str: list },
            badManifest('manifest_str is not the manifest of an image'),
        ),
        {
            ...post(path, body, {
                status: 400,
                code: 'NotImplemented',
                message:
                    'OAuth to Docker registry is not yet supported, please "docker logout" and "docker login" and try again',
            }),
            headers: authHeader({ identitytoken: 't' }),
        },
    ]);
    expectError(t, await guest.post(path, body), UNAUTHORIZED, 'nobody');
    const other = await client.get(bare);
    t.same([other.status, other.header('allow')], [405, 'POST']);
    // Announced only: a client that writes on while it is refused may see a broken connection instead.
    const large = client.open('POST', path, {
        headers: {
            'content-type': 'application/json',
            'content-length': String(9 * 1024 * 1024),
            expect: '100-continue',
        },
    });
    large.request.flushHeaders();
    t.equal((await large.answer).status, 413);
    large.request.destroy();
    const depth = 100_000;
    const deep = await client.request('POST', path, {
        body: `${JSON.stringify(body).slice(0, -1)},"image":${'['.repeat(depth)}${']'.repeat(depth)}}`,
        headers: { 'content-type': 'application/json' },
    });
    t.match(deep.error, { code: 'ValidationFailed', errors: [{ field: 'image', code: 'Invalid' }] });
});

await t.test('into a repository, from there into another one, and again', { skip }, async (t) => {
    const registry = started(open);
    const sent = await push(client, image, `${first}:v1`);
    t.same(statuses(sent, shortId(image, 1)), ['Preparing', 'Pushed']);
    await requireThere(t, registry, image, 'some/first');

    const other = await push(client, image, `${registry.host}/some/second:v1`);
    for (const at of [0, 1, 2]) {
        t.same(statuses(other, shortId(image, at)), ['Preparing', `Mounted from ${first}`]);
    }
    t.same(other.slice(6), closingLines(image, 'v1'));
    await requireThere(t, registry, image, 'some/second');

    // A process that may not write can do it, too.
    const config = { authKeys: { operator: [key.publicLine] } };
    const reader = await ServerProcess.start({ baseDir: server.baseDir, config });
    const again = await push(new HttpClient(reader.port, key), image, `${first}@${image.digest}`);
    t.equal((await reader.stop()).code, 0);
    t.same(statuses(again, shortId(image, 1)), ['Preparing', 'Layer already exists']);
    t.same(again.slice(-2), closingLines(image, image.digest));
});

await t.test('the lines as they are sent', { skip }, async (t) => {
    const registry = started(open);
    const image = single;
    const answer = await beginPush(client, image, `${registry.host}/one:v1`).answer;
    t.equal(answer.header('content-type'), 'application/json');
    t.equal(answer.header('transfer-encoding'), 'chunked');
    const size = image.bytes.length;
    const layer = `"id":"${shortId(image, 0)}","progressDetail":{}`;
    t.equal(
        answer.text,
        [
            `{"type":"progress","payload":{${layer},"status":"Preparing"},"id":"${REQUEST_ID}"}\r\n`,
            `{"type":"progress","payload":{${layer},"status":"Pushed"},"id":"${REQUEST_ID}"}\r\n`,
            `{"type":"progress","payload":{"status":"v1: digest: ${image.digest} size: ${size}"},"id":"${REQUEST_ID}"}\r\n`,
            `{"type":"progress","payload":{"progressDetail":{},"aux":{"Tag":"v1","Digest":"${image.digest}","Size":${size}}},"id":"${REQUEST_ID}"}\r\n`,
        ].join(''),
    );
    await requireThere(t, registry, image, 'one');
});

await t.test('by the client library of the field', { skip }, async (t) => {
    const registry = started(secured);
    const library = connect(t, server, key);
    const { 'x-registry-auth': regAuth } = authHeader({ username: 'luke', password: 'a: secret' });
    const options = { image: pushBody(single), repoAndTag: `${registry.host}/library:v1`, regAuth };
    const answer = await call<IncomingMessage>(library, 'adminPushDockerImage', options);
    answer.setEncoding('utf8');
    const text = (await answer.toArray()).join('');
    t.match(JSON.parse(text.trimEnd().split('\r\n').at(-1) ?? ''), {
        payload: { aux: { Tag: 'v1', Digest: single.digest } },
    });
    await expectFailure(t, { statusCode: 422, code: 'ValidationFailed' }, library, 'adminPushDockerImage', {
        ...options,
        repoAndTag: 'X!',
    });
});

await t.test('a private registry', { skip }, async (t) => {
    const registry = started(secured);
    const user = { username: 'luke', password: 'a: secret' };
    for (const headers of [{}, authHeader({ ...user, password: 'other' })]) {
        const lines = await push(client, onSecured, `${firstSecured}:v1`, headers);
        t.match(lines.at(-1), { type: 'error', error: { code: 'UnauthorizedError' }, id: REQUEST_ID });
    }
    const sent = await push(client, onSecured, `${firstSecured}:v1`, authHeader(user));
    t.same(sent.slice(-2), closingLines(onSecured, 'v1'));
    await requireThere(t, registry, onSecured, 'first', user);
    const mounted = await push(client, onSecured, `${registry.host}/second:v1`, authHeader(user));
    t.same(statuses(mounted, shortId(onSecured, 0)), ['Preparing', `Mounted from ${firstSecured}`]);
    await requireThere(t, registry, onSecured, 'second', user);
    t.notMatch(
        JSON.stringify(server.log),
        authHeader(user)['x-registry-auth'] ?? '',
        'nobody reads it in the log',
    );
});

await t.test('an account pushes to no place that only the server can reach', async (t) => {
    const path = `${pushPath(image, `127.0.0.1:${server.port}/a:v1`)}&account=${vader}`;
    const answer = await client.post(path, pushBody(image), {
        headers: { 'x-request-id': REQUEST_ID },
    });
    t.equal(answer.status, 200);
    t.same(linesOf(answer), [errorLine('InvalidParameter', '"repoAndTag" host is not allowed: 127.0.0.1')]);
});

await t.test('what no registry is', async (t) => {
    const name = `127.0.0.1:${server.port}`;
    t.same(await push(client, image, `${name}/a:v1`), [
        errorLine('NotAvailable', `registry ${name} does not support v2`),
    ]);
    const gone = await push(client, image, '127.0.0.1:1/a:v1');
    t.match(gone, [{ type: 'error', error: { code: 'RemoteSourceError', message: /ECONNREFUSED/ } }]);
});
