import t from 'tap';
import { deepFreeze } from '#lib/manifest/freeze.js';
import { readOldFormats } from '#lib/manifest/old-formats.js';
import { toApiManifest } from '#lib/manifest/serialize.js';
import type { JsonObject, RawImage } from '#lib/manifest/types.js';
import {
    validateDcManifest,
    validateMinimalManifest,
    validatePrivateManifest,
    validatePublicManifest,
    validateRaw,
} from '#lib/manifest/validate.js';
import {
    DC_CHANNELS,
    FILE,
    OTHER,
    OWNER,
    PUBLIC,
    STORED,
    UUID,
    refusal,
    stored,
    without,
} from '../helpers/manifests.js';

void t.test('documents', async (t) => {
    const full: JsonObject = {
        v: 2,
        owner: OWNER,
        name: 'win 2019/std',
        version: '20.1.0+b7',
        type: 'zvol',
        os: 'windows',
        public: false,
        disabled: false,
        activated: true,
        state: 'active',
        acl: [OTHER],
        description: 'd',
        homepage: 'https://h.example/',
        eula: 'https://e.example/',
        requirements: {
            brand: 'bhyve',
            bootrom: 'uefi',
            min_ram: 2048,
            networks: [{ name: 'net0', description: 'public' }],
        },
        users: [{ name: 'administrator' }],
        traits: { ssd: true, hw: ['r1'] },
        tags: ['role=db', 'n=5', 'cfg='],
        tagsObj: { role: 'db', n: 5, cfg: { a: 1 } },
        billing_tags: ['windows'],
        generate_passwords: true,
        origin: '01b2c898-945f-11e1-a523-af1afbe22822',
        channels: ['dev', 'release'],
        nic_driver: 'virtio',
        disk_driver: 'virtio',
        cpu_type: 'host',
        image_size: 81920,
        uuid: UUID,
        published_at: '2019-10-01T12:00:00.000Z',
        urn: 'sdc:admin:win2019:20.1.0',
        files: [{ ...FILE, mtime: '2019-10-01T12:03:00.123Z', dataset_guid: '121', sha256: 'x' }],
        icon: { sha1: 'x', size: 4, contentType: 'image/png', contentMD5: 'm', stor: 'local' },
        expires_at: '2019-10-01T12:00:00.000Z',
        x_imgapi: { import_id: UUID },
    };
    const expected = {
        v: 2,
        uuid: UUID,
        owner: OWNER,
        name: 'win 2019/std',
        version: '20.1.0+b7',
        state: 'active',
        disabled: false,
        public: false,
        published_at: '2019-10-01T12:00:00.000Z',
        type: 'zvol',
        os: 'windows',
        files: [{ sha1: FILE.sha1, size: 4, compression: 'gzip', dataset_guid: '121' }],
        acl: [OTHER],
        description: 'd',
        homepage: 'https://h.example/',
        eula: 'https://e.example/',
        icon: true,
        urn: 'sdc:admin:win2019:20.1.0',
        requirements: full.requirements,
        users: [{ name: 'administrator' }],
        generate_passwords: true,
        origin: '01b2c898-945f-11e1-a523-af1afbe22822',
        nic_driver: 'virtio',
        disk_driver: 'virtio',
        cpu_type: 'host',
        image_size: 81920,
        tags: { role: 'db', n: 5, cfg: { a: 1 } },
        billing_tags: ['windows'],
        traits: { ssd: true, hw: ['r1'] },
        channels: ['dev', 'release'],
    };
    const raw = validateRaw(full, DC_CHANNELS, 'lenient');
    const text = (fields: object, form: object = {}): string =>
        JSON.stringify(
            toApiManifest(fields as RawImage, {
                mode: 'dc',
                version2: true,
                inclAdminFields: false,
                ...form,
            }),
        );
    t.equal(text(raw), JSON.stringify(expected), 'every key in its place');
    t.equal(text(raw, { version2: false }), JSON.stringify(without(expected, 'channels')));
    t.equal(text(raw, { mode: 'public' }), JSON.stringify(without(expected, 'billing_tags', 'traits')));
    t.match(JSON.parse(text(raw, { inclAdminFields: true })), { files: [{ stor: 'local' }] });

    const least = stored({ v: '2', disabled: 'true', public: 'true', activated: 'false', acl: [] });
    t.equal(
        text(least),
        JSON.stringify({
            v: 2,
            uuid: UUID,
            owner: OWNER,
            name: 'n',
            version: '1',
            state: 'unactivated',
            disabled: true,
            public: true,
            type: 'zone-dataset',
            os: 'smartos',
            files: [],
        }),
    );
    t.equal(least.disabled, 'true', 'the record keeps its text');

    const digest = `sha256:${'a'.repeat(64)}`;
    const cases: readonly (readonly [JsonObject, object | string])[] = [
        [{ generate_passwords: false }, { generate_passwords: false }],
        [{ generate_passwords: 'false' }, { generate_passwords: false }],
        [{ tagsObj: {} }, { tags: {} }],
        [{ inherited_directories: [] }, { inherited_directories: [] }],
        [{ error: { message: 'x' }, state: 'failed' }, { error: { message: 'x' } }],
        [{ error: { message: 'x' } }, 'error'],
        [{ billing_tags: [] }, 'billing_tags'],
        [{ traits: {} }, 'traits'],
        [{ image_size: 0 }, 'image_size'],
        [{ description: '' }, 'description'],
        [{ published_at: '' }, 'published_at'],
        [{ type: 'null', os: 'null', state: 'failed' }, 'type'],
        [{ icon: false }, 'icon'],
        [
            { files: [{ ...FILE, digest, uncompressedDigest: digest }] },
            {
                files: [
                    { sha1: FILE.sha1, size: 4, compression: 'gzip', digest, uncompressedDigest: digest },
                ],
            },
        ],
        [
            { files: [{ ...FILE, uncompressedDigest: 'sha256:undefined' }] },
            { files: [{ sha1: FILE.sha1, size: 4, compression: 'gzip' }] },
        ],
    ];
    for (const [fields, expectation] of cases) {
        const document = JSON.parse(text(stored(fields))) as Record<string, unknown>;
        if (typeof expectation === 'string') {
            t.notOk(Object.hasOwn(document, expectation), `${expectation} omitted`);
        } else {
            for (const [key, value] of Object.entries(expectation)) {
                t.strictSame(document[key], value, JSON.stringify(fields));
            }
        }
    }
});

