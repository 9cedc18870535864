import { join } from 'node:path';
import { internalError } from '../../base/errors.js';
import { temporaryNameOf } from '../file-names.js';
import type { ClosedWriter, StoredFileName } from '../storage.js';
import { putDuplicate } from './duplicate-file.js';
import type { ImageDirectories } from './image-directories.js';
import { keepOrRemove } from './keep-or-remove.js';
import { translated } from './storage-failure.js';

/** What an {@link AdoptedFile} is made from. */
export interface AdoptedFileOptions {
    readonly uuid: string;
    readonly name: StoredFileName;
    /** The file, on the file system of the storage. */
    readonly source: string;
    readonly directories: ImageDirectories;
    /** Called once, when the file is in place or given up. */
    readonly onEnd: (adopted: ClosedWriter) => void;
}

/**
 * A file that is in place by a link as soon as it is committed. Until then there is nothing in the image's
 * directory that a crash could leave there; whoever notes the temporary name before finds what is left.
 */
export class AdoptedFile implements ClosedWriter {
    readonly temporaryName: string;
    readonly #options: AdoptedFileOptions;
    #isAborted = false;
    #committing: Promise<void> | undefined;

    constructor(options: AdoptedFileOptions) {
        this.#options = options;
        this.temporaryName = temporaryNameOf(options.name);
    }

    async commit(): Promise<void> {
        if (this.#isAborted) {
            throw internalError('file is not closed');
        }
        this.#committing ??= translated(() => this.#publish());
        await this.#committing;
    }

    async abort(): Promise<void> {
        this.#isAborted = true;
        // A commit that fails leaves nothing behind.
        await this.#committing?.catch(() => undefined);
        this.#options.onEnd(this);
    }

    async #publish(): Promise<void> {
        const { uuid, name, source, directories } = this.#options;
        await directories.use(uuid, async (directory) => {
            await putDuplicate(source, join(directory, this.temporaryName), join(directory, name));
        });
        this.#options.onEnd(this);
        await keepOrRemove(join(directories.of(uuid), name));
    }
}
