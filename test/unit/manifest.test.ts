import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { buildImage } from '#lib/manifest/build.js';
import { uuidFromDockerDigests, uuidFromLxdFingerprint } from '#lib/manifest/docker-digest.js';
import { fieldNamed, FIELDS } from '#lib/manifest/fields.js';
import { deepFreeze, freezeLevels, nestingLevels } from '#lib/manifest/freeze.js';
import { readOldFormats } from '#lib/manifest/old-formats.js';
import { publishedTime } from '#lib/manifest/published.js';
import { toApiManifest } from '#lib/manifest/serialize.js';
import { computeState, isActivated, isDisabled, isPlaceholder, isPublic } from '#lib/manifest/state.js';
import { findBadSearchEntry, hasTag, searchToTags, tagsToSearch } from '#lib/manifest/tags.js';
import type { JsonObject, JsonValue, ManifestRules, RawImage } from '#lib/manifest/types.js';
import { applyUpdate } from '#lib/manifest/update.js';
import { upgradeManifest } from '#lib/manifest/upgrade.js';
import {
    validateDcManifest,
    validateMinimalManifest,
    validatePrivateManifest,
    validatePublicManifest,
    validateRaw,
} from '#lib/manifest/validate.js';
import { accountMayAccess } from '#lib/manifest/visibility.js';

const UUID = 'c58161c0-2547-11e2-a75e-9fdca1940570';
const OWNER = '930896af-bf8c-48d4-885c-6573a94b1853';
const OTHER = '352971aa-31ba-496c-9ade-a379feaecd52';
const PUBLIC: ManifestRules = { mode: 'public', channels: false };
const PRIVATE: ManifestRules = { mode: 'private', channels: false };
const DC: ManifestRules = { mode: 'dc', channels: false };
const DC_CHANNELS: ManifestRules = { mode: 'dc', channels: true };

const CREATE: JsonObject = {
    v: 2,
    owner: OWNER,
    name: 'n',
    version: '1',
    type: 'zone-dataset',
    os: 'smartos',
    public: true,
};
const FILE = { sha1: 'a'.repeat(40), size: 4, compression: 'gzip', contentMD5: 'm', stor: 'local' };
const STORED: JsonObject = {
    ...CREATE,
    uuid: UUID,
    disabled: false,
    activated: false,
    state: 'unactivated',
    acl: [],
};

/** Own keys that only `JSON.parse` can make. */
function parsed(text: string): JsonObject {
    return JSON.parse(text) as JsonObject;
}

function stored(fields: JsonObject = {}, rules: ManifestRules = PUBLIC): RawImage {
    return validateRaw({ ...STORED, ...fields }, rules, 'lenient');
}

function build(fields: JsonObject = {}, rules: ManifestRules = PUBLIC): RawImage {
    return buildImage('create', { ...CREATE, ...fields }, { rules, lifespanDays: 7, now: 0 });
}

/** What `run` throws, as it would be answered. */
function refusal(run: () => unknown): unknown {
    try {
        run();
    } catch (error) {
        if (error instanceof ApiError) {
            return error.toBody();
        }
        throw error;
    }
    return 'accepted';
}

function updated(
    raw: RawImage,
    body: JsonObject,
    options: Partial<Parameters<typeof applyUpdate>[2]> = {},
): RawImage {
    return applyUpdate(raw, body, {
        rules: PUBLIC,
        channelNames: undefined,
        accountGiven: false,
        ...options,
    });
}

t.test('field table', async (t) => {
    t.equal(
        FIELDS.map(({ name }) => name).join(' '),
        'v uuid urn owner name version description homepage eula disabled activated published_at state public ' +
            'type os origin error files icon acl requirements users billing_tags traits tags generate_passwords ' +
            'inherited_directories nic_driver disk_driver cpu_type image_size channels',
    );
    t.equal(
        FIELDS.filter(({ inherited }) => inherited === true)
            .map(({ name }) => name)
            .join(' '),
        'type os requirements users billing_tags traits generate_passwords inherited_directories ' +
            'nic_driver disk_driver cpu_type image_size',
    );
    t.equal(fieldNamed('constructor'), undefined);
    t.equal(fieldNamed('__proto__'), undefined);
    for (const pick of ['required', 'emitted'] as const) {
        const ranks = FIELDS.map((field) => field[pick]?.rank).filter((rank) => rank !== undefined);
        t.strictSame(
            ranks.sort((a, b) => a - b),
            ranks.map((_, index) => index + 1),
            `${pick}: every rank once`,
        );
    }
});

