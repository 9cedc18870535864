import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
    BYTES,
    entry,
    fixture,
    ICON,
    inChannels,
    isPublic,
    OWNER,
    sha256,
    shown,
    uuidOf,
    variant,
    withoutCompression,
    type Golden,
    type Place,
} from './golden-forms.js';
import {
    BASE_181,
    BASE_200,
    DARK_SIDE,
    FATHER,
    imageDirectory,
    JOIN_US,
    md5Base64,
    NODEJS,
    PNG,
    sha1Hex,
    USERS,
} from './images.js';

const { vader, luke, emperor, sdc } = USERS;
const FIXTURES: readonly Golden[] = [
    fixture('base', '1.8.1', BASE_181, { owner: sdc, state: 'active', urn: 'sdc:sdc:base:1.8.1' }),
    fixture('nodejs', '1.0.0', NODEJS, { owner: sdc, state: 'disabled', urn: 'sdc:sdc:nodejs:1.0.0' }),
    fixture('base', '2.0.0', BASE_200, { owner: sdc, state: 'unactivated', file: false }),
    fixture('i-am-your-father', '0.0.1', FATHER, { owner: vader, state: 'active', acl: luke }),
    fixture('come-to-the-dark-side', '42.1.2', DARK_SIDE, { owner: vader, state: 'disabled', acl: [luke] }),
    fixture('he-will-join-us-or-die', '1.2.3', JOIN_US, {
        owner: vader,
        state: 'unactivated',
        acl: [emperor],
    }),
];

const FULL_UUID = '2f5c8a8e-1d2b-4c39-9a57-0c6c2d0b8f11';
const ACL = '352971aa-31ba-496c-9ade-a379feaecd52';
const REQUIREMENTS = {
    brand: 'bhyve',
    bootrom: 'uefi',
    min_ram: 2048,
    networks: [{ name: 'net0', description: 'public' }],
};

/** The full example of manifest 8.2. */
const FULL: Golden = {
    name: 'win 2019/std',
    uuid: FULL_UUID,
    record: (place) => ({
        v: 2,
        owner: OWNER,
        name: 'win 2019/std',
        version: '20.1.0+b7',
        type: 'zvol',
        os: 'windows',
        public: isPublic(place),
        disabled: false,
        activated: true,
        state: 'active',
        acl: [ACL],
        description: 'd',
        homepage: 'https://h.example/',
        eula: 'https://e.example/',
        requirements: REQUIREMENTS,
        users: [{ name: 'administrator' }],
        traits: { ssd: true, hw: ['r1'] },
        tags: ['role=db', 'n=5', 'cfg='],
        tagsObj: { role: 'db', n: 5, cfg: { a: 1 } },
        billing_tags: ['windows'],
        generate_passwords: true,
        origin: '01b2c898-945f-11e1-a523-af1afbe22822',
        ...inChannels(place),
        nic_driver: 'virtio',
        disk_driver: 'virtio',
        cpu_type: 'host',
        image_size: 81920,
        uuid: FULL_UUID,
        published_at: '2019-10-01T12:00:00.000Z',
        urn: 'sdc:admin:win2019:20.1.0',
        files: [entry(BYTES.gzip, 'gzip', { dataset_guid: '12174250418047371888' })],
        icon: ICON,
    }),
    files: { file0: BYTES.gzip, icon: PNG },
    document: (place) => ({
        v: 2,
        uuid: FULL_UUID,
        owner: OWNER,
        name: 'win 2019/std',
        version: '20.1.0+b7',
        state: 'active',
        disabled: false,
        public: isPublic(place),
        published_at: '2019-10-01T12:00:00.000Z',
        type: 'zvol',
        os: 'windows',
        files: [shown(BYTES.gzip, 'gzip', { dataset_guid: '12174250418047371888' })],
        acl: [ACL],
        description: 'd',
        homepage: 'https://h.example/',
        eula: 'https://e.example/',
        icon: true,
        urn: 'sdc:admin:win2019:20.1.0',
        requirements: REQUIREMENTS,
        users: [{ name: 'administrator' }],
        generate_passwords: true,
        origin: '01b2c898-945f-11e1-a523-af1afbe22822',
        nic_driver: 'virtio',
        disk_driver: 'virtio',
        cpu_type: 'host',
        image_size: 81920,
        tags: { role: 'db', n: 5, cfg: { a: 1 } },
        ...(isPublic(place) ? {} : { billing_tags: ['windows'], traits: { ssd: true, hw: ['r1'] } }),
    }),
};

