import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, HttpClient } from '../helpers/http-client.js';
import {
    createImage,
    gzipFile,
    imageDirectory,
    manifest,
    NOBODY,
    PNG,
    sha1Hex,
    uploadFile,
} from '../helpers/images.js';

const FIRST = gzipFile('the first bytes');
const SECOND = gzipFile('the second bytes, more of them');
const OTHER_PNG = Buffer.concat([PNG, Buffer.from('other')]);

/** A write, as a client makes it. */
export interface DiskOperation {
    readonly name: string;
    /** Makes what the write needs and gives the uuid of its image. */
    prepare(client: HttpClient): Promise<string>;
    run(client: HttpClient, uuid: string): Promise<Answer>;
    /** Uuid of the image after the write, where it changes. */
    readonly newUuid?: string;
    /** Which old bytes are replaced: once they are, a failure cannot bring them back. */
    readonly replaces?: 'file' | 'icon';
}

async function must(answer: Promise<Answer>): Promise<void> {
    const { status, text } = await answer;
    if (status >= 300) throw new Error(`${status} ${text}`);
}

const putFile = (client: HttpClient, uuid: string, bytes: Buffer) =>
    client.put(`/images/${uuid}/file?compression=gzip`, bytes);
const putIcon = (client: HttpClient, uuid: string, bytes: Buffer) =>
    client.put(`/images/${uuid}/icon`, bytes, { headers: { 'content-type': 'image/png' } });

/** An image with file and icon that is not activated. */
async function filled(client: HttpClient): Promise<string> {
    const uuid = await createImage(client);
    await uploadFile(client, uuid, FIRST);
    await must(putIcon(client, uuid, PNG));
    return uuid;
}

/** Every kind of write there is on disk. */
export const OPERATIONS: readonly DiskOperation[] = [
    {
        name: 'import',
        prepare: () => Promise.resolve(randomUUID()),
        run: (client, uuid) =>
            client.post(`/images/${uuid}?action=import`, manifest({ uuid, owner: NOBODY })),
    },
    {
        name: 'update',
        prepare: (client) => createImage(client),
        run: (client, uuid) => client.post(`/images/${uuid}?action=update`, { description: 'new' }),
    },
    {
        name: 'first upload',
        prepare: (client) => createImage(client),
        run: (client, uuid) => putFile(client, uuid, FIRST),
    },
    { name: 'second upload', prepare: filled, run: (c, uuid) => putFile(c, uuid, SECOND), replaces: 'file' },
    {
        name: 'first icon',
        prepare: (client) => createImage(client),
        run: (client, uuid) => putIcon(client, uuid, PNG),
    },
    { name: 'second icon', prepare: filled, run: (c, uuid) => putIcon(c, uuid, OTHER_PNG), replaces: 'icon' },
    {
        name: 'activation',
        prepare: filled,
        run: (client, uuid) => client.post(`/images/${uuid}?action=activate`),
    },
    {
        name: 'removal of the icon',
        prepare: filled,
        run: (client, uuid) => client.delete(`/images/${uuid}/icon`),
    },
    { name: 'removal', prepare: filled, run: (client, uuid) => client.delete(`/images/${uuid}`) },
];