t.test('upgrade of version 1', async (t) => {
    const old = {
        uuid: UUID,
        creator_uuid: OWNER,
        created_at: '2012-05-02T15:14Z',
        files: [{ path: 'a.zfs.bz2', sha1: 'x', url: 'http://x/a.gz' }],
        vendor_uuid: OTHER,
        creator_name: 'n',
        cloud_name: 'c',
        creator_admin: 'a',
        owner_uuid: OTHER,
        platform_type: 'smartos',
        updated_at: 'x',
        _url: 'x',
        urn: 'a:b:c:1',
    };
    t.strictSame(upgradeManifest(old), {
        uuid: UUID,
        files: [{ sha1: 'x', compression: 'bzip2' }],
        urn: 'a:b:c:1',
        owner: OWNER,
        public: true,
        disabled: false,
        state: 'active',
        published_at: '2012-05-02T15:14:00Z',
        v: 2,
    });
    const cases: readonly (readonly [string, JsonObject, JsonObject | 'fails'])[] = [
        ['restricted', { restricted_to_uuid: OTHER }, { public: false, acl: [OTHER] }],
        ['public is overwritten', { public: false }, { public: true }],
        ['restricted and public', { restricted_to_uuid: OTHER, public: true }, 'fails'],
        ['owner', { owner: OTHER }, 'fails'],
        ['owner null', { owner: null }, 'fails'],
        ['disabled as text', { disabled: 'false' }, { disabled: true, state: 'disabled' }],
        ['url only', { files: [{ url: 'http://x/a.zfs.gz' }] }, { files: [{ compression: 'gzip' }] }],
        [
            'compression kept',
            { files: [{ compression: 'xz', path: 'a.gz' }] },
            { files: [{ compression: 'xz' }] },
        ],
        ['other extension', { files: [{ path: 'a.zfs' }] }, { files: [{ compression: 'none' }] }],
        ['neither path nor url', { files: [{}] }, 'fails'],
        ['path no text', { files: [{ path: 5 }] }, 'fails'],
        ['file null', { files: [null] }, 'fails'],
        ['files no array', { files: 'x' }, 'fails'],
        ['image_size', { image_size: '10240' }, { image_size: 10240 }],
        ['v 1', { v: 1 }, { v: 2 }],
        ['v as text', { v: '1' }, { v: 2 }],
        [
            'date with seconds',
            { published_at: '2012-05-02T15:14:00Z' },
            { published_at: '2012-05-02T15:14:00Z' },
        ],
        ['date no text', { published_at: 5 }, { published_at: 5 }],
        ['v abc', { v: 'abc' }, 'fails'],
        ['v object', { v: parsed('{"toString":1,"valueOf":2}') }, 'fails'],
        ['bad uuid', { uuid: 'x' }, 'fails'],
        ['no creator', { creator_uuid: '', v: 1 }, 'fails'],
        ['v 0 without creator', { creator_uuid: '', v: 0 }, 'fails'],
    ];
    for (const [name, fields, expected] of cases) {
        const input = deepFreeze<JsonObject>({ ...old, ...fields });
        const reasons: string[] = [];
        const result = upgradeManifest(input, (reason) => reasons.push(reason));
        if (expected === 'fails') {
            t.equal(result, input, `${name}: unchanged`);
            t.equal(reasons.length, 1, `${name}: reason told`);
        } else {
            t.match(result, expected, name);
            t.notOk(Object.hasOwn(result, 'creator_uuid'), `${name}: upgraded`);
            t.strictSame(reasons, []);
        }
    }
    const new3 = { v: 3, creator_uuid: OWNER };
    t.equal(upgradeManifest(new3), new3, 'v 3 unchanged');
    t.equal(
        buildImage(
            'import',
            { ...old, name: 'n', version: '1', type: 'other', os: 'other' },
            {
                rules: PUBLIC,
                lifespanDays: 7,
                now: 0,
            },
        ).owner,
        OWNER,
        'import upgrades',
    );
});

