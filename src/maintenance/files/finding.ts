import type { StorageType } from '../../base/constants.js';
import type { StoredFileName } from '../../storage/storage.js';
import type { ExpectedFile } from './image-facts.js';

/** What is wrong with files, and who does something about it (operations 2.4). */
export const FINDING_KINDS = {
    recoverable: { cure: 'repair', meaning: 'the only good copy of a file has a temporary name' },
    abandoned: { cure: 'gc', meaning: 'an upload that was given up' },
    leftover: { cure: 'gc', meaning: 'a temporary or older copy of a file that is in its place' },
    orphan: { cure: 'gc', meaning: 'a file of an image that has no manifest' },
    'orphan-file': { cure: 'gc', meaning: 'a file that the manifest does not name' },
    misplaced: { cure: 'repair', meaning: 'a file that is good, in another storage than the manifest says' },
    duplicate: { cure: 'gc', meaning: 'a second copy, in a storage that the manifest does not name' },
    legacy: { cure: 'repair', meaning: 'a file where very old servers kept it' },
    empty: { cure: 'gc', meaning: 'an empty directory' },
    permission: { cure: 'repair', meaning: 'owner or mode keep the server out' },
    missing: { cure: 'repair', meaning: 'a file that the manifest names is nowhere' },
    corrupt: { cure: 'repair', meaning: 'a file is not the one that the manifest names' },
    manifest: { cure: 'repair', meaning: 'the manifest describes a good file wrongly' },
    foreign: { cure: 'none', meaning: 'something that no server puts there' },
} as const;

export type FindingKind = keyof typeof FINDING_KINDS;

/** Something that was found in a storage. */
export interface FoundFile {
    readonly stor: StorageType;
    /** On this machine, or in the object store. */
    readonly path: string;
    readonly name: string;
    readonly type: 'file' | 'directory' | 'other';
    /** Bytes. */
    readonly size: number;
    /** Milliseconds since the epoch. */
    readonly mtime: number;
    /** Another text when something else has the path since. */
    readonly identity: string;
    /**
     * It is a link, or reached by one: somebody has put it elsewhere, and servers follow. All but the path is
     * that of what the link leads to; `other` is its type if that is nothing.
     */
    readonly isLinked?: true;
}

/** Digests of bytes that were read. */
export interface FileDigests {
    /** Bytes. */
    readonly size: number;
    /** Hex. */
    readonly sha1: string;
    /** Base64. */
    readonly md5: string;
}

/** Something wrong with one file or directory. */
export interface FileFinding {
    readonly kind: FindingKind;
    readonly stor: StorageType;
    /** On this machine, or in the object store. */
    readonly path: string;
    /** In words, what is wrong with it. */
    readonly detail: string;
    /** Absent: it belongs to no image. */
    readonly uuid?: string;
    /** The file of the image that it is, or was to become. */
    readonly file?: StoredFileName;
    /** What is there; absent: nothing. */
    readonly found?: FoundFile;
    /** What the manifest says of {@link file}. */
    readonly expected?: ExpectedFile;
    /** Of `manifest`: what the bytes are. */
    readonly digests?: FileDigests;
    /** Of `recoverable` and `legacy`: where the server looks for it. */
    readonly target?: string;
    /** Of `missing` and `corrupt`: a link stands for the file, so that nothing is advised that takes it away. */
    readonly isLinked?: true;
    /** Of `permission`: shell commands that put it right. */
    readonly commands?: readonly string[];
}

/** Whether `gc` may take a finding away. */
export function isGarbage({ kind }: Pick<FileFinding, 'kind'>): boolean {
    return FINDING_KINDS[kind].cure === 'gc';
}
