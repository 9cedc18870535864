import t from 'tap';
import { uuidFromDockerDigests, uuidFromLxdFingerprint } from '#lib/manifest/docker-digest.js';
import { FIELDS } from '#lib/manifest/fields.js';
import { deepFreeze, freezeLevels, nestingLevels } from '#lib/manifest/freeze.js';
import { publishedTime } from '#lib/manifest/published.js';
import { computeState, isActivated, isDisabled, isPlaceholder, isPublic } from '#lib/manifest/state.js';
import { findBadSearchEntry, hasTag, searchToTags, tagsToSearch } from '#lib/manifest/tags.js';
import type { JsonObject, JsonValue } from '#lib/manifest/types.js';
import { accountMayAccess } from '#lib/manifest/visibility.js';
import {
    DC,
    DC_CHANNELS,
    FILE,
    OTHER,
    OWNER,
    STORED,
    UUID,
    refusal,
    stored,
    updated,
} from '../helpers/manifests.js';

void t.test('update', async (t) => {
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

    t.equal(
        JSON.stringify(updated(raw, { description: null, homepage: 'http://x', name: 'm', acl: OTHER })),
        JSON.stringify({
            ...STORED,
            name: 'm',
            acl: [OTHER],
            tags: ['a=b'],
            tagsObj: { a: 'b' },
            files: [FILE],
            unknown: 1,
            homepage: 'http://x',
        }),
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

void t.test('update of channels', async (t) => {
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

void t.test('tags', async (t) => {
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

void t.test('states, visibility, time', async (t) => {
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

void t.test('Docker and LXD uuids', async (t) => {
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

void t.test('freezing', async (t) => {
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
