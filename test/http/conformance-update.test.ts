// UpdateImage, activation, conditions (http-api 3.13-3.15, 3.19): every check in its order, with its words.
import t from 'tap';
import type { HttpClient } from '../helpers/http-client.js';
import {
    PNG,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    publishImage,
    sha1Hex,
    uploadFile,
} from '../helpers/images.js';
import {
    badAccount,
    badAction,
    invalidImage,
    missing,
    notOwner,
    post,
    uuidExists,
    expectError,
    invalidParameter,
    notFound,
    repeated,
    runErrorRows,
    validationFailed,
    type Entry,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const { client, guest } = await startServer(t);
const published = await publishImage(client, { acl: [luke], tags: { role: 'db' } });

const fresh = await createImage(client);

const updates = (uuid: string): string => `/images/${uuid}?action=update`;
const badUpdate = (...entries: readonly Entry[]): ExpectedError =>
    validationFailed(`invalid image update data: ${entries.map(([field]) => field).join(', ')}`, ...entries);
const never = (field: string): Entry => [field, 'NotAllowed', 'Parameter cannot be updated'];
const byOperators = (field: string): Entry => [field, 'NotAllowed', 'Can only be updated by operators'];
const unactivated = (field: string): Entry => [
    field,
    'NotAllowed',
    'Can only be updated on unactivated images',
];
const missingBody = validationFailed('missing request body', ['body', 'MissingParameter']);
const notObject = validationFailed('invalid request body: not a JSON object', ['body', 'Invalid']);
const nothing = validationFailed('invalid image update data: no parameters provided');
const withFile = await createImage(client);
await uploadFile(client, withFile, gzipFile('with a file'));
const oneFile: Entry = ['files', 'Invalid', 'must be an array with one file object'];
const onlyDigests: Entry = [
    'files',
    'NotAllowed',
    'Can only update "digest" or "uncompressedDigest" fields on files',
];

await t.test('UpdateImage: what is refused', (test) =>
    runErrorRows(test, client, [
        post(updates(UNKNOWN), { name: 'x' }, notFound(`image ${UNKNOWN} not found`)),
        post(updates(fresh), undefined, missingBody),
        post(updates(fresh), 5, missingBody),
        post(updates(fresh), null, notObject),
        post(updates(fresh), [1], notObject),
        post(updates(fresh), {}, { ...nothing, errors: [] }),
        post(updates(fresh), [], { ...nothing, errors: [] }),
        post(
            updates(published),
            { zzz: 1, type: 'zvol', uuid: UNKNOWN, v: 2, files: [], state: 'failed', name: 'a!' },
            badUpdate(never('zzz'), never('type'), never('v'), unactivated('files'), unactivated('uuid')),
            'operator',
        ),
        post(
            `${updates(published)}&account=${vader}`,
            {
                uuid: UNKNOWN,
                origin: UNKNOWN,
                files: [],
                traits: {},
                billing_tags: [],
                error: {},
                state: 'active',
                x: 1,
            },
            badUpdate(
                never('x'),
                ...['state', 'error', 'billing_tags', 'traits', 'files', 'origin', 'uuid'].map(byOperators),
            ),
        ),
        post(`${updates(published)}&account=`, { state: 'failed' }, badUpdate(byOperators('state'))),
        ...['disabled', 'activated', 'published_at', 'icon', 'urn'].map((field) =>
            post(updates(fresh), { [field]: 1 }, badUpdate(never(field))),
        ),
        post(updates(fresh), { files: [{ digest: 'x' }] }, badUpdate(oneFile), 'no file'),
        post(updates(withFile), { files: 'x' }, badUpdate(oneFile)),
        post(updates(withFile), { files: [] }, badUpdate(oneFile)),
        post(updates(withFile), { files: [{}, {}] }, badUpdate(oneFile)),
        post(
            updates(withFile),
            { files: [{ sha1: 'x', digest: 'd', size: 1 }] },
            badUpdate(onlyDigests, onlyDigests),
        ),
        post(
            updates(fresh),
            { channels: ['dev'] },
            invalidImage([
                'channels',
                'Invalid',
                'channels is invalid with an IMGAPI not configured for channels',
            ]),
        ),
        post(updates(fresh), { name: null, owner: null }, invalidImage(missing('owner'), missing('name'))),
        post(
            updates(fresh),
            { public: true },
            invalidImage(['public', 'Invalid', 'public images are not allowed on a private Images API']),
        ),
        post(updates(fresh), { uuid: published }, uuidExists(published)),
        post(`${updates(published)}&account=${luke}`, { name: 'x' }, notOwner(luke, published)),
        post(`${updates(published)}&account=${emperor}`, { name: 'x' }, notFound('image not found')),
        post(`${updates(published)}&account=foo`, { name: 'x' }, badAccount('foo')),
        {
            ...post(updates(UNKNOWN), undefined, {
                status: 400,
                code: 'BadDigest',
                message: `Content-MD5 'x' didn't match 'mZFLkyvTelC5g8XnyQrpOw=='`,
            }),
            name: 'a broken body wins over a missing image',
            body: '{}',
            headers: { 'content-type': 'application/json', 'content-md5': 'x' },
        },
    ]),
);

await t.test('UpdateImage: what changes', async (test) => {
    const uuid = await publishImage(client, { tags: { a: 'b' }, homepage: 'http://a.example/' });
    const update = async (json: unknown, query = ''): Promise<Record<string, unknown>> => {
        const answer = await client.post(`${updates(uuid)}${query}`, json);
        test.equal(answer.status, 200, answer.text);
        test.equal((await guest.get(`/images/${uuid}`)).text, answer.text, 'GetImage gives the same bytes');
        test.equal(answer.header('etag'), sha1Hex(JSON.stringify(answer.json)));
        return answer.document;
    };
    let image = await update({
        version: '2.0.0',
        description: 'd',
        tags: { s: 'x', n: 1, t: true, f: false },
    });
    test.strictSame(image['tags'], { s: 'x', n: 1, t: true, f: false }, 'tags are replaced as a whole');
    test.strictSame([image['version'], image['description']], ['2.0.0', 'd']);
    test.strictSame((await client.get('/images?tag.n=1&tag.t=true')).uuids, [uuid], 'and found');
    image = await update(
        { tags: null, homepage: null, acl: luke, generate_passwords: 'true' },
        `&account=${vader}`,
    );
    test.strictSame(
        ['tags', 'homepage', 'acl', 'generate_passwords'].map((name) => image[name]),
        [undefined, undefined, [luke], true],
        'null deletes',
    );
    test.strictSame((await client.get('/images?tag.n=1')).uuids, [], 'not found any more');
    image = await update({ state: 'failed', error: { code: 'X', message: 'y' }, traits: { a: ['b'] } });
    test.strictSame(
        [image['state'], image['error'], image['traits']],
        ['failed', { code: 'X', message: 'y' }, { a: ['b'] }],
    );
    image = await update({ state: 'active', error: null });
    test.strictSame([image['state'], image['error']], ['active', undefined]);

    const digests = { digest: 'sha256:1', uncompressedDigest: 'sha256:2' };
    const file = (await client.post(updates(withFile), { files: [digests] })).document['files'] as object[];
    test.match(file, [{ ...digests, compression: 'gzip' }], 'digests of a file');
    const again = await client.post(updates(withFile), { files: [{ ...file[0], digest: 'sha256:3' }] });
    test.equal(again.status, 200, 'values as they are may be sent');
    const origin = await client.post(updates(withFile), { origin: UNKNOWN });
    test.equal(origin.document['origin'], UNKNOWN, 'the existence of an origin is not checked');
});

await t.test('UpdateImage: another uuid', async (test) => {
    const uuid = await createImage(client);
    const file = gzipFile('moves');
    await uploadFile(client, uuid, file);
    await client.put(`/images/${uuid}/icon`, PNG, { headers: { 'content-type': 'image/png' } });
    const target = 'e0000000-0000-4000-8000-00000000000b';
    const moved = await client.post(updates(uuid), { uuid: target, name: 'moved' });
    test.strictSame([moved.status, moved.document['uuid'], moved.document['name']], [200, target, 'moved']);
    expectError(
        test,
        await guest.get(`/images/${uuid}`),
        notFound(`image ${uuid} not found`),
        'the old uuid',
    );
    test.ok((await guest.get(`/images/${target}/file`)).body.equals(file), 'the file moved');
    test.ok((await guest.get(`/images/${target}/icon`)).body.equals(PNG), 'the icon moved');
    const empty = await createImage(client);
    const target2 = 'e0000000-0000-4000-8000-00000000000c';
    test.equal((await client.post(updates(empty), { uuid: target2 })).status, 200, 'without a file');
    const same = await client.post(updates(target2), { uuid: target2 });
    test.equal(same.status, 200, 'its own uuid is no change');
});

const precondition = (message: string): ExpectedError => ({
    status: 412,
    code: 'PreconditionFailed',
    message,
});

await t.test('conditions on changes', async (test) => {
    const uuid = await publishImage(client);
    const tag = async (): Promise<string> => (await guest.get(`/images/${uuid}`)).header('etag') ?? '';
    const before = await tag();
    for (const action of ['activate', 'enable', 'disable', 'update', 'channel-add', 'nope', '']) {
        const path = `/images/${uuid}?action=${action}`;
        const mismatch = await client.post(path, { name: 'x' }, { headers: { 'if-match': 'abcdef' } });
        expectError(test, mismatch, precondition(`if-match 'abcdef' didn't match etag '${before}'`), action);
        const match = await client.post(path, { name: 'x' }, { headers: { 'if-none-match': before } });
        expectError(test, match, precondition(`if-none-match '${before}' matched etag '${before}'`), action);
        const any = await client.post(path, { name: 'x' }, { headers: { 'if-none-match': '*' } });
        expectError(test, any, precondition(`if-none-match '*' matched etag '${before}'`), action);
    }
    test.equal(await tag(), before, 'nothing changed');
    const first = await client.post(updates(uuid), { name: 'one' }, { headers: { 'if-match': before } });
    test.equal(first.status, 200, 'the current tag');
    const second = await client.post(
        updates(uuid),
        { name: 'two' },
        { headers: { 'if-match': first.header('etag') ?? '' } },
    );
    test.equal(second.document['name'], 'two', 'the tag of the answer before');
    const late = await client.post(updates(uuid), { name: 'three' }, { headers: { 'if-match': before } });
    test.equal(late.status, 412, 'an old tag');
    const acl = await client.post(`/images/${uuid}/acl`, [luke], { headers: { 'if-match': 'x' } });
    test.equal(acl.status, 200, 'no conditions on the ACL');

    const racers = await Promise.all(
        ['a', 'b', 'c', 'd'].map(async (name) =>
            client.post(updates(uuid), { name }, { headers: { 'if-match': acl.header('etag') ?? '' } }),
        ),
    );
    const statuses = racers.map((answer) => answer.status).sort();
    test.strictSame(statuses, [200, 412, 412, 412], 'of several at once one wins');
});

await t.test('activate, enable, disable', async (test) => {
    const act = (uuid: string, action: string, query = ''): ReturnType<HttpClient['post']> =>
        client.post(`/images/${uuid}?action=${action}${query}`, {});
    const uuid = await createImage(client);
    expectError(
        test,
        await act(uuid, 'activate'),
        {
            status: 422,
            code: 'NoActivationNoFile',
            message: `image "${uuid}" cannot be activated: it has no file`,
        },
        'no file',
    );
    const disabled = (await act(uuid, 'disable')).document;
    test.strictSame([disabled['state'], disabled['disabled']], ['unactivated', true]);
    await uploadFile(client, uuid, gzipFile('x'));
    const activated = await act(uuid, 'activate');
    test.strictSame(
        [activated.status, activated.document['state']],
        [200, 'disabled'],
        'activated while disabled',
    );
    test.match(activated.document['published_at'], ISO);
    test.equal(activated.header('etag'), sha1Hex(JSON.stringify(activated.json)));
    for (const action of ['enable', 'enable', 'disable', 'disable']) {
        const answer = await act(uuid, action);
        const state = action === 'enable' ? 'active' : 'disabled';
        test.strictSame(
            [answer.status, answer.document['state'], answer.document['disabled']],
            [200, state, action === 'disable'],
            action,
        );
        test.equal(answer.document['published_at'], activated.document['published_at']);
    }
    await runErrorRows(test, client, [
        post(
            `/images/${uuid}?action=activate`,
            {},
            {
                status: 422,
                code: 'ImageAlreadyActivated',
                message: `image "${uuid}" is already activated`,
            },
        ),
        ...['activate', 'enable', 'disable'].flatMap((action) => [
            post(`/images/${published}?action=${action}&account=${luke}`, {}, notOwner(luke, published)),
            post(`/images/${published}?action=${action}&account=${emperor}`, {}, notFound('image not found')),
            post(`/images/${UNKNOWN}?action=${action}`, {}, notFound(`image ${UNKNOWN} not found`)),
        ]),
    ]);
    const replies = await Promise.all(Array.from({ length: 4 }, () => act(withFile, 'activate')));
    test.strictSame(
        replies.map((answer) => answer.status).sort(),
        [200, 422, 422, 422],
        'activated once only',
    );
});

await t.test('missing and unknown actions', (test) => {
    const path = `/images/${fresh}`;
    const none = invalidParameter('no image "action" was specified', ['action', 'MissingParameter']);
    return runErrorRows(test, client, [
        post(path, {}, none),
        post(`${path}?action=`, {}, none),
        post(`${path}?action=nope`, {}, badAction('nope')),
        post(`${path}?action=constructor`, {}, badAction('constructor')),
        post(`${path}?action=channel-add`, { channel: 'dev' }, badAction('channel-add')),
        post(`${path}?action=nope&account=${emperor}`, {}, notFound('image not found')),
        post(`/images/${published}?action=nope&account=${luke}`, {}, notOwner(luke, published)),
        post(`/images/${UNKNOWN}?action=nope`, {}, notFound(`image ${UNKNOWN} not found`)),
        post(`${path}?action=update&action=update`, {}, repeated('action')),
    ]);
});
