// The client library of the field, unmodified, with every method that these modes have (http-api 5.2).
import { createReadStream, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Document } from '../helpers/http-client.js';
import {
    FATHER,
    NOBODY,
    PNG,
    UNKNOWN,
    USERS,
    gzipFile,
    manifest,
    sha1Hex,
    type Fixture,
} from '../helpers/images.js';
import { temporaryDirectory, type ServerProcess } from '../helpers/server-process.js';
import { createKey, type SigningKey } from '../helpers/signing.js';
import { startServer } from '../helpers/start-server.js';

/** An error as the library hands it over. */
interface ClientError extends Error {
    readonly code?: string;
    readonly statusCode?: number;
    readonly body?: {
        readonly code?: string;
        readonly message?: string;
        readonly errors?: readonly Document[];
    };
}

type Callback = (error: ClientError | null | undefined, ...results: unknown[]) => void;
type Method = (...parameters: unknown[]) => void;

/** The library's client: methods by name, each with a callback at the end. */
type LibraryClient = Readonly<Record<string, Method>> & { close(): void };

interface Library {
    createClient(options: Readonly<Record<string, unknown>>): LibraryClient;
    pauseStream(stream: NodeJS.ReadableStream): void;
}

const library = createRequire(import.meta.url)('sdc-clients/lib/imgapi') as Library;
const directory = temporaryDirectory();
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

interface Outcome {
    readonly error: ClientError | undefined;
    readonly results: readonly unknown[];
}

/** Calls a method of the library and gives all that its callback gets. */
function outcome(client: LibraryClient, method: string, ...parameters: readonly unknown[]): Promise<Outcome> {
    return new Promise((resolve) => {
        const callback: Callback = (error, ...results) => resolve({ error: error ?? undefined, results });
        const call = client[method];
        if (call === undefined) throw new Error(`the library has no ${method}`);
        call.call(client, ...parameters, callback);
    });
}

