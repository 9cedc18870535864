// Create, import, update, activate, enable, ACL, change-stor, delete (http-api 3.3-3.6, 3.13-3.20): every
// check in its order, with its words.
import { existsSync } from 'node:fs';
import t from 'tap';
import type { HttpClient } from '../helpers/http-client.js';
import {
    NOBODY,
    PNG,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    imageDirectory,
    manifest,
    publishImage,
    sha1Hex,
    uploadFile,
    type Fixture,
} from '../helpers/images.js';
import {
    badAccount,
    expectError,
    invalidParameter,
    notBoolean,
    notFound,
    repeated,
    runErrorRows,
    validationFailed,
    type Entry,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const CREATING = 'c0000000-0000-4000-8000-000000000003';
const placeholder: Fixture = {
    uuid: CREATING,
    name: 'being-made',
    owner: luke,
    state: 'creating',
    more: { type: 'null', os: 'null', expires_at: '2999-01-01T00:00:00.000Z' },
};

const [{ server, client, guest }, publicSide] = await Promise.all([
    startServer(t, {}, [placeholder]),
    startServer(t, { mode: 'public' }),
]);
const published = await publishImage(client, { acl: [luke], tags: { role: 'db' } });
const fresh = await createImage(client);

const post = (path: string, json: unknown, expected: ExpectedError, name = ''): ErrorRow => ({
    name: `POST ${path} ${JSON.stringify(json) ?? ''} ${name}`,
    method: 'POST',
    path,
    ...(json === undefined ? {} : { json }),
    ...expected,
});
const invalidImage = (...entries: readonly Entry[]): ExpectedError =>
    validationFailed(`invalid image data: ${entries.map(([field]) => field).join(', ')}`, ...entries);
const extra = (...names: readonly string[]): ExpectedError =>
    invalidParameter(
        `invalid extra parameters: ${names.map((name) => `"${name}"`).join(', ')}`,
        ...names.map((name): Entry => [name, 'Invalid']),
    );
const badAction = (action: string): ExpectedError =>
    invalidParameter(`"${action}" is not a valid action`, ['action', 'Invalid']);
const notOwner = (account: string, uuid: string): ExpectedError => ({
    status: 422,
    code: 'NotImageOwner',
    message: `account ${account} is not the owner of image ${uuid}`,
});
const noOrigin = (uuid: string): ExpectedError => ({
    status: 422,
    code: 'OriginDoesNotExist',
    message: `origin image "${uuid}" does not exist`,
});
const operatorOnly: ExpectedError = {
    status: 403,
    code: 'OperatorOnly',
    message: 'this endpoint may only be called by an operator',
};
const missing = (field: string): Entry => [field, 'MissingParameter'];

const NAME_CHARS =
    'image name has invalid characters (only alpha-numeric characters and " ", ".", "-", "_" and "/" are allowed)';

await t.test('CreateImage: what is refused', (test) =>
    runErrorRows(test, client, [
        post('/images?action=', manifest(), badAction('')),
        post('/images?action=nope', manifest(), badAction('nope')),
        post('/images?action=constructor', undefined, badAction('constructor')),
        post('/images?account=foo', manifest({ owner: undefined }), badAccount('foo')),
        post(
            `/images?account=${luke}`,
            manifest(),
            invalidParameter(`invalid owner: given owner, "${vader}", does not match account, "${luke}"`, [
                'owner',
                'Invalid',
            ]),
        ),
        post(
            '/images',
            manifest({ state: 'active', nonsense: 1 }),
            validationFailed('invalid image data: "state"', [
                'state',
                'NotAllowed',
                'Parameter cannot be set',
            ]),
        ),
        post('/images', manifest({ origin: UNKNOWN, nonsense: 1 }), noOrigin(UNKNOWN)),
        post('/images', manifest({ origin: 'foo' }), noOrigin('foo')),
        post(`/images?account=${emperor}`, manifest({ owner: emperor, origin: fresh }), noOrigin(fresh)),
        post('/images', manifest({ nonsense: 1, uuid: UNKNOWN, name: 5 }), extra('nonsense', 'uuid')),
        post(
            '/images',
            manifest({ published_at: '2012-01-01T00:00:00Z', urn: 'x' }),
            extra('published_at', 'urn'),
        ),
        post('/images', manifest({ nic_driver: 'virtio', image_size: 5 }), extra('nic_driver', 'image_size')),
        post('/images', {}, invalidImage(...['owner', 'name', 'version', 'type', 'os'].map(missing))),
        post(
            '/images',
            { v: 2, owner: 'foo', name: 'a!', version: 5, public: true, type: 'x', os: 'y' },
            invalidImage(
                ['owner', 'Invalid'],
                ['name', 'Invalid', NAME_CHARS],
                [
                    'version',
                    'Invalid',
                    'image version has invalid characters (only alpha-numeric characters and ".", "-", "_" and "/" are allowed)',
                ],
                ['public', 'Invalid', 'public images are not allowed on a private Images API'],
                [
                    'type',
                    'Invalid',
                    'invalid image type, "x", must be one of: zone-dataset, zvol, lx-dataset, lxd, docker, other',
                ],
                [
                    'os',
                    'Invalid',
                    'invalid image os, "y", must be one of: smartos, linux, windows, bsd, illumos, other',
                ],
            ),
        ),
        post(
            '/images',
            manifest({ type: 'zvol' }),
            invalidImage(...['nic_driver', 'disk_driver', 'cpu_type', 'image_size'].map(missing)),
        ),
        post(
            '/images',
            manifest({ public: 'maybe' }),
            invalidImage(['public', 'Invalid', 'invalid value for "public": "maybe"']),
        ),
        post(
            '/images',
            manifest({ acl: [luke, 'foo'] }),
            invalidImage(['acl', 'Invalid', 'invalid image "acl" (item 1 is not a UUID): foo']),
        ),
        post(
            '/images',
            manifest({ tags: [] }),
            invalidImage(['tags', 'Invalid', 'invalid image "tags" (not an object): []']),
        ),
        post(
            '/images',
            manifest({ requirements: { min_ram: 2, max_ram: 1, foo: 1 } }),
            invalidImage(
                ['requirements.max_ram', 'Invalid', 'min_ram must be <= max_ram, but:min_ram=2, max_ram=1'],
                ['foo', 'Invalid', 'unsupported requirement "foo"'],
            ),
        ),
        post('/images?account=a&account=b', manifest(), repeated('account')),
    ]),
);

await t.test('CreateImage: what is stored', async (test) => {
    const answer = await client.post(
        '/images',
        manifest({
            files: [{ sha1: 'x' }],
            channels: ['dev'],
            icon: true,
            disabled: 'true',
            description: '',
            acl: luke,
            generate_passwords: 'false',
            tags: { a: 1, b: 'two' },
        }),
    );
    test.equal(answer.status, 200);
    const { uuid, ...rest } = answer.document;
    test.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    test.strictSame(rest, {
        v: 2,
        owner: vader,
        name: 'alderaan',
        version: '1.0.0',
        state: 'unactivated',
        disabled: true,
        public: false,
        type: 'zone-dataset',
        os: 'smartos',
        files: [],
        acl: [luke],
        generate_passwords: false,
        tags: { a: 1, b: 'two' },
    });
    test.equal(answer.header('etag'), sha1Hex(JSON.stringify(answer.json)));
    const get = await guest.get(`/images/${String(uuid)}`);
    test.equal(get.text, answer.text, 'GetImage gives the same bytes');
    const asAccount = await client.post(`/images?account=${luke}`, manifest({ owner: '' }));
    test.equal(asAccount.document['owner'], luke, 'the owner of a call for an account');
    const noVersion = await client.post('/images', manifest({ v: undefined }));
    test.equal(noVersion.document['v'], 2, 'v is 2 by default');
    const child = await client.post('/images', manifest({ origin: fresh }));
    test.equal(child.document['origin'], fresh, 'the state of an origin does not matter');
});

const IMPORT = 'd0000000-0000-4000-8000-00000000000a';
const importPath = `/images/${IMPORT}?action=import`;
const mismatch = (body: string): ExpectedError =>
    invalidParameter(`URL UUID, "${IMPORT}" and body UUID, "${body}" do not match`, ['uuid', 'Invalid']);
const exists = (uuid: string): ExpectedError => ({
    status: 409,
    code: 'ImageUuidAlreadyExists',
    message: `image uuid "${uuid}" already exists`,
});

await t.test('AdminImportImage: what is refused', (test) =>
    runErrorRows(test, client, [
        post(`${importPath}&account=${vader}`, manifest(), operatorOnly),
        post(`${importPath}&account=foo`, manifest(), operatorOnly),
        post(importPath, undefined, mismatch('undefined')),
        post(importPath, [], mismatch('undefined')),
        post(importPath, manifest({ uuid: UNKNOWN }), mismatch(UNKNOWN)),
        post(
            `${importPath}&skip_owner_check=x`,
            manifest({ uuid: IMPORT }),
            notBoolean('skip_owner_check', 'x'),
        ),
        post(`/images/${published}?action=import`, manifest({ uuid: published, name: 5 }), exists(published)),
        post(importPath, manifest({ uuid: IMPORT, origin: UNKNOWN, nonsense: 1 }), noOrigin(UNKNOWN)),
        post(
            importPath,
            manifest({ uuid: IMPORT, published_at: 5, nonsense: 1 }),
            invalidParameter('invalid "published_at"', ['published_at', 'Invalid']),
        ),
        post(importPath, manifest({ uuid: IMPORT, activated: true, x: 1 }), extra('activated', 'x')),
        post(
            importPath,
            manifest({ uuid: IMPORT, published_at: 'yesterday' }),
            invalidImage([
                'published_at',
                'Invalid',
                'published_at date not in "YYYY-MM-DDTHH:MM:SS(.SSS)Z" format',
            ]),
        ),
        post(importPath, manifest({ uuid: IMPORT, v: undefined }), invalidImage(missing('v'))),
        post('/images/foo?action=import', manifest(), notFound('/images/foo?action=import does not exist')),
    ]),
);

await t.test('AdminImportImage: what is stored', async (test) => {
    const source = {
        ...manifest({ uuid: IMPORT, published_at: '2012-10-11T12:13:14Z', urn: 'sdc:sdc:x:1', icon: true }),
        state: 'active',
        disabled: false,
        files: [{ sha1: 'x', size: 1, compression: 'gzip' }],
        channels: ['x'],
    };
    const answer = await client.post(`${importPath}&skip_owner_check=`, source);
    test.equal(answer.status, 200, answer.text);
    const image = answer.document;
    test.strictSame(
        ['uuid', 'owner', 'state', 'published_at', 'urn', 'files', 'icon', 'channels'].map(
            (name) => image[name],
        ),
        [IMPORT, NOBODY, 'unactivated', '2012-10-11T12:13:14Z', 'sdc:sdc:x:1', [], undefined, undefined],
    );
    test.equal(answer.header('etag'), sha1Hex(JSON.stringify(image)));
    await uploadFile(client, IMPORT, gzipFile('imported'));
    const active = await client.post(`/images/${IMPORT}?action=activate`, {});
    test.strictSame(
        [active.document['state'], active.document['published_at']],
        ['active', '2012-10-11T12:13:14Z'],
        'activation keeps the time of publication',
    );
    test.equal((await client.delete(`/images/${IMPORT}`)).status, 204);

    const old = {
        uuid: IMPORT,
        creator_uuid: vader,
        creator_name: 'sdc',
        restricted_to_uuid: luke,
        name: 'fauxubuntu',
        version: '1.0.0',
        type: 'zvol',
        os: 'linux',
        created_at: '2012-10-11T12:13Z',
        updated_at: '2012-10-11T12:13:14Z',
        image_size: '10240',
        nic_driver: 'virtio',
        disk_driver: 'virtio',
        cpu_type: 'host',
        files: [{ path: 'x', url: 'y', sha1: 'z' }],
    };
    const upgraded = (await client.post(importPath, old)).document;
    test.strictSame(
        ['v', 'owner', 'public', 'acl', 'published_at', 'image_size', 'disk_driver', 'created_at'].map(
            (name) => upgraded[name],
        ),
        [2, NOBODY, false, [luke], '2012-10-11T12:13:00Z', 10240, 'virtio', undefined],
        'a version 1 manifest is upgraded',
    );
    test.equal((await client.delete(`/images/${IMPORT}`)).status, 204);

    const over = await client.post(
        `/images/${CREATING}?action=import`,
        manifest({ uuid: CREATING, name: 'made' }),
    );
    test.strictSame(
        [over.status, over.document['name'], over.document['state']],
        [200, 'made', 'unactivated'],
    );
    test.ok(over.header('etag'), 'a replaced placeholder has a tag');
});

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
        post(updates(fresh), { uuid: published }, exists(published)),
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
        post(path(published, `&stor=local&account=${vader}`), {}, operatorOnly),
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

await t.test('a public server takes public images only', async (test) => {
    const inPublic: Entry = ['public', 'Invalid', 'private images are not allowed on a public Images API'];
    const uuid = await createImage(publicSide.client, { public: true });
    await runErrorRows(test, publicSide.client, [
        post('/images', manifest(), invalidImage(inPublic)),
        post('/images', manifest({ public: false }), invalidImage(inPublic)),
        post(updates(uuid), { public: false }, invalidImage(inPublic)),
    ]);
    const imported = await publicSide.client.post(
        `/images/${IMPORT}?action=import`,
        manifest({ uuid: IMPORT, public: true, billing_tags: ['xl'], traits: { ssd: true } }),
    );
    test.strictSame(
        ['owner', 'billing_tags', 'traits'].map((name) => imported.document[name]),
        [NOBODY, undefined, undefined],
    );
});