/** One of {@link OPERATIONS}. */
export function operation(name: string): DiskOperation {
    const found = OPERATIONS.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no operation ${name}`);
    return found;
}

/** A change of uuid, each time to another one. */
export function changeOfUuid(): DiskOperation {
    const newUuid = randomUUID();
    return {
        name: 'change of uuid',
        prepare: filled,
        run: (client, uuid) => client.post(`/images/${uuid}?action=update`, { uuid: newUuid }),
        newUuid,
    };
}

/** What clients see of an image; `undefined` as a whole: it does not exist. */
export interface ClientView {
    readonly document: string;
    /** SHA-1 of the bytes. */
    readonly file?: string;
    readonly icon?: string;
}

/** What clients and the disk say of an image. */
export interface ImageView extends ClientView {
    readonly record: string;
}

/** Looks at an image as clients do; throws when its file is not the one its document names. */
export async function lookByClient(client: HttpClient, uuid: string): Promise<ClientView | undefined> {
    const answer = await client.get(`/images/${uuid}`);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    const [file] = answer.document['files'] as readonly { readonly sha1: string }[];
    const hasIcon = answer.document['icon'] === true;
    const bytes = file === undefined ? undefined : await client.get(`/images/${uuid}/file`);
    const icon = hasIcon ? await client.get(`/images/${uuid}/icon`) : undefined;
    if (bytes !== undefined && (bytes.status !== 200 || sha1Hex(bytes.body) !== file?.sha1)) {
        throw new Error(`the file is not the recorded one: ${bytes.status}`);
    }
    if (icon !== undefined && (icon.status !== 200 || sha1Hex(icon.body) !== icon.header('etag'))) {
        throw new Error(`the icon is not the recorded one: ${icon.status}`);
    }
    return {
        document: answer.text,
        ...(file === undefined ? {} : { file: file.sha1 }),
        ...(icon === undefined ? {} : { icon: sha1Hex(icon.body) }),
    };
}

/**
 * Looks at an image from all sides; throws when clients, record and files do not agree.
 *
 * @param notes files that note work for later: what they are about may be there although no record names it
 */
export async function look(
    client: HttpClient,
    baseDir: string,
    uuid: string,
    notes: readonly string[] = [],
): Promise<ImageView | undefined> {
    const seen = await lookByClient(client, uuid);
    const path = join(baseDir, 'manifests', `${uuid}.raw`);
    const record = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    const directory = imageDirectory(baseDir, uuid);
    const expected = ['file', 'icon'].filter((key) => seen?.[key as 'file' | 'icon'] !== undefined);
    const strays = (existsSync(directory) ? readdirSync(directory) : []).filter(
        (name) => /^(file\d+|icon)$/.test(name) && !expected.includes(name.replace(/\d+$/, '')),
    );
    if (strays.length > 0 && !notes.some((note) => note.includes(uuid))) {
        throw new Error(`bytes without a record: ${strays.join()}`);
    }
    if ((seen === undefined) !== (record === undefined)) {
        throw new Error(`clients see ${seen?.document ?? 'nothing'}, the record is ${record ?? 'missing'}`);
    }
    if (seen === undefined || record === undefined) return undefined;
    const stored = JSON.parse(record) as { readonly files?: readonly Entry[]; readonly icon?: Entry };
    if (stored.files?.[0]?.sha1 !== seen.file || stored.icon?.sha1 !== seen.icon) {
        throw new Error(`clients see ${seen.document}, the record is ${record}`);
    }
    return { ...seen, record };
}

interface Entry {
    readonly sha1: string;
}

/** Files below a base directory that no finished write leaves there, relative to it. */
export function leftovers(baseDir: string): string[] {
    const paths = (directory: string): string[] =>
        existsSync(join(baseDir, directory))
            ? readdirSync(join(baseDir, directory), { recursive: true, withFileTypes: true })
                  .filter((entry) => entry.isFile() || (directory === 'images' && isEmptyImage(entry)))
                  .map((entry) => join(entry.parentPath, entry.name).slice(baseDir.length + 1))
            : [];
    const isEmptyImage = (entry: { readonly parentPath: string; readonly name: string }): boolean =>
        entry.name.length > 3 && readdirSync(join(entry.parentPath, entry.name)).length === 0;
    return [
        ...paths('manifests').filter((path) => !/^manifests\/[0-9a-f-]{36}\.raw$/.test(path)),
        ...paths('archive').filter((path) => !/^archive\/...\/[0-9a-f-]{36}\.json$/.test(path)),
        ...paths('images').filter((path) => !/^images\/...\/[0-9a-f-]{36}\/(file\d|icon)$/.test(path)),
        ...paths('run').filter((path) => path !== 'run/imgapi.lock'),
        ...paths('staging'),
    ];
}