void t.test('normalisation on read', async (t) => {
    const raw = validateRaw(
        {
            ...STORED,
            name: 5,
            version: 1.5,
            acl: OTHER,
            billing_tags: 'x',
            tags: ['a=b=c', 'd='],
            objectclass: 'sdcimage',
            generate_passwords: 'true',
        },
        PUBLIC,
        'lenient',
    );
    t.match(raw, {
        name: '5',
        version: '1.5',
        acl: [OTHER],
        billing_tags: ['x'],
        tagsObj: { a: 'b=c', d: '' },
        objectclass: 'sdcimage',
        generate_passwords: 'true',
    });
    t.strictSame(validateRaw(without(STORED, 'acl'), PUBLIC, 'lenient').acl, []);
    t.ok(Object.isFrozen(raw) && Object.isFrozen(raw.acl) && Object.isFrozen(raw.tagsObj));
    const input = { ...STORED, acl: OTHER };
    validateRaw(input, PUBLIC, 'lenient');
    t.equal(input.acl, OTHER, 'the input stays');
    t.notOk(Object.isFrozen(input));
    t.match(stored({ requirements: [1] }), { requirements: [1] });
    t.match(stored({ requirements: true }), { requirements: true });
    t.match(
        refusal(() => stored({ requirements: null })),
        { errors: [{ field: 'requirements' }] },
    );
    t.match(
        refusal(() => stored({ description: null })),
        {
            errors: [{ field: 'description', message: 'invalid image "description" (not a string): null' }],
        },
    );
    t.match(
        refusal(() => stored({ name: null })),
        { errors: [{ field: 'name' }] },
    );
    t.match(
        refusal(() => stored({ tags: [5] })),
        {
            errors: [{ message: 'invalid raw image "tags": not an array of strings' }],
        },
    );
    t.strictSame(stored({ owner: [OWNER], acl: [[OTHER]] }).owner, OWNER, 'what passes as text becomes text');
    t.strictSame(stored({ acl: [[OTHER]] }).acl, [OTHER]);
    t.notOk(Object.hasOwn(stored({ billing_tags: null, tagsObj: null }), 'tagsObj'));
});

