import type { FileSource } from '../../../maintenance/verify-file.js';
import type { CheckedFile, CheckedImage } from './checked-image.js';

/** What can be done about files that are not good without deleting the image. */
export interface Cures {
    /** Names of files that are good in another storage than the record says, and where. */
    readonly misplaced: ReadonlyMap<string, string>;
    /** Whether `repair` helps with what is on these storages. */
    readonly repairable: boolean;
    /** Shell commands that let the server read again. */
    readonly commands: readonly string[];
}

/** Where images and their files are. */
export interface CheckSource {
    /** Command line of the tool that manages images of this server. */
    readonly adminTool: 'sdc-imgadm' | 'imgapi-cli';
    /** Whether results can be remembered: files are known by more than their names. */
    readonly runDirectory?: string;
    /** Images whose records cannot be read. */
    readonly unreadable: number;
    all(): AsyncIterable<CheckedImage>;
    /** An image as its record is at this moment; `undefined`: there is none. */
    current(uuid: string): Promise<CheckedImage | undefined>;
    /** `undefined`: there is no such storage. */
    storage(stor: string): FileSource | undefined;
    /** Where a file is, for people. */
    pathOf(uuid: string, file: CheckedFile): string;
    /** Rejects with `BadFile` instead of an error that tells of the file. */
    explain(error: unknown): unknown;
    /** @param isReadAgain whether only reading its files once more tells */
    cures(image: CheckedImage, isReadAgain: boolean, signal: AbortSignal): Promise<Cures>;
    close(): Promise<void>;
}
