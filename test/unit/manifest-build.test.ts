import t from 'tap';
import { buildImage } from '#lib/manifest/build.js';
import { FIELDS, fieldNamed } from '#lib/manifest/fields.js';
import { deepFreeze } from '#lib/manifest/freeze.js';
import { toApiManifest } from '#lib/manifest/serialize.js';
import { hasTag, tagsToSearch } from '#lib/manifest/tags.js';
import type { JsonObject } from '#lib/manifest/types.js';
import { upgradeManifest } from '#lib/manifest/upgrade.js';
import { validateDcManifest, validatePublicManifest, validateRaw } from '#lib/manifest/validate.js';
import {
    CREATE,
    DC,
    OTHER,
    OWNER,
    PUBLIC,
    STORED,
    UUID,
    build,
    parsed,
    refusal,
    stored,
    updated,
} from '../helpers/manifests.js';

void t.test('field table', async (t) => {
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

void t.test('upgrade of version 1', async (t) => {
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

void t.test('build', async (t) => {
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
    for (const [lifespanDays, expiry] of [
        [1e12, '+275760-09-13T00:00:00.000Z'],
        [-1e12, '-271821-04-20T00:00:00.000Z'],
    ] as const) {
        t.equal(
            buildImage(
                'placeholder',
                { uuid: UUID, owner: OWNER, name: 'n', version: '1' },
                { rules: DC, lifespanDays, now },
            ).expires_at,
            expiry,
            'a date even for absurd lifespans',
        );
    }

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

void t.test('values that break the language', async (t) => {
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