t.test('build', async (t) => {
    const raw = build({
        tags: { a: 'b', c: { d: 1 } },
        description: 'd',
        homepage: null,
        eula: '',
        type: 'zvol',
        nic_driver: 'virtio',
        disk_driver: 'virtio',
        cpu_type: 'host',
        image_size: '10240',
        public: 'true',
        generate_passwords: 'false',
        files: [{ bogus: 1 }],
        icon: { contentMD5: 'm', size: 1, contentType: 'image/png' },
        billing_tags: null,
        origin: [UUID],
    });
    t.strictSame(Object.entries(raw), [
        ['v', 2],
        ['owner', OWNER],
        ['name', 'n'],
        ['version', '1'],
        ['type', 'zvol'],
        ['os', 'smartos'],
        ['public', true],
        ['disabled', false],
        ['activated', false],
        ['state', 'unactivated'],
        ['acl', []],
        ['description', 'd'],
        ['tags', ['a=b', 'c=']],
        ['tagsObj', { a: 'b', c: { d: 1 } }],
        ['generate_passwords', false],
        ['origin', UUID],
        ['nic_driver', 'virtio'],
        ['disk_driver', 'virtio'],
        ['cpu_type', 'host'],
        ['image_size', 10240],
        ['uuid', raw.uuid],
    ]);
    t.match(raw.uuid, /^[0-9a-f-]{36}$/);
    t.not(build().uuid, raw.uuid);

    const now = Date.UTC(2026, 10, 21, 19, 40, 54, 456);
    const placeholder = buildImage(
        'placeholder',
        { uuid: UUID, owner: OWNER, name: 'my image', version: '1.0.0', tags: { a: 'b' } },
        { rules: DC, lifespanDays: 7, now },
    );
    const record = {
        v: 2,
        owner: OWNER,
        name: 'my image',
        version: '1.0.0',
        type: 'null',
        os: 'null',
        public: false,
        disabled: false,
        activated: false,
        state: 'creating',
        acl: [],
        tags: ['a=b'],
        tagsObj: { a: 'b' },
        expires_at: '2026-11-28T19:40:54.456Z',
        uuid: UUID,
    };
    t.equal(JSON.stringify(placeholder), JSON.stringify(record));
    t.equal(
        JSON.stringify(toApiManifest(placeholder, { mode: 'dc', version2: true, inclAdminFields: true })),
        JSON.stringify({
            v: 2,
            uuid: UUID,
            owner: OWNER,
            name: 'my image',
            version: '1.0.0',
            state: 'creating',
            disabled: false,
            public: false,
            files: [],
            tags: { a: 'b' },
        }),
    );
    t.match(
        refusal(() =>
            buildImage(
                'placeholder',
                { uuid: UUID, name: 'n', version: '1' },
                { rules: DC, lifespanDays: 7, now },
            ),
        ),
        { errors: [{ field: 'owner', code: 'MissingParameter' }] },
    );
    t.equal(
        buildImage(
            'placeholder',
            { uuid: UUID, owner: OWNER, name: 'n', version: '1' },
            { rules: DC, lifespanDays: 1e12, now },
        ).expires_at,
        '+275760-09-13T00:00:00.000Z',
        'a date even for absurd lifespans',
    );

    for (const uuid of [undefined, '', null]) {
        t.match(
            refusal(() =>
                buildImage(
                    'import',
                    { ...CREATE, ...(uuid === undefined ? {} : { uuid }), foo: 1 },
                    {
                        rules: PUBLIC,
                        lifespanDays: 7,
                        now,
                    },
                ),
            ),
            { message: 'missing "uuid"' },
        );
    }
    const inherited = refusal(() => build(parsed('{"__proto__":{"x":1},"constructor":2,"toString":3}')));
    t.match(inherited, {
        code: 'InvalidParameter',
        message: 'invalid extra parameters: "__proto__", "constructor", "toString"',
    });
    const many = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`k${index}`, 1]));
    t.equal((refusal(() => build(many)) as { errors: unknown[] }).errors.length, 1000, 'bounded answer');
    const users = Array.from({ length: 3000 }, () => 5);
    t.equal((refusal(() => build({ users })) as { errors: unknown[] }).errors.length, 1000, 'bounded answer');
});

