// The client library of the field on a datacenter's server: every method of mode dc without jobs
// (http-api 5.2).
import { rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import { ADMIN, DC_IMAGES, startDatacenter } from '../helpers/datacenter.js';
import type { Document } from '../helpers/http-client.js';
import {
    BASE_181,
    BASE_200,
    DARK_SIDE,
    FATHER,
    JOIN_US,
    NOBODY,
    NODEJS,
    UNKNOWN,
    USERS,
    gzipFile,
    manifest,
    type Fixture,
} from '../helpers/images.js';
import {
    call,
    connect,
    expectFailure,
    library,
    outcome,
    readStream,
    type LibraryClient,
} from '../helpers/library-client.js';
import { libraryFiles, lifeOfAnImage } from '../helpers/library-life.js';
import { startMorayPlace } from '../helpers/moray-place.js';
import { temporaryDirectory } from '../helpers/server-process.js';

const { vader, luke, emperor, sdc } = USERS;
const directory = temporaryDirectory();
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const files = libraryFiles(directory);

const COUNT = 1_200;
const crowd = Array.from({ length: COUNT }, (_, i): Fixture => ({
    uuid: `b1000000-0000-4000-8000-${String((i * 7919) % COUNT).padStart(12, '0')}`,
    name: 'one-of-many',
    owner: emperor,
    activated: true,
    // All at one time: pages have to go on by uuid alone.
    published_at: '2013-01-01T00:00:00Z',
    file: gzipFile('one of many'),
}));
const dc = await startDatacenter(t, { images: [...DC_IMAGES, ...crowd], moray: await startMorayPlace(t) });
const client = connect(t, dc.server, undefined);

type Images = readonly Document[];
const uuids = (images: Images): unknown[] => images.map((image) => image['uuid']);

await t.test('lists', async (test) => {
    const many = await call<Images>(client, 'listImages', { name: 'one-of-many' });
    test.strictSame(
        uuids(many),
        crowd.map(({ uuid }) => uuid).sort(),
        'all pages, each image once, in order',
    );
    const all = await call<Images>(client, 'listImages', { state: 'all' });
    test.equal(new Set(uuids(all)).size, COUNT + DC_IMAGES.length);
    test.equal(all.length, COUNT + DC_IMAGES.length);
    const limited = await call<Images>(client, 'listImages', { limit: 5000 });
    test.equal(limited.length, 1000, 'a limit is one page, of at most 1000');

    const seen = async (account: string, more: object = {}): Promise<unknown[]> =>
        uuids(await call<Images>(client, 'listImages', { account, state: 'all', ...more }));
    test.strictSame(await seen(vader), [JOIN_US, FATHER, DARK_SIDE, BASE_181, NODEJS]);
    test.strictSame(await seen(luke), [FATHER, DARK_SIDE, BASE_181, NODEJS]);
    test.strictSame(await seen(sdc), [BASE_200, BASE_181, NODEJS]);
    test.strictSame(await seen(luke, { owner: vader, state: 'active' }), [FATHER]);
    test.strictSame(await seen(luke, { type: '!docker', state: 'active' }), [FATHER, BASE_181]);
    const options = { inclAdminFields: true };
    const [father] = await call<Images>(client, 'listImages', { name: 'i-am-your-father' }, options);
    test.match(father, { files: [{ stor: 'local' }] });
});

await t.test('the life of an image', (test) => lifeOfAnImage(test, client, files));

/** An image of an account, from creation to deletion, as CloudAPI does it for a user. */
async function lifeForAnAccount(test: Test, user: LibraryClient): Promise<void> {
    const created = await call(user, 'createImage', manifest({ owner: undefined }), luke);
    const uuid = String(created['uuid']);
    test.equal(created['owner'], luke, 'the account owns it');
    await expectFailure(
        test,
        { statusCode: 422, code: 'InvalidParameter' },
        user,
        'createImage',
        manifest(),
        luke,
    );
    const upload = { uuid, file: files.file, compression: 'gzip' };
    const hidden = { statusCode: 404, code: 'ResourceNotFound' };
    await expectFailure(test, hidden, user, 'addImageFile', upload, vader);
    await expectFailure(test, hidden, user, 'getImage', uuid, vader);
    await call(user, 'addImageFile', upload, luke);
    test.equal((await call(user, 'activateImage', uuid, luke))['state'], 'active');
    test.strictSame((await call(user, 'addImageAcl', uuid, [vader, sdc], luke))['acl'], [vader, sdc]);
    test.equal((await call(user, 'getImage', uuid, vader))['uuid'], uuid, 'shared');
    const foreign = { statusCode: 422, code: 'NotImageOwner' };
    for (const method of ['activateImage', 'disableImage', 'enableImage', 'deleteImageIcon', 'deleteImage']) {
        await expectFailure(test, foreign, user, method, uuid, vader);
    }
    await expectFailure(test, foreign, user, 'updateImage', uuid, { description: 'x' }, vader);
    await expectFailure(test, foreign, user, 'addImageAcl', uuid, [emperor], vader);
    await expectFailure(test, foreign, user, 'removeImageAcl', uuid, [vader], vader);
    await expectFailure(test, foreign, user, 'addImageFile', upload, vader);
    const icon = { uuid, file: files.icon, contentType: 'image/png' };
    await expectFailure(test, foreign, user, 'addImageIcon', icon, vader);
    const operatorOnly = { statusCode: 422, code: 'ValidationFailed' };
    await expectFailure(test, operatorOnly, user, 'updateImage', uuid, { billing_tags: ['xl'] }, luke);
    const billed = await call(user, 'updateImage', uuid, { billing_tags: ['xl'], traits: { ssd: true } });
    test.strictSame([billed['billing_tags'], billed['traits']], [['xl'], { ssd: true }], 'by an operator');

    const given = await call(user, 'updateImage', uuid, { owner: emperor }, luke);
    test.equal(given['owner'], emperor, 'given away');
    await expectFailure(test, hidden, user, 'deleteImage', uuid, luke);
    const unknown = { statusCode: 422, code: 'OwnerDoesNotExist' };
    await expectFailure(test, unknown, user, 'updateImage', uuid, { owner: UNKNOWN }, emperor);
    test.equal((await call<IncomingMessage>(user, 'deleteImage', uuid, emperor)).statusCode, 204);
}

await t.test('calls for accounts', (test) => lifeForAnAccount(test, client));

await t.test('clones', async (test) => {
    const clone = await call(client, 'cloneImage', FATHER, luke);
    const uuid = String(clone['uuid']);
    test.match(clone, { owner: luke, state: 'active', public: false, name: 'i-am-your-father' });
    test.notOk('acl' in clone);
    await call(client, 'getImageFile', uuid, files.target, luke);
    const file = await call<IncomingMessage>(client, 'getImageFileStream', FATHER, vader);
    test.ok((await readStream(file)).equals(gzipFile('father')), 'the source is still there');
    const again = await call(client, 'cloneImage', FATHER, luke);
    test.not(again['uuid'], uuid, 'another clone');
    const notShared = { statusCode: 422, code: 'ImageNotShared' };
    await expectFailure(test, notShared, client, 'cloneImage', BASE_181, luke);
    await expectFailure(test, notShared, client, 'cloneImage', uuid, luke);
    const hidden = { statusCode: 404, code: 'ResourceNotFound' };
    await expectFailure(test, hidden, client, 'cloneImage', FATHER, emperor);
    for (const made of [uuid, String(again['uuid'])]) await call(client, 'deleteImage', made, luke);
    test.equal((await call(client, 'getImage', FATHER, luke))['uuid'], FATHER);
});

await t.test('administration', async (test) => {
    const pong = await call(client, 'ping');
    test.strictSame([pong['ping'], pong['imgapi'], pong['pid']], ['pong', true, dc.server.pid]);
    test.notOk('user' in pong);
    const { error } = await outcome(client, 'ping', 'ValidationFailed');
    test.strictSame([error?.statusCode, error?.body?.code], [422, 'ValidationFailed']);
    test.type((await call(client, 'adminGetState'))['cache'], 'object');
    test.equal((await call<IncomingMessage>(client, 'adminReloadAuthKeys')).statusCode, 200);

    const uuid = 'a1000000-0000-4000-8000-000000000001';
    const data = manifest({ uuid, owner: NOBODY, published_at: '2012-10-11T12:13:14.000Z', urn: 'a:b:c:1' });
    const imported = await call(client, 'adminImportImage', data);
    test.match(imported, { uuid, owner: ADMIN, published_at: data['published_at'], state: 'unactivated' });
    const taken = { statusCode: 409, code: 'ImageUuidAlreadyExists' };
    await expectFailure(test, taken, client, 'adminImportImage', data);
    const other = 'a1000000-0000-4000-8000-000000000002';
    const stray = manifest({ uuid: other, owner: UNKNOWN });
    const unknown = { statusCode: 422, code: 'OwnerDoesNotExist' };
    await expectFailure(test, unknown, client, 'adminImportImage', stray);
    const unchecked = await call(client, 'adminImportImage', stray, { skipOwnerCheck: true });
    test.equal(unchecked['owner'], UNKNOWN);
    await call(client, 'addImageFile', { uuid, file: files.file, compression: 'gzip' });
    const moved = await call(client, 'adminChangeStor', { uuid, stor: 'local' });
    test.match(moved['files'], [{ stor: 'local' }]);
    for (const made of [uuid, other]) {
        test.equal((await call<IncomingMessage>(client, 'deleteImage', made)).statusCode, 204);
    }
    const withoutManta = { statusCode: 503, code: 'StorageUnsupported' };
    await expectFailure(test, withoutManta, client, 'exportImage', FATHER, vader, {
        manta_path: '/vader/stor/x',
    });
    const inDefault = library.createClient({ url: dc.server.url, agent: false, version: '~1' });
    test.teardown(() => inDefault.close());
    test.equal((await call(inDefault, 'getImage', FATHER))['uuid'], FATHER, 'version 1');
});
