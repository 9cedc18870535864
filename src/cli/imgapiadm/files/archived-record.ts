import { open, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { VALID_FILE_COMPRESSIONS } from '../../../base/constants.js';
import { uuidPrefix } from '../../../base/directories.js';
import { compressionByMagic, hasMagic } from '../../../base/magic-bytes.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { buildOptions } from '../../../images/new-record.js';
import type { FileArea } from '../../../maintenance/files/file-area.js';
import type { FileDigests, FoundFile } from '../../../maintenance/files/finding.js';
import { buildImage } from '../../../manifest/build.js';
import { isObject } from '../../../manifest/coerce.js';
import { computeState } from '../../../manifest/state.js';
import type { JsonObject, JsonValue, ManifestRules, RawImage } from '../../../manifest/types.js';
import { validateRaw } from '../../../manifest/validate.js';
import type { ServerData } from '../offline/server-data.js';
import type { OpenFiles } from './open-files.js';

/** Largest archived manifest that is read, bytes. */
const MAX_MANIFEST_SIZE = 16_777_216;
/** Bytes that tell of what kind a file is. */
const HEAD_SIZE = 16;
/** Most files of an image. */
const MAX_FILES = 2;
/** Fields that say how the image was, not what it is. */
const OF_STATE: ReadonlySet<string> = new Set([
    'files',
    'icon',
    'state',
    'activated',
    'disabled',
    'channels',
]);
/** What icons begin with. */
const ICON_TYPES: readonly (readonly [string, readonly number[]])[] = [
    ['image/png', [0x89, 0x50, 0x4e, 0x47]],
    ['image/gif', [0x47, 0x49, 0x46]],
    ['image/jpeg', [0xff, 0xd8, 0xff]],
];

/** A file that is there, read. */
interface ReadFile {
    readonly found: FoundFile;
    readonly digests: FileDigests;
    readonly head: Buffer;
}

/** The archived manifest of an image, from this machine or from Manta. @throws Error when there is none */
async function archivedManifest({ data, away }: OpenFiles, uuid: string): Promise<JsonObject> {
    const { directories, objects, config } = data;
    const name = `${uuid}.json`;
    const path = join(directories.archive, uuidPrefix(uuid), name);
    const here = await unlessMissing(readFile(path, 'utf8'));
    const text =
        here ??
        (objects === undefined || away.has('manta')
            ? undefined
            : (
                  await objects.read(
                      posix.join(config.manta?.rootDir ?? '', 'archive', uuidPrefix(uuid), name),
                      MAX_MANIFEST_SIZE,
                  )
              )?.bytes.toString());
    if (text === undefined) {
        throw new Error('there is no archived manifest');
    }
    const manifest: unknown = JSON.parse(text);
    if (!isObject(manifest) || manifest['uuid'] !== uuid) {
        throw new Error('the archived manifest is none of this image');
    }
    return manifest as JsonObject;
}

async function headOf(area: FileArea, { path }: FoundFile, data: ServerData): Promise<Buffer> {
    const head = Buffer.alloc(HEAD_SIZE);
    if (area.stor === 'manta') {
        const opened = await data.objects?.open(path, { start: 0, end: HEAD_SIZE - 1 });
        const chunks: Buffer[] = [];
        for await (const chunk of opened?.stream ?? []) {
            chunks.push(chunk as Buffer);
        }
        return Buffer.concat([...chunks, head]).subarray(0, HEAD_SIZE);
    }
    const handle = await open(path, 'r');
    try {
        await handle.read(head, 0, HEAD_SIZE, 0);
        return head;
    } finally {
        await handle.close();
    }
}

/** The file of an image that has this name, in the first storage that has it where it belongs. */
async function readNamed(
    { areas, data }: OpenFiles,
    uuid: string,
    name: string,
    signal: AbortSignal,
): Promise<ReadFile | undefined> {
    for (const area of areas) {
        const places = (await area.places(uuid)).filter(({ layout }) => layout === 'current');
        const found = places
            .flatMap(({ entries }) => entries)
            .find((entry) => entry.name === name && entry.type === 'file');
        const digests = found && (await area.digests(found, signal));
        if (found !== undefined && digests !== undefined) {
            return { found, digests, head: await headOf(area, found, data) };
        }
    }
    return undefined;
}

/** What the archive says of a file, as far as it is kept in records. */
function archivedEntry(entry: JsonValue | undefined): JsonObject {
    return isObject(entry) ? entry : {};
}

/** A record's entry for a file that is there. @throws Error when the archive tells of another file */
function entryOf(name: string, file: ReadFile, archived: JsonObject): JsonObject {
    const { found, digests, head } = file;
    if (archived['sha1'] !== undefined && archived['sha1'] !== digests.sha1) {
        throw new Error(`${name} is not that of the archived manifest: its sha1 is ${digests.sha1}`);
    }
    const { dataset_guid: guid, digest, uncompressedDigest, compression } = archived;
    const known = VALID_FILE_COMPRESSIONS.find((one) => one === compression);
    return {
        sha1: digests.sha1,
        size: digests.size,
        contentMD5: digests.md5,
        mtime: new Date(found.mtime).toISOString(),
        stor: found.stor,
        compression: known ?? compressionByMagic(head) ?? 'none',
        ...(guid === undefined ? {} : { dataset_guid: guid }),
        ...(digest === undefined ? {} : { digest }),
        ...(uncompressedDigest === undefined ? {} : { uncompressedDigest }),
    };
}

async function fileEntries(
    files: OpenFiles,
    uuid: string,
    manifest: JsonObject,
    signal: AbortSignal,
): Promise<readonly JsonObject[]> {
    const archived = Array.isArray(manifest['files']) ? (manifest['files'] as readonly JsonValue[]) : [];
    const entries: JsonObject[] = [];
    for (let index = 0; index < MAX_FILES; index += 1) {
        const name = `file${index}`;
        const file = await readNamed(files, uuid, name, signal);
        if (file === undefined) {
            break;
        }
        entries.push(entryOf(name, file, archivedEntry(archived[index])));
    }
    if (entries.length < archived.length) {
        throw new Error(`file${entries.length} of the archived manifest is not there`);
    }
    return entries;
}

/** An entry for the icon, if there is one of a known kind. */
async function iconEntry(
    files: OpenFiles,
    uuid: string,
    signal: AbortSignal,
): Promise<JsonObject | undefined> {
    const file = await readNamed(files, uuid, 'icon', signal);
    const contentType = ICON_TYPES.find(([, magic]) => file !== undefined && hasMagic(file.head, magic))?.[0];
    if (file === undefined || contentType === undefined) {
        return undefined;
    }
    const { found, digests } = file;
    return {
        sha1: digests.sha1,
        size: digests.size,
        contentMD5: digests.md5,
        mtime: new Date(found.mtime).toISOString(),
        stor: found.stor,
        contentType,
    };
}

/** The channels of an image, on a server that has channels: of one archived without any, an operator has to say. */
function channelsOf({ channels }: JsonObject, rules: ManifestRules): JsonObject {
    return rules.channels ? { channels: Array.isArray(channels) ? channels : [] } : {};
}

/**
 * Makes the record of an image again, of its archived manifest and of what its files are (operations 2.4).
 *
 * @param keepsState whether the image has been in use until now: then it is as the archive says, else
 * `disabled`
 * @throws Error when there is no archived manifest, or it does not fit the files
 */
export async function archivedRecord(
    files: OpenFiles,
    uuid: string,
    keepsState: boolean,
    signal: AbortSignal,
): Promise<RawImage> {
    const { images } = files.data;
    const manifest = await archivedManifest(files, uuid);
    const entries = await fileEntries(files, uuid, manifest, signal);
    const icon = await iconEntry(files, uuid, signal);
    const { state } = manifest;
    const kept = Object.fromEntries(Object.entries(manifest).filter(([key]) => !OF_STATE.has(key)));
    const options = buildOptions(images);
    const raw = buildImage('import', { ...kept, ...channelsOf(manifest, options.rules) }, options);
    const activated = entries.length > 0 && (!keepsState || state === 'active' || state === 'disabled');
    const disabled = activated && (!keepsState || manifest['disabled'] === true);
    const published = raw.published_at ?? entries[0]?.['mtime'];
    const record = {
        ...raw,
        activated,
        disabled,
        state: computeState({ activated, disabled }),
        ...(activated && published !== undefined ? { published_at: published } : {}),
        ...(entries.length === 0 ? {} : { files: entries }),
        ...(icon === undefined ? {} : { icon }),
    };
    return validateRaw(record, options.rules, 'lenient');
}
