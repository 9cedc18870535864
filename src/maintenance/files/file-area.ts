import type { StorageType } from '../../base/constants.js';
import type { FileDigests, FoundFile } from './finding.js';

/** A directory of an image. */
export interface ImagePlace {
    readonly stor: StorageType;
    /** `old`: where very old servers kept the image (operations 5.5, rows 006 and 008). */
    readonly layout: 'current' | 'old';
    readonly directory: FoundFile;
    readonly entries: readonly FoundFile[];
    /** Whether its entries could be listed: if not there are none here. */
    readonly isListed: boolean;
    /** Directory of the image where it belongs. */
    readonly target: string;
}

/** What the top of an area holds, by names only. */
export interface AreaTop {
    /** First characters of uuids. */
    readonly prefixes: readonly string[];
    /** Images of the old layout. */
    readonly old: readonly string[];
    /** What belongs to no image. */
    readonly strays: readonly FoundFile[];
}

/** What the directory of a prefix holds; `directory` absent: there is none. */
export interface AreaPrefix {
    readonly directory?: FoundFile;
    /** What keeps the server from using it; absent: nothing. */
    readonly problem?: AccessProblem;
    /** Whether its entries could be listed: if not there are none here. */
    readonly isListed: boolean;
    readonly uuids: readonly string[];
    readonly strays: readonly FoundFile[];
}

/** Something that keeps the server out of a directory or file, and what to do about it. */
export interface AccessProblem {
    readonly found: FoundFile;
    readonly detail: string;
    /** Shell commands. */
    readonly commands: readonly string[];
}

/**
 * All files that one storage has for images, whether or not any record names them; beside the server, so
 * that nothing is presumed about who else is at work there (operations 2.4).
 */
export interface FileArea {
    readonly stor: StorageType;
    top(): Promise<AreaTop>;
    prefix(prefix: string): Promise<AreaPrefix>;
    /** The directories of an image that are there. */
    places(uuid: string): Promise<readonly ImagePlace[]>;
    /** Where the server has a file of an image. */
    pathOf(uuid: string, name: string): string;
    /** What keeps the server from the directories and files of a place. */
    problems(place: ImagePlace): readonly AccessProblem[];
    /** Reads all bytes. `undefined`: it is not there any more. */
    digests(file: FoundFile, signal: AbortSignal): Promise<FileDigests | undefined>;
    /** The MD5 the storage tells without reading, base64; `undefined`: it does not. */
    toldMd5(file: FoundFile): Promise<string | undefined>;
    /** Where `gc` moves what lies at a path. @param stamp name of this run's directory */
    trashPathOf(path: string, stamp: string): string;
    /**
     * Gives a file another path, durably, replacing what is there.
     *
     * @returns false: another file has the path by now, or none
     * @throws the error of the storage
     */
    move(file: FoundFile, path: string): Promise<boolean>;
    /** Removes an empty directory, durably; tells whether it is gone. */
    removeDirectory(path: string): Promise<boolean>;
}