t.test('values that break the language', async (t) => {
    const hostile = parsed('{"toString":1,"valueOf":2,"length":{"toString":1,"valueOf":1}}');
    for (const { name } of FIELDS) {
        const run = (): unknown => validateRaw({ ...STORED, [name]: hostile }, PUBLIC, 'lenient');
        t.doesNotThrow(() => refusal(run), name);
        t.doesNotThrow(() => refusal(() => build({ [name]: [hostile] })), name);
        t.doesNotThrow(() => validateDcManifest({ ...STORED, [name]: hostile }), name);
        t.doesNotThrow(() => refusal(() => updated(stored(), { [name]: hostile })), name);
    }
    t.match(
        refusal(() => build({ acl: hostile })),
        {
            errors: [{ message: 'invalid image "acl" (not an array): [object Object]' }],
        },
    );
    const deep = parsed(`{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`);
    for (const field of ['tags', 'traits', 'users', 'acl', 'origin', 'error']) {
        t.match(
            refusal(() => build({ [field]: deep })),
            {
                message: `invalid image data: ${field}`,
                errors: [{ field, code: 'Invalid', message: 'nested too deeply' }],
            },
        );
    }
    t.match(
        refusal(() => stored({ unknown: deep })),
        { errors: [{ field: 'unknown' }] },
    );
    t.match(validatePublicManifest({ ...STORED, error: deep }), [
        { field: 'error', message: 'nested too deeply' },
    ]);
    const nested = (levels: number): JsonObject =>
        parsed(`{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`);
    t.equal(refusal(() => build({ tags: nested(512) })) instanceof Object, false, '512 levels pass');
    t.match(
        refusal(() => build({ tags: nested(513) })),
        { errors: [{ field: 'tags' }] },
    );
    const strange = stored(parsed('{"tagsObj":{"__proto__":"p","constructor":"c"},"__proto__":{"k":1}}'));
    t.equal(Object.getPrototypeOf(strange), Object.prototype);
    t.ok(Object.hasOwn(strange, '__proto__'), 'unknown keys stay, whatever their name');
    t.strictSame(tagsToSearch(strange.tagsObj ?? {}), ['__proto__=p', 'constructor=c']);
    t.equal(hasTag(strange, '__proto__'), true);
    t.equal(hasTag(strange, 'toString'), false);
});

