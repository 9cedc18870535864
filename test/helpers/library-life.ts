import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Test } from 'tap';
import { NOBODY, PNG, UNKNOWN, USERS, gzipFile, manifest, sha1Hex } from './images.js';
import { call, expectFailure, library, outcome, readStream, type LibraryClient } from './library-client.js';

/** Files that the library uploads, and a place for those it downloads. */
export interface LibraryFiles {
    readonly file: string;
    readonly icon: string;
    readonly target: string;
}

const FILE = gzipFile('a file for the library '.repeat(1000));

/** Writes the files into a directory. */
export function libraryFiles(directory: string): LibraryFiles {
    const file = join(directory, 'file.gz');
    const icon = join(directory, 'icon.png');
    writeFileSync(file, FILE);
    writeFileSync(icon, PNG);
    return { file, icon, target: join(directory, 'download') };
}

/** An image from creation to deletion, as a publisher does it. */
export async function lifeOfAnImage(test: Test, client: LibraryClient, files: LibraryFiles): Promise<void> {
    const { vader, luke } = USERS;
    const created = await call(client, 'createImage', manifest({ name: 'my im.a_ge', tags: { role: 'db' } }));
    const uuid = String(created['uuid']);
    test.equal(created['state'], 'unactivated');
    const upload = { uuid, file: files.file, compression: 'gzip', sha1: sha1Hex(FILE), dataset_guid: '123' };
    const filled = await call(client, 'addImageFile', upload);
    test.strictSame(filled['files'], [
        { sha1: sha1Hex(FILE), size: FILE.length, compression: 'gzip', dataset_guid: '123' },
    ]);
    const stream = createReadStream(files.file);
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
    await readBytes(test, client, uuid, files);
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
async function readBytes(
    test: Test,
    client: LibraryClient,
    uuid: string,
    files: LibraryFiles,
): Promise<void> {
    const { vader, luke } = USERS;
    const { target } = files;
    const options = { uuid, file: files.icon, contentType: 'image/png', sha1: sha1Hex(PNG) };
    const withIcon = await call(client, 'addImageIcon', options);
    test.strictSame(
        await call(client, 'getImage', uuid, vader),
        withIcon,
        'the answer of a change is the document',
    );
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
