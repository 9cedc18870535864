import { createHash } from 'node:crypto';
import { gzipFile, md5Base64, PNG, sha1Hex } from './images.js';

/** What kind of server reads the records. */
export interface Place {
    readonly mode: 'public' | 'private';
    readonly channels: boolean;
}

type Json = Readonly<Record<string, unknown>>;

/** A stored image in a form that existing servers wrote, and what clients are shown of it. */
export interface Golden {
    readonly name: string;
    readonly uuid: string;
    /** Content of `manifests/<uuid>.raw`. */
    readonly record: (place: Place) => Json;
    /** Files in the image's directory. */
    readonly files?: Readonly<Record<string, Buffer>>;
    /** Files in the directory that the first servers used, `images/<uuid>`. */
    readonly oldFiles?: Readonly<Record<string, Buffer>>;
    /** The document, apart from `channels`, in the order of its keys. */
    readonly document: (place: Place) => Json;
    /** Keys that are not for this server, and stay. */
    readonly keeps?: readonly string[];
}

export const OWNER = '930896af-bf8c-48d4-885c-6573a94b1853';
const MTIME = '2012-10-01T12:03:00.123Z';

/** Bytes that only look like what they are named after; nothing unpacks them. */
export const BYTES = {
    gzip: gzipFile('golden'),
    bzip2: Buffer.concat([Buffer.from('BZh91AY&SY'), Buffer.from('golden')]),
    xz: Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), Buffer.from('golden')]),
    plain: Buffer.from('file\n'),
} as const;

export const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

/** An entry of `files` as an upload stores it. */
export function entry(data: Buffer, compression: string, more: Json = {}): Json {
    return { ...withoutCompression(data), compression, ...more };
}

export function withoutCompression(data: Buffer): Json {
    return {
        sha1: sha1Hex(data),
        size: data.length,
        contentMD5: md5Base64(data),
        mtime: MTIME,
        stor: 'local',
    };
}

/** What clients are shown of a file. */
export function shown(data: Buffer, compression: string, more: Json = {}): Json {
    return { sha1: sha1Hex(data), size: data.length, compression, ...more };
}

export const ICON = { ...withoutCompression(PNG), contentType: 'image/png' };

export const isPublic = ({ mode }: Place): boolean => mode === 'public';
export const inChannels = ({ channels }: Place): Json => (channels ? { channels: ['dev', 'release'] } : {});

/** Keys of a record that every server wrote, in a record that is active. */
function active(place: Place, name: string, uuid: string, more: Json): Json {
    return {
        v: 2,
        owner: OWNER,
        name,
        version: '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        public: isPublic(place),
        disabled: false,
        activated: true,
        state: 'active',
        acl: [],
        ...inChannels(place),
        uuid,
        published_at: '2012-10-01T12:00:00.000Z',
        ...more,
    };
}

/** The document of {@link active}; `more` comes last. */
function activeDocument(
    place: Place,
    name: string,
    uuid: string,
    files: readonly Json[],
    more: Json = {},
): Json {
    return {
        v: 2,
        uuid,
        owner: OWNER,
        name,
        version: '1.0.0',
        state: 'active',
        disabled: false,
        public: isPublic(place),
        published_at: '2012-10-01T12:00:00.000Z',
        type: 'zone-dataset',
        os: 'smartos',
        files,
        ...more,
    };
}

export const uuidOf = (n: number): string => `0a0a0a0a-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** An active image whose record differs from today's form in one point. */
export function variant(
    n: number,
    name: string,
    record: Json | ((place: Place) => Json),
    document: Json | ((place: Place) => Json) = {},
    more: Partial<Golden> = {},
): Golden {
    const uuid = uuidOf(n);
    const of = (part: Json | ((place: Place) => Json), place: Place): Json =>
        typeof part === 'function' ? part(place) : part;
    return {
        name,
        uuid,
        record: (place) =>
            active(place, name, uuid, { files: [entry(BYTES.gzip, 'gzip')], ...of(record, place) }),
        files: { file0: BYTES.gzip },
        document: (place) => ({
            ...activeDocument(place, name, uuid, [shown(BYTES.gzip, 'gzip')]),
            ...of(document, place),
        }),
        ...more,
    };
}

/** An image of the fixtures of operations 6.1. */
export function fixture(
    name: string,
    version: string,
    uuid: string,
    facts: {
        readonly owner: string;
        readonly state: 'active' | 'disabled' | 'unactivated';
        readonly acl?: unknown;
        readonly urn?: string;
        readonly file?: boolean;
    },
): Golden {
    const { owner, state, acl, urn, file = true } = facts;
    const published = state === 'unactivated' ? {} : { published_at: '2012-08-13T17:21:15.000Z' };
    return {
        name,
        uuid,
        record: (place) => ({
            v: 2,
            uuid,
            owner,
            name,
            version,
            description: `${name}, as loaded by the fixtures`,
            os: 'smartos',
            type: 'zone-dataset',
            ...published,
            state,
            disabled: state === 'disabled',
            activated: state !== 'unactivated',
            public: isPublic(place),
            ...(acl === undefined ? {} : { acl }),
            ...(urn === undefined ? {} : { urn }),
            ...inChannels(place),
            ...(file ? { files: [entry(BYTES.plain, 'bzip2')] } : {}),
        }),
        ...(file ? { files: { file0: BYTES.plain } } : {}),
        document: (place) => ({
            v: 2,
            uuid,
            owner,
            name,
            version,
            state,
            disabled: state === 'disabled',
            public: isPublic(place),
            ...published,
            type: 'zone-dataset',
            os: 'smartos',
            files: file ? [shown(BYTES.plain, 'bzip2')] : [],
            ...(acl === undefined ? {} : { acl: typeof acl === 'string' ? [acl] : acl }),
            description: `${name}, as loaded by the fixtures`,
            ...(urn === undefined ? {} : { urn }),
        }),
    };
}