t.test('documents', async (t) => {
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
    const { channels: _channels, ...version1 } = expected;
    t.equal(text(raw, { version2: false }), JSON.stringify(version1));
    const { billing_tags: _tags, traits: _traits, ...onPublic } = expected;
    t.equal(text(raw, { mode: 'public' }), JSON.stringify(onPublic));
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

t.test('normalisation on read', async (t) => {
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
    const { acl: _acl, ...bare } = STORED;
    t.strictSame(validateRaw(bare, PUBLIC, 'lenient').acl, []);
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

t.test('old formats', async (t) => {
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

    const { compression: _compression, ...noCompression } = FILE;
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

t.test('update', async (t) => {
    const raw = stored({
        description: 'd',
        tags: ['a=b'],
        tagsObj: { a: 'b' },
        files: [{ ...FILE, stor: 'local' }],
        unknown: 1,
    });
    const before = JSON.stringify(raw);
    const active = stored({
        activated: true,
        state: 'active',
        published_at: '2019-10-01T12:00:00Z',
        files: [FILE],
    });
    const notAllowed = (field: string, message: string): object => ({ field, code: 'NotAllowed', message });
    const never = 'Parameter cannot be updated';
    const operators = 'Can only be updated by operators';
    const unactivated = 'Can only be updated on unactivated images';

    t.strictSame(
        refusal(() => updated(raw, {})),
        {
            code: 'ValidationFailed',
            message: 'invalid image update data: no parameters provided',
            errors: [],
        },
    );
    const everything = Object.fromEntries([
        ['x', 1],
        ...FIELDS.map(({ name }): [string, JsonValue] => [name, 'x']).reverse(),
        ['constructor', 1],
    ]);
    const unknown = ['x', 'urn', 'v', 'type', 'disabled', 'activated', 'published_at', 'icon', 'constructor'];
    const keysInOrder = Object.keys(everything).filter((key) => unknown.includes(key));
    const own = ['state', 'error', 'billing_tags', 'traits', 'files', 'origin', 'uuid'];
    t.strictSame(
        refusal(() => updated(active, everything, { accountGiven: true })),
        {
            code: 'ValidationFailed',
            message: `invalid image update data: ${[...keysInOrder, ...own].join(', ')}`,
            errors: [
                ...keysInOrder.map((key) => notAllowed(key, never)),
                ...own.map((key) => notAllowed(key, operators)),
            ],
        },
    );
    t.strictSame(
        refusal(() => updated(active, { uuid: UUID, origin: null, files: [], state: 'x' })),
        {
            code: 'ValidationFailed',
            message: 'invalid image update data: files, origin, uuid',
            errors: ['files', 'origin', 'uuid'].map((key) => notAllowed(key, unactivated)),
        },
    );

    const oneFile = { field: 'files', code: 'Invalid', message: 'must be an array with one file object' };
    for (const files of [null, [], {}, [FILE, FILE], ['x'], [null], [[]]]) {
        t.match(
            refusal(() => updated(raw, { files })),
            { errors: [oneFile] },
            JSON.stringify(files),
        );
    }
    t.match(
        refusal(() => updated(stored(), { files: [{ digest: 'x' }] })),
        { errors: [oneFile] },
    );
    const digestsOnly = notAllowed(
        'files',
        'Can only update "digest" or "uncompressedDigest" fields on files',
    );
    t.strictSame(
        refusal(() => updated(raw, { files: [{ sha1: 'x', size: 4, digest: 'd', toString: 1 }] })),
        {
            code: 'ValidationFailed',
            message: 'invalid image update data: files, files',
            errors: [digestsOnly, digestsOnly],
        },
    );
    t.strictSame(updated(raw, { files: [{ size: 4, digest: 'd', uncompressedDigest: '' }] }).files, [
        { ...FILE, digest: 'd' },
    ]);

    t.strictSame(
        Object.entries(updated(raw, { description: null, homepage: 'http://x', name: 'm', acl: OTHER })),
        Object.entries({ ...STORED, name: 'm', acl: [OTHER], tags: ['a=b'], tagsObj: { a: 'b' } })
            .concat([['files', [FILE] as unknown as JsonValue]])
            .concat([
                ['unknown', 1],
                ['homepage', 'http://x'],
            ]),
    );
    t.match(updated(raw, { tags: { n: 5 } }), { tags: ['n=5'], tagsObj: { n: 5 } });
    const cleared = updated(raw, { tags: null });
    t.notOk(Object.hasOwn(cleared, 'tags') || Object.hasOwn(cleared, 'tagsObj'), 'null clears both');
    for (const tags of ['x', 5, '', [], false]) {
        t.match(
            refusal(() => updated(raw, { tags })),
            { message: 'invalid image data: tags' },
            JSON.stringify(tags),
        );
    }
    t.strictSame(updated(stored({ acl: [OTHER] }), { acl: null }).acl, []);
    t.strictSame(
        refusal(() => updated(raw, { name: null, public: 'false' })),
        {
            code: 'ValidationFailed',
            message: 'invalid image data: name, public',
            errors: [
                { field: 'name', code: 'MissingParameter' },
                {
                    field: 'public',
                    code: 'Invalid',
                    message: 'private images are not allowed on a public Images API',
                },
            ],
        },
    );
    t.match(updated(stored({ disabled: 'true' }), { public: 'true', generate_passwords: 'false' }), {
        public: true,
        disabled: true,
        generate_passwords: false,
    });
    const zvol = stored({
        type: 'zvol',
        nic_driver: 'x',
        disk_driver: 'x',
        cpu_type: 'x',
        image_size: '1024',
    });
    t.equal(zvol.image_size, '1024');
    t.equal(updated(zvol, { description: 'x' }).image_size, 1024);
    t.equal(updated(zvol, { image_size: '2048' }).image_size, 2048);
    t.match(updated(raw, { state: 'failed', error: { message: 'x' }, uuid: OTHER, origin: OTHER }), {
        state: 'failed',
        error: { message: 'x' },
        uuid: OTHER,
        origin: OTHER,
        activated: false,
    });
    t.equal(JSON.stringify(raw), before, 'the old record stays');
});

t.test('update of channels', async (t) => {
    const raw = stored({ channels: ['dev', 'gone'] }, DC_CHANNELS);
    const options = { rules: DC_CHANNELS, channelNames: ['dev', 'release'] };
    const update = (channels: JsonValue): unknown => refusal(() => updated(raw, { channels }, options));
    t.strictSame(updated(raw, { channels: ['gone', 'release'] }, options).channels, ['gone', 'release']);
    t.strictSame(update(['dev', 'nosuch', 'other']), {
        code: 'ValidationFailed',
        message: 'unknown channel: nosuch',
        errors: [{ field: 'channels', code: 'Invalid' }],
    });
    t.match(update(['constructor']), { message: 'unknown channel: constructor' });
    t.strictSame(update([]), {
        code: 'ValidationFailed',
        message: 'invalid image data: channels',
        errors: [{ field: 'channels', code: 'Invalid' }],
    });
    t.match(update('dev'), { errors: [{ message: 'invalid image "channels" (not an array): "dev"' }] });
    t.match(update(['dev', 5]), { errors: [{ message: 'invalid image "channels" entry: 5' }] });
    t.match(update(null), { errors: [{ field: 'channels', code: 'MissingParameter' }] });
    t.match(
        refusal(() => updated(stored(), { channels: ['dev'] })),
        {
            errors: [{ message: 'channels is invalid with an IMGAPI not configured for channels' }],
        },
    );
});

t.test('tags', async (t) => {
    const long = 'x'.repeat(101);
    const tags = { a: 'v', big: long, obj: { k: 1 }, num: 5, b: true, nul: null, eq: 'a=b' };
    t.strictSame(tagsToSearch(tags), ['a=v', 'big=', 'obj=', 'num=5', 'b=true', 'nul=', 'eq=a=b']);
    t.strictSame(tagsToSearch({ edge: 'x'.repeat(100) }), [`edge=${'x'.repeat(100)}`]);
    t.strictSame(searchToTags(['a=b=c', '=x', 'b=']), { a: 'b=c', '': 'x', b: '' });
    t.ok(Object.hasOwn(searchToTags(['__proto__=x']), '__proto__'));
    t.equal(findBadSearchEntry(['a=b', 'c', 'd']), 'c');
    t.equal(findBadSearchEntry([]), undefined);
    t.equal(hasTag({ tagsObj: { a: null } }, 'a'), true);
    t.equal(hasTag({}, 'a'), false);
});

t.test('states, visibility, time', async (t) => {
    t.equal(computeState({ activated: false, disabled: true }), 'unactivated');
    t.equal(computeState({ activated: true, disabled: true }), 'disabled');
    t.equal(computeState({ activated: true, disabled: false }), 'active');
    for (const [value, expected] of [
        [true, true],
        ['true', true],
        [false, false],
        ['false', false],
    ] as const) {
        t.equal(isActivated({ activated: value }), expected);
        t.equal(isDisabled({ disabled: value }), expected);
        t.equal(isPublic({ public: value }), expected);
    }
    for (const state of ['creating', 'failed'] as const) {
        t.equal(isPlaceholder({ state }), true);
    }
    t.equal(isPlaceholder({ state: 'unactivated' }), false);

    const activated = {
        activated: true,
        published_at: '2019-10-01T12:00:00Z',
        files: [FILE],
        state: 'active',
    };
    const table: readonly (readonly [JsonObject, string, boolean])[] = [
        [{ public: false }, OWNER, true],
        [{ public: true, acl: [OTHER] }, OTHER, false],
        [{ ...activated, public: true }, OTHER, true],
        [{ ...activated, public: 'true', disabled: true, state: 'disabled' }, OTHER, true],
        [{ ...activated, public: false, acl: [OTHER], disabled: true, state: 'disabled' }, OTHER, true],
        [{ ...activated, public: false }, OTHER, false],
        [{ ...activated, public: false, acl: [UUID] }, OTHER, false],
    ];
    for (const [fields, account, expected] of table) {
        t.equal(accountMayAccess(stored(fields, DC), account), expected, JSON.stringify(fields));
    }

    t.equal(publishedTime({ published_at: '2019-10-01T12:00:00Z' }), Date.UTC(2019, 9, 1, 12));
    t.equal(publishedTime({ published_at: '2019-10-01T12:00:00.001Z' }), Date.UTC(2019, 9, 1, 12) + 1);
    t.equal(publishedTime({ published_at: '9999-99-99T99:99:99Z' }), 0);
    t.equal(publishedTime({ published_at: '' }), 0);
    t.equal(publishedTime({}), 0);
});

t.test('Docker and LXD uuids', async (t) => {
    const a = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4';
    const b = 'sha256:8ddc19f16526912237dd8af81971d5e4dd0587907234be2b83e249518d5b673f';
    t.equal(uuidFromDockerDigests([a]), 'b4a96f09-026d-7abb-7aa3-bc2cfa5c5826');
    t.equal(uuidFromDockerDigests([a, b]), 'ce34d094-cfd6-308e-4e5c-93e53e79996e');
    t.equal(uuidFromDockerDigests([]), 'e3b0c442-98fc-1c14-9afb-f4c8996fb924');
    t.throws(() => uuidFromDockerDigests([a, 'x', `${b}:`, 'sha512:x']), {
        message: `docker digests should be of the form "sha256:xxx", got: x,${b}:,sha512:x`,
    });
    t.equal(
        uuidFromLxdFingerprint('a3ed95caeb02ffe68cdd9fd84406680ae93d'),
        'a3ed95ca-eb02-ffe6-8cdd-9fd84406680a',
    );
    t.throws(() => uuidFromLxdFingerprint('a3ed'), /at least 32/);
    t.throws(() => uuidFromLxdFingerprint('../'.repeat(20)), /hex/);
});

t.test('freezing', async (t) => {
    const shared = Object.freeze({ inner: [1] });
    const value = { a: [{ b: {} }], shared, again: shared };
    t.equal(deepFreeze(value), value);
    t.ok([value, value.a, value.a[0], value.a[0]?.b, shared.inner].every((part) => Object.isFrozen(part)));
    t.equal(freezeLevels({ a: [{ b: {} }] }), 4);
    t.equal(freezeLevels(5), 0);
    t.equal(freezeLevels(null), 0);
    const loop: { self?: unknown } = {};
    loop.self = loop;
    t.ok(Object.isFrozen(deepFreeze(loop)));
    const plain = { a: [[[]]] };
    t.equal(nestingLevels(plain, 3), 3, 'stops at the limit');
    t.equal(nestingLevels(plain, 9), 4);
    t.notOk(Object.isFrozen(plain));
});

t.test('stand-alone validators', async (t) => {
    const { acl: _acl, ...api } = STORED;
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
