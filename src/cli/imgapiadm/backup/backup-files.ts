import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { uuidPrefix } from '../../../base/directories.js';
import { shortReason } from '../../../base/short-reason.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { walkFiles } from '../../../base/walk-files.js';

/** What a backup has of the base directory, beside what it has of `etc` (operations 3.2). */
export const AREAS = ['images', 'archive', 'sharing', 'manifests'] as const;
/** One of {@link AREAS}. */
export type Area = (typeof AREAS)[number];

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

/** Final names alone, no temporary ones; image files also where very old servers put them. */
const PATTERNS: Readonly<Record<Area, RegExp>> = {
    images: new RegExp(`^images/(?:[0-9a-f-]{3}/)?(${UUID})/(?:file(?:0|[1-9][0-9]?)|icon)$`),
    archive: new RegExp(`^archive/[0-9a-f-]{3}/(${UUID})\\.json$`),
    sharing: new RegExp(`^sharing/(${UUID})\\.json$`),
    manifests: new RegExp(`^manifests/(${UUID})\\.raw$`),
};

/** Deepest file below an area. */
export const AREA_DEPTH = 2;

/** A file by its path below the base directory, with `/` between names. */
export interface KeptFile {
    readonly size: number;
    /** Whole milliseconds since the epoch; absent: not known. */
    readonly mtimeMs?: number;
}

/** Files by their paths. */
export type Files = ReadonlyMap<string, KeptFile>;

/** The area a file belongs to; `undefined`: no backup has such a file. */
export function areaOf(path: string): Area | undefined {
    return AREAS.find((area) => PATTERNS[area].test(path));
}

/** The image, or account, a file of an area is of. */
export function uuidOf(path: string): string | undefined {
    const area = areaOf(path);
    return area && PATTERNS[area].exec(path)?.[1];
}

function factsOf({ size, mtimeMs }: { readonly size: number; readonly mtimeMs: number }): Required<KeptFile> {
    return { size, mtimeMs: Math.floor(mtimeMs) };
}

/** Size and time of a file of the base directory; `undefined`: there is none. */
export async function statFile(base: string, path: string): Promise<Required<KeptFile> | undefined> {
    const found = await unlessMissing(stat(join(base, path)));
    return found?.isFile() === true ? factsOf(found) : undefined;
}

/** All files of an area below a directory that has areas. @throws the file system's error */
export async function listArea(base: string, area: Area): Promise<Files> {
    const files = new Map<string, KeptFile>();
    for await (const { segments } of walkFiles(join(base, area), AREA_DEPTH)) {
        const path = [area, ...segments].join('/');
        const found = areaOf(path) === undefined ? undefined : await statFile(base, path);
        if (found !== undefined) {
            files.set(path, found);
        }
    }
    return files;
}

/** All files of all areas. @throws the file system's error */
export async function listFiles(base: string): Promise<Files> {
    const lists = await Promise.all(AREAS.map((area) => listArea(base, area)));
    return new Map(lists.flatMap((list) => [...list]));
}

/** Whether two files have the same size and time; on some file systems times are a little coarse. */
export function isSame(a: KeptFile, b: KeptFile | undefined): boolean {
    return (
        b !== undefined &&
        a.size === b.size &&
        a.mtimeMs !== undefined &&
        b.mtimeMs !== undefined &&
        Math.abs(a.mtimeMs - b.mtimeMs) <= 1
    );
}

/** Bytes on their way into a backup, or out of it. */
export interface FileBytes extends KeptFile {
    readonly path: string;
    readonly chunks: AsyncIterable<Buffer>;
}

const CHUNK_SIZE = 1_048_576;

/** A file of the base directory that cannot be read. */
export class UnreadableError extends Error {
    override readonly name = 'UnreadableError';

    constructor(cause: unknown) {
        super(`it cannot be read: ${shortReason(cause)}`, { cause });
    }
}

/** A file of the base directory that was written to while it was read: another try may do better. */
export class ChangedError extends Error {
    override readonly name = 'ChangedError';

    constructor() {
        super('it changed while it was read');
    }
}

/** Has what reading fails with told from what the use of the bytes fails with. */
async function reading<T>(task: Promise<T>): Promise<T> {
    try {
        return await task;
    } catch (error) {
        throw new UnreadableError(error);
    }
}

async function* chunksOf(handle: FileHandle): AsyncIterable<Buffer> {
    for (;;) {
        const { bytesRead, buffer } = await reading(handle.read({ buffer: Buffer.allocUnsafe(CHUNK_SIZE) }));
        if (bytesRead === 0) {
            return;
        }
        yield buffer.subarray(0, bytesRead);
    }
}

/**
 * Opens a file and has its bytes used: those it had when it was opened, even if it is replaced meanwhile.
 *
 * @returns what was used; `undefined`: there is no such file
 * @throws UnreadableError, or what `use` throws
 */
export async function withFile(
    base: string,
    path: string,
    use: (file: FileBytes) => Promise<void>,
): Promise<Required<KeptFile> | undefined> {
    const handle = await reading(unlessMissing(open(join(base, path), 'r')));
    if (handle === undefined) {
        return undefined;
    }
    try {
        const facts = factsOf(await reading(handle.stat()));
        await use({ path, ...facts, chunks: chunksOf(handle) });
        return facts;
    } finally {
        await handle.close();
    }
}

/** A small file whose bytes are at hand. */
export interface SmallFile extends FileBytes {
    readonly bytes: Buffer;
}

/** A file made of bytes at hand. */
export function fileOf(path: string, bytes: Buffer, mtimeMs?: number): SmallFile {
    async function* chunks(): AsyncIterable<Buffer> {
        await Promise.resolve();
        yield bytes;
    }
    return {
        path,
        size: bytes.length,
        ...(mtimeMs === undefined ? {} : { mtimeMs }),
        bytes,
        chunks: chunks(),
    };
}

/** Reads a small file. `undefined`: there is none. @throws UnreadableError */
export async function readSmallFile(base: string, path: string): Promise<SmallFile | undefined> {
    let read: SmallFile | undefined;
    await withFile(base, path, async ({ mtimeMs, chunks }) => {
        read = fileOf(path, await buffer(chunks), mtimeMs);
    });
    return read;
}

/** Where a file of an image is, and where very old servers put it. */
export function pathsOf(uuid: string, name: string): readonly [string, string] {
    return [`images/${uuidPrefix(uuid)}/${uuid}/${name}`, `images/${uuid}/${name}`];
}
