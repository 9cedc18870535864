import fc from 'fast-check';
import type { JsonObject, JsonValue, ManifestRules } from '#lib/manifest/types.js';

export const UUIDS = [
    'c58161c0-2547-11e2-a75e-9fdca1940570',
    '930896af-bf8c-48d4-885c-6573a94b1853',
] as const;
export const DATE = '2013-01-31T00:00:00Z';
export const uuid = fc.constantFrom(...UUIDS, '00000000-0000-0000-0000-000000000000');
export const flag = fc.constantFrom<JsonValue[]>(true, false, 'true', 'false');
export const label = fc.stringMatching(/^[A-Za-z0-9._/-]{1,20}$/);
export const text = fc.string({ maxLength: 30 });
export const json = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>;
export const rules = fc.record({
    mode: fc.constantFrom<ManifestRules['mode'][]>('public', 'private', 'dc'),
    channels: fc.boolean(),
});
export const file = fc.record(
    {
        sha1: fc.constantFrom('a'.repeat(40), ''),
        size: fc.constantFrom(0, 4),
        compression: fc.constantFrom<JsonValue[]>('gzip', 'bzip2', 'xz', 'none', 'zip', ''),
    },
    { requiredKeys: ['sha1'] },
);
export const platform = fc.constantFrom(
    '20130308T102805Z',
    '20110308T102805Z',
    '20131308T102805Z',
    'XXXXXXXXTXXXXXXZ',
    '20130308T102860Z',
    'x',
);
export const network = fc.record(
    { name: label, description: label, more: label },
    { requiredKeys: ['name'] },
);
export const requirements = fc.record(
    {
        networks: fc.oneof(fc.array(network, { maxLength: 2 }), fc.constant({})),
        brand: fc.constantFrom<JsonValue[]>('lx', 'bhyve', 5, ''),
        ssh_key: fc.constantFrom<JsonValue[]>(true, false, 'x'),
        min_ram: fc.constantFrom<JsonValue[]>(0, 128, 256, -1, 1.5, '5'),
        max_ram: fc.constantFrom<JsonValue[]>(0, 128, 256, 2.5, 'x'),
        min_platform: fc.oneof(
            fc.dictionary(label, platform, { maxKeys: 2 }),
            fc.constant('x'),
            fc.constant([]),
        ),
        max_platform: fc.dictionary(label, platform, { maxKeys: 2 }),
        bootrom: fc.constantFrom<JsonValue[]>('bios', 'uefi', 'grub', ''),
        other: text,
    },
    { requiredKeys: [] },
);

/**
 * Good and bad values of each field, without those both sides are known to treat differently: names
 * that are no text (H35), `public` that is no boolean (M14), inherited names as type (M4), what makes
 * the other side throw (M1-M3, M5, M7), and objects where it prints `%s` in its own way.
 */
