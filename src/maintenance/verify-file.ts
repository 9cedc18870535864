import type { FileCompression } from '../base/constants.js';
import type { DigestPool } from '../base/digests/digest-pool.js';
import type { Digests } from '../base/digests/digests.js';
import type {
    FileIdentity,
    OpenedFile,
    Storage,
    StoredFileFacts,
    StoredFileName,
} from '../storage/storage.js';
import type { ArchiveVerdict } from './archive-test.js';
import { readThrough, type ReadFacts } from './read-through.js';

/** What a record says of a file or an icon. */
export interface ExpectedFile {
    /** Bytes; this and all else is absent where nobody tells. */
    readonly size?: number;
    /** Hex. */
    readonly sha1?: string;
    /** Base64. */
    readonly contentMD5?: string;
    /** Hex. */
    readonly sha256?: string;
    readonly compression?: FileCompression;
}

/** What was seen of a file. */
export interface SeenFile {
    /** Bytes. */
    readonly size: number;
    /** On this machine's file system, where it is there. */
    readonly path?: string;
    readonly identity?: FileIdentity;
    /** Those that are known: of a file that was read SHA-1, and the others if there is something to compare them with. */
    readonly digests?: Partial<Digests>;
}

/**
 * What a file is:
 * - `good`: as its record says;
 * - `bad`: not so;
 * - `untested`: as its record says, but nobody here can tell whether the archive can be unpacked.
 */
export type Verdict =
    | { readonly kind: 'missing' }
    | { readonly kind: 'good'; readonly seen: SeenFile }
    | { readonly kind: 'bad' | 'untested'; readonly seen: SeenFile; readonly reason: string };

/** A file opened for reading; what is not asked is how far it has been read. */
export type ReadableFile = Omit<OpenedFile, 'bytesRead'>;

/** Where the file is: a storage, or what looks like one. */
export interface FileSource extends Pick<Storage, 'stat'> {
    open(
        uuid: string,
        name: StoredFileName,
        options: { readonly signal: AbortSignal },
    ): Promise<ReadableFile | undefined>;
}

/** How to verify a file. */
export interface VerifyOptions {
    /** `stat`: size, and MD5 if the storage knows it; `read`: digests and the archive test in one read. */
    readonly level: 'stat' | 'read';
    readonly signal: AbortSignal;
    /** Default: the threads of a server, to which requests come first. */
    readonly pool?: DigestPool;
    /** `false`: it need not be possible to unpack the file. */
    readonly testArchive?: boolean;
    /** Reads a file to its end also when its size, or the MD5 that the storage tells, is wrong. */
    readonly readsWrong?: boolean;
    /** Whether a file that looks like this, and has the right size, is known to be good and need not be read. */
    readonly isKnown?: (seen: SeenFile) => boolean;
    /** Told of bytes that are about to be worked on; waited for, if it says so. */
    readonly onBytes?: (count: number) => Promise<void> | undefined;
}

function mismatch(what: string, actual: string | number, expected: string | number): string {
    return `invalid ${what} (actual ${actual} != manifest ${expected})`;
}

/** What is wrong with a file; the most telling first, as the existing server's order is. */
function problemOf(expected: ExpectedFile, { size, digests }: SeenFile): string | undefined {
    if (expected.size !== undefined && size !== expected.size) {
        return mismatch('size', size, expected.size);
    }
    const pairs: readonly (readonly [string, string | undefined, string | undefined])[] = [
        ['sha1', digests?.sha1, expected.sha1?.toLowerCase()],
        ['sha256', digests?.sha256, expected.sha256?.toLowerCase()],
        ['md5', digests?.md5, expected.contentMD5],
    ];
    for (const [what, actual, wanted] of pairs) {
        if (actual !== undefined && wanted !== undefined && actual !== wanted) {
            return mismatch(what, actual, wanted);
        }
    }
    return undefined;
}

function judge(expected: ExpectedFile, seen: SeenFile, archive: ArchiveVerdict): Verdict {
    const compression = expected.compression ?? 'none';
    const broken = archive === 'invalid' ? `invalid ${compression} archive` : undefined;
    const reason = problemOf(expected, seen) ?? broken;
    if (reason !== undefined) {
        return { kind: 'bad', seen, reason };
    }
    return archive === 'skipped'
        ? { kind: 'untested', seen, reason: `no program "${compression}" to test the archive with` }
        : { kind: 'good', seen };
}

/** Looks at what the storage tells without reading. */
async function verifyByStat(
    storage: FileSource,
    uuid: string,
    name: StoredFileName,
    expected: ExpectedFile,
): Promise<Verdict> {
    const facts = await storage.stat(uuid, name);
    if (facts === undefined) {
        return { kind: 'missing' };
    }
    return judge(expected, toldOf(facts), 'valid');
}

/** What a storage tells of a file without reading it. */
function toldOf(facts: StoredFileFacts): SeenFile {
    const { md5 } = facts;
    return { ...seenOf(facts), ...(md5 === undefined ? {} : { digests: { md5 } }) };
}

function seenOf({ size, path, identity }: StoredFileFacts, read?: ReadFacts): SeenFile {
    return {
        size: read?.size ?? size,
        ...(path === undefined ? {} : { path }),
        ...(identity === undefined ? {} : { identity }),
        ...(read === undefined ? {} : { digests: read.digests }),
    };
}

/** Verifies an open file, whatever the level, and closes it. @throws what reading throws */
async function verifyOpened(
    opened: ReadableFile,
    expected: ExpectedFile,
    options: VerifyOptions,
): Promise<Verdict> {
    const { isKnown, readsWrong = false } = options;
    const unread = toldOf(opened);
    try {
        const isEnough =
            problemOf(expected, unread) === undefined ? (isKnown?.(unread) ?? false) : !readsWrong;
        if (isEnough) {
            return judge(expected, unread, 'valid');
        }
        const contentMD5 = expected.contentMD5 ?? opened.md5;
        const wanted = { ...expected, ...(contentMD5 === undefined ? {} : { contentMD5 }) };
        const read = await readThrough(opened, wanted, options);
        return judge(wanted, seenOf(opened, read), read.archive);
    } finally {
        opened.stream.destroy();
    }
}

/**
 * Compares a file of an image with what its record says of it (operations 2.3). It is read once at most.
 *
 * @throws what the storage throws, also for a file that cannot be read; the reason of the signal
 */
export async function verifyFile(
    storage: FileSource,
    uuid: string,
    name: StoredFileName,
    expected: ExpectedFile,
    options: VerifyOptions,
): Promise<Verdict> {
    const { signal } = options;
    signal.throwIfAborted();
    if (options.level === 'stat') {
        return verifyByStat(storage, uuid, name, expected);
    }
    const opened = await storage.open(uuid, name, { signal });
    return opened === undefined ? { kind: 'missing' } : verifyOpened(opened, expected, options);
}
