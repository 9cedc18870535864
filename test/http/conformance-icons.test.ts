// AddImageIcon, DeleteImageIcon (http-api 3.12): every check in its order, with its words.
import { Readable } from 'node:stream';
import t from 'tap';
import { PNG, UNKNOWN, USERS, gzipFile, publishImage, sha1Hex } from '../helpers/images.js';
import {
    UNAUTHORIZED,
    badAccount,
    expectError,
    invalidParameter,
    notFound,
    putRows,
    runErrorRows,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';
import { storedFiles } from '../helpers/stored-files.js';

const { server, client, guest } = await startServer(t);
const { vader, luke, emperor } = USERS;
const FILE = gzipFile('a file');
const ICON_LIMIT = 131_072;
const IMAGE_PNG = { 'content-type': 'image/png' };

const active = await publishImage(client, { acl: [luke] });
const notOwner: ExpectedError = {
    status: 422,
    code: 'NotImageOwner',
    message: `account ${luke} is not the owner of image ${active}`,
};

const upload = (message: string): ExpectedError => ({ status: 400, code: 'Upload', message });
const badStorage = (value: string): ExpectedError =>
    invalidParameter(`invalid storage "${value}" (must be one of local, manta)`, ['storage', 'Invalid']);
const storageNotAllowed = (value: string): ExpectedError =>
    invalidParameter(`invalid storage "${value}"`, [
        'storage',
        'NotAllowed',
        'Parameter cannot be specified by non-operators',
    ]);

const { expectStored } = storedFiles(server.baseDir);
const put = putRows(FILE);

const wrongSha1 = sha1Hex('something else');

const iconPath = `/images/${active}/icon`;
const badType = (value: string): ExpectedError =>
    upload(`invalid content-type, ${value}, must be one of image/jpeg, image/gif, image/png`);

await t.test('AddImageIcon: checks in their order', async (test) => {
    const tooBig = Buffer.alloc(ICON_LIMIT + 1, 'x');
    await runErrorRows(test, client, [
        put(iconPath, UNAUTHORIZED, { sign: false, headers: IMAGE_PNG }),
        put(`/images/${UNKNOWN}/icon`, notFound(`image ${UNKNOWN} not found`)),
        put(`${iconPath}?account=${luke}`, notOwner),
        put(`${iconPath}?account=${emperor}`, notFound('image not found')),
        put(`${iconPath}?storage=tape`, badType('undefined')),
        put(iconPath, badType('text/plain'), { headers: { 'content-type': 'text/plain' } }),
        put(iconPath, badType('image/svg+xml'), { headers: { 'content-type': 'image/svg+xml' } }),
        put(`${iconPath}?storage=tape`, badStorage('tape'), { headers: IMAGE_PNG, body: tooBig }),
        put(`${iconPath}?account=${vader}&storage=local`, storageNotAllowed('local'), { headers: IMAGE_PNG }),
        put(
            iconPath,
            upload(
                `icon size ${tooBig.length} (from Content-Length) exceeds the maximum allowed size, 128 KiB`,
            ),
            { headers: IMAGE_PNG, body: tooBig },
        ),
        put(iconPath, upload('icon size is 0 bytes, empty icons are not allowed'), {
            headers: IMAGE_PNG,
            body: '',
        }),
        put(
            `${iconPath}?sha1=${wrongSha1}`,
            upload(
                `"sha1" hash, ${wrongSha1}, does not match the uploaded icon file sha1 hash, ${sha1Hex(PNG)}`,
            ),
            { headers: IMAGE_PNG, body: PNG },
        ),
    ]);
    const chunks = await client.put(
        iconPath,
        Readable.from([tooBig.subarray(0, 100_000), tooBig.subarray(100_000)]),
        {
            headers: IMAGE_PNG,
        },
    );
    expectError(test, chunks, upload('icon size exceeds the maximum allowed size, 128 KiB'), 'in chunks');
    await expectStored(test, active, ['file0'], 'no byte of an icon is left behind');
});

await t.test('an icon comes, changes and goes', async (test) => {
    const added = await client.put(`${iconPath}?sha1=${sha1Hex(PNG)}`, PNG, {
        headers: { 'content-type': 'IMAGE/PNG; charset=x' },
    });
    test.strictSame([added.status, added.document['icon']], [200, true], added.text);
    test.equal(added.header('etag'), sha1Hex(JSON.stringify(added.json)));
    test.equal((await guest.get(`/images/${active}`)).text, added.text);
    const got = await guest.get(iconPath);
    test.strictSame([got.header('content-type'), got.body.equals(PNG)], ['image/png', true]);

    const jpeg = Buffer.alloc(ICON_LIMIT, 'j');
    const replaced = await client.put(`${iconPath}?account=${vader}`, jpeg, {
        headers: { 'content-type': 'image/jpeg' },
    });
    test.equal(replaced.status, 200, 'exactly the limit');
    const second = await guest.get(iconPath);
    test.strictSame([second.header('content-type'), second.body.equals(jpeg)], ['image/jpeg', true]);

    const remove = (rest: Partial<ErrorRow>, query: string, expected: ExpectedError): ErrorRow => ({
        name: `DELETE icon ${query}`,
        method: 'DELETE',
        path: iconPath + query,
        ...expected,
        ...rest,
    });
    await runErrorRows(test, client, [
        remove({ sign: false }, '', UNAUTHORIZED),
        remove({}, `?account=${luke}`, notOwner),
        remove({}, `?account=${emperor}`, notFound('image not found')),
        remove({}, '?account=foo', badAccount('foo')),
    ]);
    const removed = await client.delete(iconPath);
    test.strictSame([removed.status, 'icon' in removed.document], [200, false]);
    test.equal(removed.header('etag'), sha1Hex(JSON.stringify(removed.json)));
    await runErrorRows(test, client, [
        remove({}, '', notFound(`image "${active}" has no icon`)),
        { ...remove({}, '', notFound(`image "${active}" has no icon`)), method: 'GET', name: 'GET icon' },
    ]);
    await expectStored(test, active, ['file0'], 'its bytes are gone');
});
