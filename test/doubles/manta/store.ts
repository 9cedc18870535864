import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { BlobWriter } from './blob-writer.js';
import { Journal } from './journal.js';
import { MantaError, resourceNotFound } from './manta-error.js';
import { isRoot, parentOf, type MantaPath } from './paths.js';
import { Tree, type Entry, type ObjectEntry, type ObjectFacts } from './tree.js';

/**
 * Directories and objects in a directory of the file system: `journal` names them, `blobs` has the
 * bytes of objects and `incoming` those of uploads. A blob is never changed and goes with the last path
 * that names it, so a snaplink is one more path for a blob.
 */
export class MantaStore {
    readonly #blobs: string;
    readonly #incoming: string;
    readonly #tree = new Tree();
    readonly #journal: Journal;

    constructor(directory: string, accounts: readonly string[]) {
        this.#blobs = join(directory, 'blobs');
        this.#incoming = join(directory, 'incoming');
        rmSync(this.#incoming, { recursive: true, force: true });
        for (const path of [this.#blobs, this.#incoming]) mkdirSync(path, { recursive: true });
        this.#journal = new Journal(join(directory, 'journal'), this.#tree);
        this.#journal.load();
        for (const account of accounts) this.#tree.addAccount(account);
        for (const blob of readdirSync(this.#blobs)) {
            if (this.#tree.uses(blob) === 0) rmSync(join(this.#blobs, blob));
        }
    }

    get(path: MantaPath): Entry | undefined {
        return this.#tree.get(path.full);
    }

    /** What is at a path. @throws ResourceNotFound */
    require(path: MantaPath): Entry {
        const entry = this.get(path);
        if (entry === undefined) throw resourceNotFound(path.full);
        return entry;
    }

    /** Names in a directory, sorted. */
    names(path: MantaPath): readonly string[] {
        return this.#tree.names(path.full);
    }

    /** What a directory has under a name. */
    child(path: MantaPath, name: string): Entry | undefined {
        return this.#tree.get(`${path.full}/${name}`);
    }

    /** Paths of all objects below a directory, sorted. */
    objectsBelow(directory: string): readonly string[] {
        return this.#tree.names(directory).flatMap((name) => {
            const path = `${directory}/${name}`;
            return this.#tree.get(path)?.type === 'object' ? [path] : this.objectsBelow(path);
        });
    }

    /** Blobs that exist at the moment. */
    get blobs(): readonly string[] {
        return readdirSync(this.#blobs);
    }

    /** Opens the bytes of an object: they can be read to the end whatever becomes of its paths. */
    openBlob(object: ObjectEntry): Promise<FileHandle> {
        return open(join(this.#blobs, object.blob));
    }

    /** Starts an upload. */
    async startBlob(): Promise<{ readonly blob: string; readonly writer: BlobWriter }> {
        const blob = randomUUID();
        return { blob, writer: await BlobWriter.create(join(this.#incoming, blob)) };
    }

    /** Keeps the bytes of an upload that is complete, until a path names them. */
    async keepBlob(blob: string): Promise<void> {
        await rename(join(this.#incoming, blob), join(this.#blobs, blob));
    }

    async dropBlob(blob: string): Promise<void> {
        await rm(join(this.#blobs, blob), { force: true });
    }

    /** Whether an object may be put at a path. @throws why not */
    checkObjectPath(path: MantaPath): void {
        this.#checkParent(path);
        if (this.get(path)?.type === 'directory') {
            throw new MantaError(400, 'DirectoryOperation', `${path.full} is a directory`);
        }
    }

    /** Lets a path name an object, in the place of another. @throws if it may not */
    async putObject(path: MantaPath, facts: ObjectFacts): Promise<ObjectEntry> {
        this.checkObjectPath(path);
        const entry: ObjectEntry = { type: 'object', ...facts, mtime: Date.now() };
        await this.#apply(path, entry);
        return entry;
    }

    /** Makes a directory; one that is there stays. @throws if there is something else, or no parent */
    async makeDirectory(path: MantaPath): Promise<void> {
        this.#checkParent(path);
        const before = this.get(path);
        if (before?.type === 'object') {
            throw new MantaError(409, 'EntityAlreadyExists', `${path.full} already exists`);
        }
        if (before === undefined) await this.#apply(path, { type: 'directory', mtime: Date.now() });
    }

    /** Takes away an object or an empty directory. @throws if it may not */
    async remove(path: MantaPath): Promise<void> {
        this.#refuseRoot(path);
        const entry = this.require(path);
        if (entry.type === 'directory' && this.names(path).length > 0) {
            throw new MantaError(400, 'DirectoryNotEmpty', `${path.full} is not empty`);
        }
        await this.#apply(path, null);
    }

    #refuseRoot(path: MantaPath): void {
        if (!isRoot(path)) return;
        throw new MantaError(400, 'OperationNotAllowedOnRootDirectory', `${path.full} is the root directory`);
    }

    #checkParent(path: MantaPath): void {
        this.#refuseRoot(path);
        const parent = this.#tree.get(parentOf(path));
        if (parent === undefined) {
            throw new MantaError(404, 'DirectoryDoesNotExist', `${parentOf(path)} does not exist`);
        }
        if (parent.type === 'object') {
            throw new MantaError(400, 'ParentNotDirectory', `${parentOf(path)} is not a directory`);
        }
    }

    /** The change is made before this returns its promise: what was checked just before still holds. */
    async #apply(path: MantaPath, entry: Entry | null): Promise<void> {
        const blob = this.#journal.apply({ path: path.full, entry });
        if (blob !== undefined) await this.dropBlob(blob);
    }
}
