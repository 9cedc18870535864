import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Answer, HttpClient } from './http-client.js';

/** Accounts of the fixtures (operations 6.1). */
export const USERS = {
    vader: '86055c40-2547-11e2-8a6b-4bb37edc84ba',
    luke: '91ba0e64-2547-11e2-a972-df579e5fddb3',
    emperor: 'a0b6b534-2547-11e2-b758-63a2afd747d1',
    sdc: 'ba28f844-8cb4-f141-882d-46d6251e6a9f',
} as const;

export const NOBODY = '00000000-0000-0000-0000-000000000000';
/** A uuid no fixture has. */
export const UNKNOWN = 'ffffffff-1111-4222-8333-444444444444';

export const FATHER = '7a1b1967-6ecf-1e4c-8f09-f49094cc36ad';
export const DARK_SIDE = '9f819499-8298-9842-8cc5-1c2838196ab4';
export const JOIN_US = '2d28c64f-fb16-2145-a0ca-f626aea35c77';
export const BASE_181 = 'c58161c0-2547-11e2-a75e-9fdca1940570';
export const NODEJS = 'da58c25a-2547-11e2-9b8d-136daa650e8a';
export const BASE_200 = 'e078a6aa-2547-11e2-8688-03ac37b2b4a0';

/** Real gzip bytes, different for each text. */
export function gzipFile(text: string): Buffer {
    return gzipSync(Buffer.from(text));
}

/** The smallest real PNG: one transparent pixel. */
export const PNG = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
    'base64',
);

export function sha1Hex(data: Buffer | string): string {
    return createHash('sha1').update(data).digest('hex');
}

export function md5Base64(data: Buffer | string): string {
    return createHash('md5').update(data).digest('base64');
}

/** What a stored image of a test is made of; the rest is filled in. */
export interface Fixture {
    readonly uuid: string;
    readonly name: string;
    readonly version?: string;
    readonly owner?: string;
    readonly public?: boolean;
    readonly disabled?: boolean;
    readonly activated?: boolean;
    readonly state?: string;
    readonly published_at?: string;
    readonly tags?: Readonly<Record<string, unknown>>;
    readonly file?: Buffer;
    readonly icon?: Buffer;
    /** Any further key of the stored record. */
    readonly more?: Readonly<Record<string, unknown>>;
}

const UPLOADED = '2012-11-01T10:00:00.000Z';

function bytesFacts(data: Buffer): Record<string, unknown> {
    return {
        sha1: sha1Hex(data),
        size: data.length,
        contentMD5: md5Base64(data),
        mtime: UPLOADED,
        stor: 'local',
    };
}

function stateOf(fixture: Fixture): string {
    if (fixture.state !== undefined) return fixture.state;
    if (fixture.activated !== true) return 'unactivated';
    return fixture.disabled === true ? 'disabled' : 'active';
}

function searchTags(tags: Readonly<Record<string, unknown>>): string[] {
    return Object.entries(tags).map(([key, value]) => {
        const short =
            typeof value === 'string' ? value.length <= 100 : value !== null && typeof value !== 'object';
        return `${key}=${short ? String(value) : ''}`;
    });
}

/** The record as the local database stores it (manifest 8.2). */
export function rawRecord(fixture: Fixture): Record<string, unknown> {
    const { file, icon, tags } = fixture;
    return {
        v: 2,
        owner: fixture.owner ?? NOBODY,
        name: fixture.name,
        version: fixture.version ?? '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        public: fixture.public ?? false,
        disabled: fixture.disabled ?? false,
        activated: fixture.activated ?? false,
        state: stateOf(fixture),
        acl: [],
        uuid: fixture.uuid,
        ...(fixture.published_at === undefined ? {} : { published_at: fixture.published_at }),
        ...(tags === undefined ? {} : { tags: searchTags(tags), tagsObj: tags }),
        ...(file === undefined ? {} : { files: [{ ...bytesFacts(file), compression: 'gzip' }] }),
        ...(icon === undefined ? {} : { icon: { ...bytesFacts(icon), contentType: 'image/png' } }),
        ...fixture.more,
    };
}

/** Puts the bytes of images into a base directory. */
export function writeFixtureBytes(baseDir: string, fixtures: readonly Fixture[]): void {
    for (const fixture of fixtures) {
        const directory = imageDirectory(baseDir, fixture.uuid);
        mkdirSync(directory, { recursive: true });
        if (fixture.file !== undefined) writeFileSync(join(directory, 'file0'), fixture.file);
        if (fixture.icon !== undefined) writeFileSync(join(directory, 'icon'), fixture.icon);
    }
}

/** Puts images into a base directory before a server with the local database is started on it. */
export function writeFixtures(baseDir: string, fixtures: readonly Fixture[]): void {
    const manifests = join(baseDir, 'manifests');
    mkdirSync(manifests, { recursive: true });
    writeFixtureBytes(baseDir, fixtures);
    for (const fixture of fixtures) {
        writeFileSync(join(manifests, `${fixture.uuid}.raw`), JSON.stringify(rawRecord(fixture), null, 2));
    }
}

/** Directory of an image's bytes (backends 7). */
export function imageDirectory(baseDir: string, uuid: string): string {
    return join(baseDir, 'images', uuid.slice(0, 3), uuid);
}

/** A manifest that a server of mode private takes. */
export function manifest(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return {
        v: 2,
        owner: USERS.vader,
        name: 'alderaan',
        version: '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        ...changes,
    };
}

function must(answer: Answer, what: string): Answer {
    if (answer.status !== 200) throw new Error(`${what}: ${answer.status} ${answer.text}`);
    return answer;
}

/** Creates an image and gives its uuid. */
export async function createImage(
    client: HttpClient,
    changes: Readonly<Record<string, unknown>> = {},
    query = '',
): Promise<string> {
    return String(must(await client.post(`/images${query}`, manifest(changes)), 'create').document['uuid']);
}

/** Uploads gzip bytes as file 0 of an image. */
export async function uploadFile(
    client: HttpClient,
    uuid: string,
    file: Buffer,
    query = '',
): Promise<Answer> {
    const path = `/images/${uuid}/file?compression=gzip${query}`;
    return must(await client.put(path, file), 'upload');
}

/** Creates, fills and activates an image and gives its uuid. */
export async function publishImage(
    client: HttpClient,
    changes: Readonly<Record<string, unknown>> = {},
    file: Buffer = gzipFile('a small file'),
): Promise<string> {
    const uuid = await createImage(client, changes);
    await uploadFile(client, uuid, file);
    must(await client.post(`/images/${uuid}?action=activate`), 'activate');
    return uuid;
}

/** What lists of lineage tell of an image of {@link rawRecord} (jobs-and-imports 8.7), but for its uuid. */
export function lineageFacts(
    name: string,
    changes: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
    return {
        name,
        version: '1.0.0',
        owner: USERS.vader,
        type: 'zone-dataset',
        os: 'smartos',
        state: 'active',
        disabled: false,
        ...changes,
    };
}