export const FIELD_VALUES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    v: fc.constantFrom<JsonValue[]>(2, 0, -1, 1.5, '2', 'x', null),
    uuid: fc.oneof(uuid, text),
    urn: fc.oneof(text, fc.integer()),
    owner: fc.oneof(uuid, fc.constantFrom<JsonValue[]>(null, 5, UUIDS[0].toUpperCase(), [UUIDS[0]])),
    name: fc.oneof(label, text, fc.constantFrom('', 'n'.repeat(1024), 'n'.repeat(1025), 'a\n', 'a+b')),
    version: fc.oneof(label, text, fc.constantFrom('1'.repeat(512), '1'.repeat(513), 'a+b', 'a b')),
    description: fc.oneof(text, fc.constantFrom<JsonValue[]>('d'.repeat(10_241), 5, true, [])),
    homepage: fc.constantFrom(
        'http://x/',
        'HTTPS://x',
        ' http://x',
        'ftp://x',
        '/p',
        `http://x/${'a'.repeat(1024)}`,
        '',
    ),
    eula: fc.constantFrom(
        'https://x/',
        'http:x',
        'httpx://x',
        'javascript:x',
        `http://x/${'a'.repeat(1016)}`,
    ),
    disabled: flag,
    activated: flag,
    published_at: fc.constantFrom<JsonValue[]>(DATE, '2013-01-31T00:00:00.123Z', '2013-01-31', '', null, 5),
    state: fc.constantFrom<JsonValue[]>(
        'active',
        'unactivated',
        'disabled',
        'failed',
        'creating',
        'x',
        5,
        null,
    ),
    public: flag,
    type: fc.constantFrom<JsonValue[]>(
        'zone-dataset',
        'zvol',
        'lx-dataset',
        'lxd',
        'docker',
        'other',
        'null',
        'x',
        null,
        5,
    ),
    os: fc.constantFrom<JsonValue[]>(
        'smartos',
        'linux',
        'windows',
        'bsd',
        'illumos',
        'other',
        'null',
        'x',
        null,
    ),
    origin: fc.oneof(uuid, text, fc.constant(null)),
    error: fc.oneof(json),
    files: fc.oneof(fc.array(file, { maxLength: 3 }), fc.constantFrom<JsonValue[]>('x', 5, null)),
    icon: flag,
    acl: fc.oneof(fc.array(fc.oneof(uuid, text, fc.integer()), { maxLength: 3 }), text),
    requirements,
    users: fc.oneof(
        fc.array(fc.oneof(fc.record({ name: text, x: text }, { requiredKeys: [] }), text), { maxLength: 3 }),
        json.filter((value) => !Array.isArray(value)),
    ),
    billing_tags: fc.oneof(
        fc.array(fc.oneof(text, fc.constantFrom('b'.repeat(128), 'b'.repeat(129), 5))),
        text,
    ),
    traits: fc.oneof(fc.dictionary(label, json, { maxKeys: 3 }), text, fc.array(json, { maxLength: 2 })),
    tags: fc.oneof(
        fc.dictionary(label, json, { maxKeys: 3 }),
        fc.array(json),
        fc.constantFrom<JsonValue[]>('x', 5, { t: 't'.repeat(102_394) }, { t: 't'.repeat(102_393) }),
    ),
    generate_passwords: flag,
    inherited_directories: fc.oneof(fc.array(fc.oneof(text, fc.integer()), { maxLength: 3 }), text),
    nic_driver: fc.constantFrom<JsonValue[]>('virtio', '', null, 5, false),
    disk_driver: fc.constantFrom<JsonValue[]>('virtio', '', null, 5),
    cpu_type: fc.constantFrom<JsonValue[]>('host', '', null, 5),
    image_size: fc.constantFrom<JsonValue[]>(1024, '1024', 0, -5, 1.5, 'x', null, ''),
    channels: fc.oneof(fc.array(fc.oneof(label, fc.integer()), { maxLength: 3 }), text),
    unknown: json,
};
export const GOOD: JsonObject = {
    v: 2,
    uuid: UUIDS[0],
    owner: UUIDS[1],
    name: 'n',
    version: '1',
    type: 'zone-dataset',
    os: 'smartos',
    public: true,
    disabled: false,
    activated: false,
    state: 'unactivated',
};
export const REMOVED = Symbol('removed');

/** As `JSON.parse` would have made it. */
export function reparsed<T>(value: T): T {
    return JSON.parse(JSON.stringify(value)) as T;
}

/** A good manifest with up to four fields replaced or removed. */
export const manifest = fc
    .subarray(Object.keys(FIELD_VALUES), { maxLength: 4 })
    .chain((names) =>
        fc.record(
            Object.fromEntries(
                names.map((name) => [
                    name,
                    fc.oneof(
                        { weight: 6, arbitrary: FIELD_VALUES[name]! },
                        { weight: 1, arbitrary: fc.constant(REMOVED) },
                    ),
                ]),
            ),
        ),
    )
    .map((fields) => {
        const merged: [string, unknown][] = Object.entries({ ...GOOD, ...fields });
        return reparsed(Object.fromEntries(merged.filter(([, value]) => value !== REMOVED)) as JsonObject);
    });

/** Any JSON under names that matter, and any JSON at all. */
export const wild = fc
    .oneof(
        fc.dictionary(
            fc.constantFrom(
                ...Object.keys(FIELD_VALUES),
                ...[
                    '__proto__',
                    'constructor',
                    'toString',
                    'tagsObj',
                    'tag',
                    'billingtag',
                    'creator_uuid',
                    'created_at',
                ],
            ),
            fc.oneof(json, fc.constantFrom<JsonValue[]>(...UUIDS, 'true', DATE, 'zvol', '{"a":1}', ['a=b'])),
            { maxKeys: 12 },
        ),
        fc.dictionary(text, json),
    )
    .map(reparsed) as fc.Arbitrary<JsonObject>;

export function mixed(fields: JsonObject): JsonObject {
    return { ...GOOD, ...fields };
}
