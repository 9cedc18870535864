import {
    BASE_181,
    BASE_200,
    DARK_SIDE,
    FATHER,
    JOIN_US,
    NODEJS,
    PNG,
    USERS,
    gzipFile,
    type Fixture,
} from './images.js';

const { vader, luke, emperor, sdc } = USERS;
export const TAGGED = 'a0000000-0000-4000-8000-000000000001';
export const ZVOL = 'b0000000-0000-4000-8000-000000000002';
export const CREATING = 'c0000000-0000-4000-8000-000000000003';
export const FAILED = 'd0000000-0000-4000-8000-000000000004';
export const LONG = 'x'.repeat(101);

export const PRIVATE_IMAGES: readonly Fixture[] = [
    {
        uuid: FATHER,
        name: 'i-am-your-father',
        version: '0.0.1',
        owner: vader,
        activated: true,
        published_at: '2012-01-01T00:00:00.000Z',
        file: gzipFile('father'),
        more: { acl: luke },
    },
    {
        uuid: DARK_SIDE,
        name: 'come-to-the-dark-side',
        version: '42.1.2',
        owner: vader,
        activated: true,
        disabled: true,
        published_at: '2012-02-01T00:00:00.000Z',
        file: gzipFile('dark side'),
        more: { acl: [luke] },
    },
    {
        uuid: JOIN_US,
        name: 'he-will-join-us-or-die',
        version: '1.2.3',
        owner: vader,
        file: gzipFile('join us'),
        more: { acl: [emperor] },
    },
    {
        uuid: TAGGED,
        name: 'tagged',
        owner: sdc,
        activated: true,
        published_at: '2013-05-01T00:00:00Z',
        file: gzipFile('tagged'),
        icon: PNG,
        tags: { role: 'db', n: 5, flag: true, big: LONG, obj: { a: 1 }, nul: null, eq: 'a=b' },
        more: { billing_tags: ['xl', 'gold'], traits: { ssd: true } },
    },
    {
        uuid: ZVOL,
        name: 'volume',
        owner: sdc,
        activated: true,
        published_at: '2013-05-01T00:00:00.000Z',
        file: gzipFile('volume'),
        more: {
            type: 'zvol',
            os: 'linux',
            nic_driver: 'virtio',
            disk_driver: 'virtio',
            cpu_type: 'host',
            image_size: 10240,
            billing_tags: 'xl',
        },
    },
    {
        uuid: CREATING,
        name: 'being-made',
        owner: luke,
        state: 'creating',
        more: { type: 'null', os: 'null', expires_at: '2999-01-01T00:00:00.000Z' },
    },
    {
        uuid: FAILED,
        name: 'not-made',
        owner: luke,
        state: 'failed',
        more: {
            type: 'null',
            os: 'null',
            error: { code: 'PrepareImageDidNotRun', message: 'boom' },
            expires_at: '2999-01-01T00:00:00.000Z',
        },
    },
];

const publicImage = { owner: sdc, public: true } as const;
export const PUBLIC_IMAGES: readonly Fixture[] = [
    {
        ...publicImage,
        uuid: BASE_181,
        name: 'base',
        version: '1.8.1',
        activated: true,
        published_at: '2012-11-02T10:00:00.000Z',
        file: gzipFile('base'),
        more: { urn: 'sdc:sdc:base:1.8.1', billing_tags: ['xl'], traits: { ssd: true } },
    },
    {
        ...publicImage,
        uuid: NODEJS,
        name: 'nodejs',
        activated: true,
        disabled: true,
        published_at: '2012-11-02T11:00:00.000Z',
        file: gzipFile('nodejs'),
        more: { urn: 'sdc:sdc:nodejs:1.0.0' },
    },
    { ...publicImage, uuid: BASE_200, name: 'base', version: '2.0.0' },
];