/** Calls a method that must succeed and gives its first result. */
async function call<T = Document>(
    client: LibraryClient,
    method: string,
    ...parameters: unknown[]
): Promise<T> {
    const { error, results } = await outcome(client, method, ...parameters);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`, { cause: error });
    return results[0] as T;
}

async function expectFailure(
    test: Test,
    expected: { readonly statusCode: number; readonly code: string },
    client: LibraryClient,
    method: string,
    ...parameters: unknown[]
): Promise<void> {
    const { error } = await outcome(client, method, ...parameters);
    test.strictSame(
        [error?.statusCode, error?.body?.code, typeof error?.body?.message],
        [expected.statusCode, expected.code, 'string'],
        `${method} fails with ${expected.code}`,
    );
}

function connect(server: ServerProcess, key: SigningKey | undefined, more: object = {}): LibraryClient {
    const client = library.createClient({
        url: server.url,
        agent: false,
        ...(key === undefined
            ? {}
            : {
                  user: key.user,
                  sign: (text: string, done: (error: Error | null, signature: object) => void) =>
                      done(null, { algorithm: key.algorithm, signature: key.sign(text) }),
              }),
        ...more,
    });
    t.teardown(() => client.close());
    return client;
}

const FILE = gzipFile('a file for the library '.repeat(1000));
const filePath = join(directory, 'file.gz');
const iconPath = join(directory, 'icon.png');
writeFileSync(filePath, FILE);
writeFileSync(iconPath, PNG);

async function readStream(stream: IncomingMessage): Promise<Buffer> {
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.resume();
    await new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
    return Buffer.concat(parts);
}

/** An image from creation to deletion, as a publisher does it. */
async function lifeOfAnImage(test: Test, client: LibraryClient): Promise<void> {
    const { vader, luke } = USERS;
    const created = await call(client, 'createImage', manifest({ name: 'my im.a_ge', tags: { role: 'db' } }));
    const uuid = String(created['uuid']);
    test.equal(created['state'], 'unactivated');
    const upload = { uuid, file: filePath, compression: 'gzip', sha1: sha1Hex(FILE), dataset_guid: '123' };
    const filled = await call(client, 'addImageFile', upload);
    test.strictSame(filled['files'], [
        { sha1: sha1Hex(FILE), size: FILE.length, compression: 'gzip', dataset_guid: '123' },
    ]);
    const stream = createReadStream(filePath);
    library.pauseStream(stream);
    const again = await call(client, 'addImageFile', { uuid, file: stream, compression: 'gzip' }, vader);
    test.match(again['files'], [{ sha1: sha1Hex(FILE) }], 'a stream without a length, for an account');
    test.equal((await call(client, 'activateImage', uuid))['state'], 'active');
    test.equal((await call(client, 'disableImage', uuid))['state'], 'disabled');
    test.strictSame((await call(client, 'getImage', uuid))['tags'], { role: 'db' });
    test.equal((await call(client, 'enableImage', uuid, vader))['state'], 'active');
    const tags = { s: 'x', n: 5, t: true, f: false };
    const updated = await call(
        client,
        'updateImage',
        uuid,
        { version: '2.0.0', description: 'd', tags },
        vader,
    );
    test.strictSame([updated['version'], updated['tags']], ['2.0.0', tags]);
    const wrong = { headers: { 'if-match': 'abcdef' } };
    await expectFailure(
        test,
        { statusCode: 412, code: 'PreconditionFailed' },
        client,
        'updateImage',
        uuid,
        { version: '3.0.0' },
        vader,
        wrong,
    );
    const { results } = await outcome(client, 'getImage', uuid);
    const etag = (results[1] as IncomingMessage).headers.etag;
    const right = { headers: { 'if-match': etag } };
    const third = await call(client, 'updateImage', uuid, { version: '3.0.0' }, vader, right);
    test.equal(third['version'], '3.0.0', 'with the tag of the last answer');
    test.strictSame((await call(client, 'addImageAcl', uuid, [luke], vader))['acl'], [luke]);
    test.equal((await call(client, 'removeImageAcl', uuid, [luke], vader))['acl'], undefined);
    await readBytes(test, client, uuid);
    const stor = await call(client, 'adminChangeStor', { uuid, stor: 'local' });
    test.match(stor['files'], [{ stor: 'local' }]);
    const failed = await call(client, 'updateImage', uuid, { state: 'failed', error: { code: 'x' } });
    test.strictSame([failed['state'], failed['error']], ['failed', { code: 'x' }]);
    await expectFailure(
        test,
        { statusCode: 404, code: 'ResourceNotFound' },
        client,
        'deleteImage',
        uuid,
        NOBODY,
    );
    const deleted = await call<IncomingMessage>(client, 'deleteImage', uuid);
    test.equal(deleted.statusCode, 204);
    await expectFailure(test, { statusCode: 404, code: 'ResourceNotFound' }, client, 'getImage', uuid);
    await expectFailure(test, { statusCode: 404, code: 'ResourceNotFound' }, client, 'deleteImage', uuid);
}

/** The bytes of an image and its icon, each way the library has. */
async function readBytes(test: Test, client: LibraryClient, uuid: string): Promise<void> {
    const { vader, luke } = USERS;
    const options = { uuid, file: iconPath, contentType: 'image/png', sha1: sha1Hex(PNG) };
    const withIcon = await call(client, 'addImageIcon', options);
    test.strictSame(
        await call(client, 'getImage', uuid, vader),
        withIcon,
        'the answer of a change is the document',
    );
    const target = join(directory, 'download');
    const response = await call<IncomingMessage>(client, 'getImageFile', uuid, target);
    test.ok(readFileSync(target).equals(FILE), 'getImageFile, its digest verified by the library');
    test.equal(response.headers['content-length'], String(FILE.length));
    await call(client, 'getImageIcon', uuid, target);
    test.ok(readFileSync(target).equals(PNG), 'getImageIcon');
    const file = await call<IncomingMessage>(client, 'getImageFileStream', uuid, vader);
    test.ok((await readStream(file)).equals(FILE), 'getImageFileStream');
    const icon = await call<IncomingMessage>(client, 'getImageIconStream', uuid);
    test.ok((await readStream(icon)).equals(PNG), 'getImageIconStream');
    await expectFailure(
        test,
        { statusCode: 404, code: 'ResourceNotFound' },
        client,
        'deleteImageIcon',
        uuid,
        luke,
    );
    test.equal((await call(client, 'deleteImageIcon', uuid, vader))['icon'], undefined);
    await expectFailure(
        test,
        { statusCode: 404, code: 'ResourceNotFound' },
        client,
        'getImageIcon',
        uuid,
        target,
    );
    const noFile = ['getImageFile', UNKNOWN, target] as const;
    await expectFailure(test, { statusCode: 404, code: 'ResourceNotFound' }, client, ...noFile);
}

async function administration(test: Test, client: LibraryClient): Promise<void> {
    const pong = await call(client, 'ping');
    test.strictSame([pong['ping'], pong['imgapi']], ['pong', true]);
    const { error } = await outcome(client, 'ping', 'ValidationFailed');
    test.strictSame(
        [error?.statusCode, error?.body?.code, error?.message],
        [422, 'ValidationFailed', 'boom'],
    );
    test.type((await call(client, 'adminGetState'))['cache'], 'object');
    test.equal((await call<IncomingMessage>(client, 'adminReloadAuthKeys')).statusCode, 200);
    const uuid = 'a1000000-0000-4000-8000-000000000001';
    const data = manifest({ uuid, published_at: '2012-10-11T12:13:14.000Z', billing_tags: ['xl'] });
    const imported = await call(client, 'adminImportImage', data, { skipOwnerCheck: true });
    test.strictSame(
        ['uuid', 'owner', 'published_at', 'state'].map((name) => imported[name]),
        [uuid, NOBODY, '2012-10-11T12:13:14.000Z', 'unactivated'],
    );
    await expectFailure(
        test,
        { statusCode: 409, code: 'ImageUuidAlreadyExists' },
        client,
        'adminImportImage',
        data,
    );
    const upload = { uuid, file: filePath, compression: 'gzip', sha1: wrongSha1 };
    await expectFailure(test, { statusCode: 400, code: 'Download' }, client, 'addImageFile', upload);
    await expectFailure(test, { statusCode: 422, code: 'ValidationFailed' }, client, 'createImage', {
        name: 5,
    });
    test.equal((await call<IncomingMessage>(client, 'deleteImage', uuid)).statusCode, 204);
}

const wrongSha1 = sha1Hex('something else');
const COUNT = 1003;
const father: Fixture = {
    uuid: FATHER,
    name: 'father',
    owner: USERS.vader,
    activated: true,
    published_at: '2012-01-01T00:00:00.000Z',
    file: gzipFile('father'),
};
const crowd = Array.from({ length: COUNT - 1 }, (_, i): Fixture => ({
    ...father,
    uuid: `b1000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
    name: `image-${i}`,
    // Many share a second, so that pages have to go on inside of one.
    published_at: `2013-01-01T00:00:${String(i % 3).padStart(2, '0')}Z`,
}));