void t.test('old formats', async (t) => {
    const read = (fields: Record<string, unknown>, guess?: Parameters<typeof readOldFormats>[1]): RawImage =>
        validateRaw(readOldFormats(deepFreeze({ ...STORED, ...fields }), guess), PUBLIC, 'lenient');
    const fresh = {
        ...STORED,
        tags: ['a=b'],
        tagsObj: { a: 'b' },
        files: [FILE],
        requirements: { brand: 'x' },
    };
    t.equal(readOldFormats(fresh), fresh, 'new records are not copied');

    const noCompression = without(FILE, 'compression');
    t.match(read({ files: [noCompression] }), { files: [{ ...noCompression, compression: 'bzip2' }] });
    const asked: number[] = [];
    const guess = (index: number): 'xz' | undefined => {
        asked.push(index);
        return index === 0 ? 'xz' : undefined;
    };
    t.match(read({ type: 'lxd', files: [noCompression, noCompression] }, guess), {
        files: [{ compression: 'xz' }, { compression: 'bzip2' }],
    });
    t.strictSame(asked, [0, 1]);

    const billing = read({ billingtag: ['w'] });
    t.strictSame(billing.billing_tags, ['w']);
    t.notOk(Object.hasOwn(billing, 'billingtag'));
    t.strictSame(read({ billingtag: 'w' }).billing_tags, ['w']);
    t.strictSame(read({ billingtag: ['w'], billing_tags: ['x'] }).billing_tags, ['x']);

    for (const tag of ['a=b', ['a=b']]) {
        t.match(read({ tag }), { tags: ['a=b'], tagsObj: { a: 'b' } });
    }
    t.match(read({ tag: ['a=b', 'n=5'], tags: '{"a":"b","n":5}' }), {
        tags: ['a=b', 'n=5'],
        tagsObj: { a: 'b', n: 5 },
    });
    t.match(read({ tags: { a: true } }), { tags: ['a=true'], tagsObj: { a: true } });
    t.match(read({ tags: '["a=b"]' }), { tags: ['a=b'], tagsObj: { a: 'b' } });
    t.match(read({ tags: '{"z":1}', tagsObj: { a: 'b' } }), { tags: ['a=b'], tagsObj: { a: 'b' } });
    t.match(
        refusal(() => read({ tags: '{broken' })),
        { errors: [{ field: 'tags' }] },
    );

    const texts = read({
        files: JSON.stringify([noCompression]),
        requirements: '{"brand":"lx"}',
        users: ' [{"name":"root"}]',
        traits: '{"a":true}',
        icon: '{"contentMD5":"m","size":1,"contentType":"image/png"}',
        error: '{"message":"x"}',
        inherited_directories: '["/opt"]',
        objectclass: 'sdcimage',
        dn: 'uuid=x',
        controls: [],
        disabled: 'false',
    });
    t.match(texts, {
        files: [{ compression: 'bzip2' }],
        requirements: { brand: 'lx' },
        users: [{ name: 'root' }],
        traits: { a: true },
        icon: { size: 1 },
        error: { message: 'x' },
        inherited_directories: ['/opt'],
        objectclass: 'sdcimage',
    });
    t.match(
        refusal(() => read({ users: 'root' })),
        { errors: [{ field: 'users' }] },
    );
});

void t.test('stand-alone validators', async (t) => {
    const api = without(STORED, 'acl');
    t.equal(validatePublicManifest(api), null);
    t.match(validatePrivateManifest(api), [{ field: 'public' }]);
    t.equal(validatePrivateManifest({ ...api, public: false }), null);
    t.equal(validateDcManifest({ ...api, tags: {}, icon: true, urn: 'a' }), null);
    t.strictSame(validateDcManifest({ ...api, urn: 5, zz: 1, aa: 2 }), [
        { field: 'urn', code: 'Invalid' },
        { field: 'zz', code: 'Invalid' },
        { field: 'aa', code: 'Invalid' },
    ]);
    t.strictSame(validateMinimalManifest({}), [
        { field: 'v', code: 'MissingParameter' },
        { field: 'uuid', code: 'MissingParameter' },
        { field: 'name', code: 'MissingParameter' },
        { field: 'version', code: 'MissingParameter' },
        { field: 'type', code: 'MissingParameter' },
        { field: 'os', code: 'MissingParameter' },
    ]);
    t.match(validateMinimalManifest({ ...api, channels: [] }), [{ field: 'channels' }]);
    for (const validate of [validatePublicManifest, validateDcManifest]) {
        t.strictSame(validate(api, { channelFromName: {} }), [
            { field: 'channels', code: 'MissingParameter' },
        ]);
        t.equal(validate({ ...api, channels: [] }, { channelFromName: {} }), null);
    }
    const open = { ...api, tags: { a: {} } };
    validateDcManifest(open);
    t.notOk(Object.isFrozen(open.tags), 'the input stays as it is');
    t.match(validateDcManifest({ ...api, description: undefined }), [
        { field: 'description', code: 'MissingParameter' },
    ]);
});
