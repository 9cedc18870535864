// ACL, change-stor, DeleteImage (http-api 3.17, 3.18, 3.20): every check in its order, with its words.
import { existsSync } from 'node:fs';
import t from 'tap';
import {
    PNG,
    UNKNOWN,
    USERS,
    createImage,
    imageDirectory,
    manifest,
    publishImage,
    sha1Hex,
} from '../helpers/images.js';
import {
    OPERATOR_ONLY,
    badAccount,
    badAction,
    missing,
    notOwner,
    post,
    expectError,
    invalidParameter,
    notBoolean,
    notFound,
    runErrorRows,
    validationFailed,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
const { server, client, guest } = await startServer(t);
const published = await publishImage(client, { acl: [luke], tags: { role: 'db' } });
const fresh = await createImage(client);

await t.test('ACL', async (test) => {
    const uuid = await publishImage(client);
    const path = `/images/${uuid}/acl`;
    const notArray = invalidParameter('invalid image "acl" (not an array)', ['acl', 'Invalid']);
    const badItem = (index: number, value: string): ExpectedError =>
        invalidParameter(`invalid image "acl" (item ${index} is not a UUID): ${value}`, ['acl', 'Invalid']);
    await runErrorRows(test, client, [
        post(`${path}?action=nope`, [luke], badAction('nope')),
        post(path, undefined, notArray),
        post(path, {}, notArray),
        post(path, null, notArray),
        post(path, luke, notArray),
        post(path, [luke, 'foo', 5], badItem(1, 'foo')),
        post(`${path}?action=remove`, [5], badItem(0, '5')),
        post(`${path}?account=${luke}`, [luke], notFound('image not found')),
        post(`/images/${published}/acl?account=${luke}`, [luke], notOwner(luke, published)),
        post(`/images/${UNKNOWN}/acl`, [luke], notFound(`image ${UNKNOWN} not found`)),
        post('/images/foo/acl', [luke], notFound('/images/foo/acl does not exist')),
    ]);
    const rows: readonly (readonly [
        query: string,
        body: readonly string[],
        acl: readonly string[] | undefined,
    ])[] = [
        ['', [], undefined],
        ['', [luke, luke], [luke]],
        ['?action=', [emperor], [luke, emperor]],
        ['?action=add', [emperor, vader, luke], [luke, emperor, vader]],
        [`?action=remove&account=${vader}`, [emperor, UNKNOWN], [luke, vader]],
        ['?action=remove', [], [luke, vader]],
        ['?action=remove', [vader, luke], undefined],
    ];
    for (const [query, body, acl] of rows) {
        const answer = await client.post(`${path}${query}`, body);
        test.strictSame([answer.status, answer.document['acl']], [200, acl], `${query} ${body.join()}`);
        test.equal(answer.header('etag'), sha1Hex(JSON.stringify(answer.json)));
        test.equal((await guest.get(`/images/${uuid}`)).text, answer.text);
    }
    const accounts = Array.from(
        { length: 12 },
        (_, i) => `aaaaaaaa-0000-4000-8000-${String(i).padStart(12, '0')}`,
    );
    await Promise.all(accounts.map((account) => client.post(path, [account])));
    const after = (await guest.get(`/images/${uuid}`)).document['acl'] as string[];
    test.strictSame([...after].sort(), accounts, 'no change is lost among many at once');
});

await t.test('change-stor', async (test) => {
    const path = (uuid: string, query: string): string => `/images/${uuid}?action=change-stor${query}`;
    const withIcon = await publishImage(client);
    await client.put(`/images/${withIcon}/icon`, PNG, { headers: { 'content-type': 'image/png' } });
    await runErrorRows(test, client, [
        post(path(published, `&stor=local&account=${vader}`), {}, OPERATOR_ONLY),
        post(path(published, ''), {}, validationFailed('missing "stor" query parameter', missing('stor'))),
        post(
            path(published, '&stor='),
            {},
            validationFailed('missing "stor" query parameter', missing('stor')),
        ),
        post(
            path(published, '&stor=manta'),
            {},
            validationFailed('unknown storage type "manta"', ['stor', 'Invalid']),
        ),
        post(
            path(withIcon, '&stor=tape'),
            {},
            validationFailed('unknown storage type "tape"', ['stor', 'Invalid']),
        ),
        post(
            path(withIcon, '&stor=local'),
            {},
            {
                status: 400,
                code: 'NotImplemented',
                message: 'cannot change stor for images with an icon',
            },
        ),
        post(path(fresh, '&stor=local'), {}, notFound(`image "${fresh}" has no file`)),
        post(path(UNKNOWN, '&stor=local'), {}, notFound(`image ${UNKNOWN} not found`)),
    ]);
    const answer = await client.post(path(published, '&stor=local'), {});
    test.equal(answer.status, 200);
    test.match(answer.document['files'], [{ stor: 'local' }], 'with the storage');
    test.equal(answer.header('etag'), undefined, 'without a tag');
    test.equal((await guest.get(`/images/${published}/file`)).status, 200);
});

const dependents = (uuid: string, count: number, list: string): ExpectedError => ({
    status: 422,
    code: 'ImageHasDependentImages',
    message: `image "${uuid}" has ${count} dependent incremental image(s): ${list}`,
});

await t.test('DeleteImage', async (test) => {
    const row = (path: string, expected: ExpectedError): ErrorRow => ({
        name: `DELETE ${path}`,
        method: 'DELETE',
        path,
        ...expected,
    });
    const uuid = await publishImage(client);
    await client.put(`/images/${uuid}/icon`, PNG, { headers: { 'content-type': 'image/png' } });
    await runErrorRows(test, client, [
        row(`/images/${uuid}?force_all_channels=x`, notBoolean('force_all_channels', 'x')),
        row(`/images/${uuid}?force_all_channels=`, notBoolean('force_all_channels', '')),
        row(`/images/${uuid}?account=${luke}`, notFound('image not found')),
        row(`/images/${published}?account=${luke}`, notOwner(luke, published)),
        row(`/images/${uuid}?account=foo`, badAccount('foo')),
        row(`/images/${UNKNOWN}`, notFound(`image ${UNKNOWN} not found`)),
        row('/images/foo', notFound('/images/foo does not exist')),
    ]);
    const children: string[] = [];
    for (let i = 0; i < 10; i++) {
        children.push(await createImage(client, { origin: uuid }));
        if (i === 0)
            await runErrorRows(test, client, [row(`/images/${uuid}`, dependents(uuid, 1, children.join()))]);
    }
    const many = await client.delete(`/images/${uuid}`);
    const list = /^.*: (.*), and 5 more\.\.\.$/.exec(many.error.message)?.[1]?.split(', ') ?? [];
    test.equal(many.error.code, 'ImageHasDependentImages');
    test.ok(many.error.message.startsWith(`image "${uuid}" has 10 dependent incremental image(s): `));
    test.strictSame([list.length, list.every((child) => children.includes(child))], [5, true]);
    const last = children.pop() ?? '';
    test.equal((await client.delete(`/images/${last}`)).status, 204);
    const nine = (await client.delete(`/images/${uuid}`)).error.message.split(': ')[1]?.split(', ').sort();
    test.strictSame(nine, [...children].sort(), 'fewer than ten are all named');
    for (const child of children)
        await client.delete(`/images/${child}`, { headers: { 'content-length': '0' } });

    const gone = await client.delete(`/images/${uuid}`);
    test.strictSame([gone.status, gone.text, gone.header('etag')], [204, '', undefined]);
    expectError(test, await guest.get(`/images/${uuid}`), notFound(`image ${uuid} not found`), 'gone');
    test.notOk(existsSync(imageDirectory(server.baseDir, uuid)), 'its bytes are gone, too');
    expectError(test, await client.delete(`/images/${uuid}`), notFound(`image ${uuid} not found`), 'twice');
    const reimport = await client.post(`/images/${uuid}?action=import`, manifest({ uuid }));
    test.equal(reimport.status, 200, 'the uuid may be used again');
    test.equal((await client.delete(`/images/${uuid}`)).status, 204, 'an image without a file');
});