const keys = [createKey('rsa'), createKey('ecdsa', 'ecdsa'), createKey('ed25519', 'ed25519')] as const;
const authKeys = Object.fromEntries(keys.map((key) => [key.user, [key.publicLine]]));
const [{ server: signing, guest }, { server: open }] = await Promise.all([
    startServer(t, { authKeys }),
    startServer(t, { authType: 'none' }, [father, ...crowd]),
]);

for (const key of keys) {
    await t.test(`signed with ${key.algorithm}`, async (test) => {
        const client = connect(signing, key);
        await lifeOfAnImage(test, client);
        await administration(test, client);
        const pong = await call(client, 'ping');
        test.strictSame([pong['user'], typeof pong['pid']], [key.user, 'number']);
        test.strictSame(await call(client, 'listImages', { state: 'all' }, { inclAdminFields: true }), []);
    });
}

await t.test('without a signature', async (test) => {
    const client = connect(open, undefined);
    await lifeOfAnImage(test, client);
    await administration(test, client);
    const closed = connect(signing, undefined);
    await expectFailure(
        test,
        { statusCode: 401, code: 'UnauthorizedError' },
        closed,
        'createImage',
        manifest(),
    );
    await expectFailure(test, { statusCode: 401, code: 'UnauthorizedError' }, closed, 'adminGetState');
    await expectFailure(test, { statusCode: 401, code: 'UnauthorizedError' }, closed, 'deleteImage', UNKNOWN);
    const upload = { uuid: UNKNOWN, file: filePath, compression: 'gzip' };
    await expectFailure(test, { statusCode: 401, code: 'UnauthorizedError' }, closed, 'addImageFile', upload);
    test.strictSame(await call(closed, 'listImages'), []);
    test.equal((await guest.get('/ping')).status, 200);
});

