// CreateImage and AdminImportImage (http-api 3.3-3.6): every check in its order, with its words.
import t from 'tap';
import {
    NOBODY,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    manifest,
    publishImage,
    sha1Hex,
    uploadFile,
    type Fixture,
} from '../helpers/images.js';
import {
    OPERATOR_ONLY,
    badAccount,
    badAction,
    extraParameters,
    invalidImage,
    missing,
    post,
    uuidExists,
    invalidParameter,
    notBoolean,
    notFound,
    repeated,
    runErrorRows,
    validationFailed,
    type Entry,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
const CREATING = 'c0000000-0000-4000-8000-000000000003';
const placeholder: Fixture = {
    uuid: CREATING,
    name: 'being-made',
    owner: luke,
    state: 'creating',
    more: { type: 'null', os: 'null', expires_at: '2999-01-01T00:00:00.000Z' },
};
const [{ client, guest }, publicSide] = await Promise.all([
    startServer(t, {}, [placeholder]),
    startServer(t, { mode: 'public' }),
]);
const published = await publishImage(client, { acl: [luke], tags: { role: 'db' } });
const fresh = await createImage(client);

const noOrigin = (uuid: string): ExpectedError => ({
    status: 422,
    code: 'OriginDoesNotExist',
    message: `origin image "${uuid}" does not exist`,
});
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
        post(
            '/images',
            manifest({ nonsense: 1, uuid: UNKNOWN, name: 5 }),
            extraParameters('nonsense', 'uuid'),
        ),
        post(
            '/images',
            manifest({ published_at: '2012-01-01T00:00:00Z', urn: 'x' }),
            extraParameters('published_at', 'urn'),
        ),
        post(
            '/images',
            manifest({ nic_driver: 'virtio', image_size: 5 }),
            extraParameters('nic_driver', 'image_size'),
        ),
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
    const words = await client.post(
        '/images',
        manifest({ name: 'white space', description: 'gr\u00fc\u00df \u{1f600}' }),
    );
    test.equal(words.header('content-length'), String(words.body.length), 'lengths are of bytes');
    test.equal(words.header('etag'), sha1Hex(JSON.stringify(words.json)));
    for (const name of ['white+space', 'white%20space']) {
        const found = await client.get(`/images?state=unactivated&name=${name}`);
        test.strictSame(found.uuids, [words.document['uuid']], name);
    }
    const text = JSON.stringify(manifest()).replace(
        /}$/,
        ',"tags":{"__proto__":"x","constructor":"y","1":true}}',
    );
    const odd = await client.post('/images', undefined, {
        body: text,
        headers: { 'content-type': 'application/json' },
    });
    test.strictSame(
        Object.entries(odd.document['tags'] ?? {}),
        [
            ['1', true],
            ['__proto__', 'x'],
            ['constructor', 'y'],
        ],
        'tags named like properties of every object are plain data',
    );
    const byTag = await client.get('/images?state=all&tag.__proto__=x&tag.constructor=y');
    test.strictSame(byTag.uuids, [odd.document['uuid']], 'and can be searched');
    const child = await client.post('/images', manifest({ origin: fresh }));
    test.equal(child.document['origin'], fresh, 'the state of an origin does not matter');
});

const IMPORT = 'd0000000-0000-4000-8000-00000000000a';
const importPath = `/images/${IMPORT}?action=import`;
const mismatch = (body: string): ExpectedError =>
    invalidParameter(`URL UUID, "${IMPORT}" and body UUID, "${body}" do not match`, ['uuid', 'Invalid']);
await t.test('AdminImportImage: what is refused', (test) =>
    runErrorRows(test, client, [
        post(`${importPath}&account=${vader}`, manifest(), OPERATOR_ONLY),
        post(`${importPath}&account=foo`, manifest(), OPERATOR_ONLY),
        post(importPath, undefined, mismatch('undefined')),
        post(importPath, [], mismatch('undefined')),
        post(importPath, manifest({ uuid: UNKNOWN }), mismatch(UNKNOWN)),
        post(
            `${importPath}&skip_owner_check=x`,
            manifest({ uuid: IMPORT }),
            notBoolean('skip_owner_check', 'x'),
        ),
        post(
            `/images/${published}?action=import`,
            manifest({ uuid: published, name: 5 }),
            uuidExists(published),
        ),
        post(importPath, manifest({ uuid: IMPORT, origin: UNKNOWN, nonsense: 1 }), noOrigin(UNKNOWN)),
        post(
            importPath,
            manifest({ uuid: IMPORT, published_at: 5, nonsense: 1 }),
            invalidParameter('invalid "published_at"', ['published_at', 'Invalid']),
        ),
        post(
            importPath,
            manifest({ uuid: IMPORT, activated: true, x: 1 }),
            extraParameters('activated', 'x'),
        ),
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

await t.test('a public server takes public images only', async (test) => {
    const inPublic: Entry = ['public', 'Invalid', 'private images are not allowed on a public Images API'];
    const uuid = await createImage(publicSide.client, { public: true });
    await runErrorRows(test, publicSide.client, [
        post('/images', manifest(), invalidImage(inPublic)),
        post('/images', manifest({ public: false }), invalidImage(inPublic)),
        post(`/images/${uuid}?action=update`, { public: false }, invalidImage(inPublic)),
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