const PLACEHOLDER_UUID = '2f5c8a8e-1d2b-4c39-9a57-0c6c2d0b8f12';

/** The placeholder of manifest 8.2; one that has expired is still there until the purge. */
function placeholder(uuid: string, expires: string): Golden {
    return {
        name: 'my image',
        uuid,
        record: (place) => ({
            v: 2,
            owner: OWNER,
            name: 'my image',
            version: '1.0.0',
            type: 'null',
            os: 'null',
            public: isPublic(place),
            disabled: false,
            activated: false,
            state: 'creating',
            acl: [],
            tags: ['a=b'],
            tagsObj: { a: 'b' },
            ...inChannels(place),
            expires_at: expires,
            uuid,
        }),
        document: (place) => ({
            v: 2,
            uuid,
            owner: OWNER,
            name: 'my image',
            version: '1.0.0',
            state: 'creating',
            disabled: false,
            public: isPublic(place),
            files: [],
            tags: { a: 'b' },
        }),
    };
}

const DIGEST = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4';
const TWO_FILES = [entry(BYTES.xz, 'xz'), entry(BYTES.plain, 'none')];

/** `tags` as today's records hold them, of `{a: 'b', n: 5}`. */
const TAGS = { a: 'b', n: 5 };

/** One record for each form that is read, with its document (manifest 7-9, operations 5.5 and 6.1). */
export const GOLDEN: readonly Golden[] = [
    FULL,
    placeholder(PLACEHOLDER_UUID, '2126-11-28T19:40:54.456Z'),
    placeholder(uuidOf(1), '2014-01-01T00:00:00.000Z'),
    ...FIXTURES,
    variant(
        2,
        'docker-layer',
        {
            type: 'docker',
            os: 'linux',
            files: [
                {
                    sha1: sha1Hex(BYTES.gzip),
                    digest: DIGEST,
                    size: BYTES.gzip.length,
                    contentMD5: md5Base64(BYTES.gzip),
                    mtime: '2012-10-01T12:03:00.123Z',
                    stor: 'local',
                    compression: 'gzip',
                    uncompressedDigest: 'sha256:undefined',
                },
            ],
        },
        { type: 'docker', os: 'linux', files: [shown(BYTES.gzip, 'gzip', { digest: DIGEST })] },
    ),
    variant(
        3,
        'lxd two files',
        { type: 'lxd', os: 'linux', files: TWO_FILES.map((file) => ({ ...file, sha256: 'ab'.repeat(32) })) },
        { type: 'lxd', os: 'linux', files: [shown(BYTES.xz, 'xz'), shown(BYTES.plain, 'none')] },
        { files: { file0: BYTES.xz, file1: BYTES.plain } },
    ),
    variant(
        4,
        'text booleans',
        (place) => ({
            v: '2',
            public: String(isPublic(place)),
            disabled: 'false',
            activated: 'true',
            generate_passwords: 'false',
        }),
        { generate_passwords: false },
    ),
    variant(5, 'a number as name', { name: 5, version: 1.5 }, { name: '5', version: '1.5' }),
    variant(6, 'only tags', { tags: ['a=b', 'n=5', 'eq=a=b'] }, { tags: { a: 'b', n: '5', eq: 'a=b' } }),
    variant(
        7,
        'left from a directory',
        { objectclass: 'sdcimage', dn: 'uuid=x', controls: [], future: { kept: [1, null] } },
        {},
        { keeps: ['objectclass', 'dn', 'controls', 'future'] },
    ),
    variant(8, 'billingtag', { billingtag: ['x', 'y'] }, (place) =>
        isPublic(place) ? {} : { billing_tags: ['x', 'y'] },
    ),
    variant(9, 'billing_tags as text', { billing_tags: 'x' }, (place) =>
        isPublic(place) ? {} : { billing_tags: ['x'] },
    ),
    variant(10, 'tags as an object', { tags: TAGS }, { tags: TAGS }),
    variant(11, 'tag', { tag: ['a=b', 'n=5'] }, { tags: { a: 'b', n: '5' } }),
    variant(12, 'tags as JSON', { tag: ['a=b', 'n=5'], tags: JSON.stringify(TAGS) }, { tags: TAGS }),
    variant(
        13,
        'JSON texts',
        (place) => ({
            state: 'failed',
            activated: false,
            published_at: undefined,
            files: JSON.stringify([entry(BYTES.gzip, 'gzip')]),
            icon: JSON.stringify(ICON),
            requirements: '{"min_ram":128}',
            users: '[{"name":"root"}]',
            traits: '{"ssd":true}',
            error: '{"message":"it broke"}',
            inherited_directories: '["/opt"]',
            ...inChannels(place),
        }),
        (place) => ({
            state: 'failed',
            published_at: undefined,
            icon: true,
            requirements: { min_ram: 128 },
            users: [{ name: 'root' }],
            inherited_directories: ['/opt'],
            ...(isPublic(place) ? {} : { traits: { ssd: true } }),
            error: { message: 'it broke' },
        }),
        { files: { file0: BYTES.gzip, icon: PNG } },
    ),
    ...(['gzip', 'bzip2', 'xz'] as const).map((compression, index) =>
        variant(
            14 + index,
            `${compression} by its first bytes`,
            { files: [withoutCompression(BYTES[compression])] },
            { files: [shown(BYTES[compression], compression)] },
            { files: { file0: BYTES[compression] } },
        ),
    ),
    variant(
        17,
        'unknown first bytes',
        { files: [withoutCompression(BYTES.plain)] },
        { files: [shown(BYTES.plain, 'bzip2')] },
        { files: { file0: BYTES.plain } },
    ),
    variant(
        18,
        'the first layout',
        { files: [withoutCompression(BYTES.xz)], icon: ICON },
        { files: [shown(BYTES.xz, 'xz')], icon: true },
        { files: {}, oldFiles: { file0: BYTES.xz, icon: PNG } },
    ),
    variant(19, 'requirements that are no object', { requirements: 5 }, { requirements: 5 }),
    variant(20, 'no list of accounts', { acl: undefined }),
    variant(
        21,
        'an older form of dates',
        { published_at: '2013-01-31T00:00:00Z' },
        { published_at: '2013-01-31T00:00:00Z' },
    ),
    variant(22, 'empty lists', { tags: [], tagsObj: {}, billing_tags: [], traits: {} }, { tags: {} }),
    variant(
        23,
        'an upload that never ended',
        {},
        {},
        { files: { file0: BYTES.gzip, 'file0.4f2dda95-08a6-4d16-ad04-77ce270d0cb0': BYTES.plain } },
    ),
    variant(
        24,
        'with fields of our own',
        {
            x_imgapi: { import_id: uuidOf(99) },
            files: [entry(BYTES.gzip, 'gzip', { sha256: sha256(BYTES.gzip) })],
        },
        {},
        { keeps: ['x_imgapi'] },
    ),
];

/** Writes records and files as an existing server left them. */
export function plantGolden(baseDir: string, place: Place): void {
    mkdirSync(join(baseDir, 'manifests'), { recursive: true });
    for (const { uuid, record, files = {}, oldFiles } of GOLDEN) {
        const text = JSON.stringify(record(place), null, 2);
        writeFileSync(join(baseDir, 'manifests', `${uuid}.raw`), text);
        const places = [
            [imageDirectory(baseDir, uuid), files],
            [join(baseDir, 'images', uuid), oldFiles ?? {}],
        ] as const;
        for (const [directory, content] of places) {
            if (Object.keys(content).length > 0) mkdirSync(directory, { recursive: true });
            for (const [name, data] of Object.entries(content)) writeFileSync(join(directory, name), data);
        }
    }
}