await t.test('pages of a long list', async (test) => {
    const client = connect(open, undefined);
    const all = await call<readonly Document[]>(client, 'listImages', {});
    test.equal(all.length, COUNT, 'each image once');
    test.equal(new Set(all.map((image) => image['uuid'])).size, COUNT);
    test.equal(all[0]?.['uuid'], FATHER, 'oldest first');
    const page = await call<readonly Document[]>(client, 'listImages', { limit: 10, marker: crowd[5]?.uuid });
    test.strictSame([page.length, page[0]?.['uuid']], [10, crowd[5]?.uuid], 'a page begins with its marker');
    const some = await call<readonly Document[]>(client, 'listImages', {
        name: 'image-7',
        owner: USERS.vader,
    });
    test.strictSame(
        some.map((image) => image['name']),
        ['image-7'],
    );

    // The loop of the library, with pages small enough to need many of them.
    const seen: unknown[] = [];
    let marker: unknown;
    for (let i = 0; i < COUNT; i++) {
        const filters = marker === undefined ? { limit: 50 } : { limit: 50, marker };
        const next = await call<readonly Document[]>(client, 'listImages', filters);
        const fresh = next.filter((image) => image['uuid'] !== marker).map((image) => image['uuid']);
        seen.push(...fresh);
        marker = fresh.at(-1);
        if (next.length < 50) break;
    }
    test.strictSame(
        seen,
        all.map((image) => image['uuid']),
        'in the order of the whole list',
    );
});

await t.test('channels and versions', async (outer) => {
    const channels = [
        { name: 'dev', description: 'd', default: true },
        { name: 'release', description: 'r' },
    ];
    const side = await startServer(outer, { authType: 'none', channels });
    const client = connect(side.server, undefined);
    outer.strictSame(await call(client, 'listChannels', {}), channels);
    const uuid = String((await call(client, 'createImage', manifest()))['uuid']);
    const added = await call(client, 'channelAddImage', { uuid, channel: 'release' });
    outer.strictSame(added['channels'], ['dev', 'release']);
    const release = connect(side.server, undefined, { channel: 'release' });
    outer.strictSame((await call(release, 'getImage', uuid))['channels'], ['dev', 'release']);
    const inUrl = library.createClient({
        url: `${side.server.url}/?channel=release`,
        agent: false,
        version: '~1',
    });
    outer.teardown(() => inUrl.close());
    outer.equal((await call(inUrl, 'getImage', uuid))['channels'], undefined, 'version 1');
    await call(release, 'deleteImage', uuid);
    const rest = await call(client, 'getImage', uuid, { channel: '*' });
    outer.strictSame(rest['channels'], ['dev']);
    await call(client, 'deleteImage', uuid, { forceAllChannels: true });
    outer.strictSame(await call(client, 'listImages', { state: 'all' }, { channel: '*' }), []);
});
