// The client library of the field, unmodified, with every method that these modes have (http-api 5.2).
import { rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import type { Document } from '../helpers/http-client.js';
import {
    FATHER,
    NOBODY,
    UNKNOWN,
    USERS,
    gzipFile,
    manifest,
    sha1Hex,
    type Fixture,
} from '../helpers/images.js';
import {
    call,
    connect,
    expectFailure,
    library,
    outcome,
    type LibraryClient,
} from '../helpers/library-client.js';
import { libraryFiles, lifeOfAnImage } from '../helpers/library-life.js';
import { temporaryDirectory } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';
import { startServer } from '../helpers/start-server.js';

const directory = temporaryDirectory();
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const files = libraryFiles(directory);

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
    const upload = { uuid, file: files.file, compression: 'gzip', sha1: wrongSha1 };
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
        const client = connect(t, signing, key);
        await lifeOfAnImage(test, client, files);
        await administration(test, client);
        const pong = await call(client, 'ping');
        test.strictSame([pong['user'], typeof pong['pid']], [key.user, 'number']);
        test.strictSame(await call(client, 'listImages', { state: 'all' }, { inclAdminFields: true }), []);
    });
}

await t.test('without a signature', async (test) => {
    const client = connect(t, open, undefined);
    await lifeOfAnImage(test, client, files);
    await administration(test, client);
    const closed = connect(t, signing, undefined);
    await expectFailure(
        test,
        { statusCode: 401, code: 'UnauthorizedError' },
        closed,
        'createImage',
        manifest(),
    );
    await expectFailure(test, { statusCode: 401, code: 'UnauthorizedError' }, closed, 'adminGetState');
    await expectFailure(test, { statusCode: 401, code: 'UnauthorizedError' }, closed, 'deleteImage', UNKNOWN);
    const upload = { uuid: UNKNOWN, file: files.file, compression: 'gzip' };
    await expectFailure(test, { statusCode: 401, code: 'UnauthorizedError' }, closed, 'addImageFile', upload);
    test.strictSame(await call(closed, 'listImages'), []);
    test.equal((await guest.get('/ping')).status, 200);
});

await t.test('pages of a long list', async (test) => {
    const client = connect(t, open, undefined);
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
    const client = connect(t, side.server, undefined);
    outer.strictSame(await call(client, 'listChannels', {}), channels);
    const uuid = String((await call(client, 'createImage', manifest()))['uuid']);
    const added = await call(client, 'channelAddImage', { uuid, channel: 'release' });
    outer.strictSame(added['channels'], ['dev', 'release']);
    const release = connect(t, side.server, undefined, { channel: 'release' });
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
