import { Readable } from 'node:stream';
import { internalError } from '../../base/errors.js';
import type { StoredImage } from '../../database/database.js';
import type { ImageFile } from '../../manifest/types.js';
import type { StoredFileName } from '../../storage/storage.js';
import { SourceReader } from '../../transfers/source-reader.js';
import type { ImageServices, RequestContext } from '../context.js';
import { storageFailure } from '../failures.js';
import { findImageFile, openImageFile } from '../open-file.js';

/** Longest time a storage may give no byte while they are wanted, milliseconds. */
const STALL_MS = 60_000;

/**
 * The file of a layer, to be sent elsewhere. Its bytes are as many as the record says, or reading them fails;
 * whoever sends them fails for that reason then, whatever their receiver says.
 */
export class StoredLayer {
    readonly #services: ImageServices;
    readonly #context: RequestContext;
    readonly #image: StoredImage;
    readonly #file: ImageFile;
    readonly #name: StoredFileName;
    /** Ends the reading of what was opened last. */
    #stop: AbortController | undefined;
    #failure: unknown;

    /** @throws 404 when the image has no file */
    constructor(services: ImageServices, context: RequestContext, image: StoredImage) {
        this.#services = services;
        this.#context = context;
        this.#image = image;
        const { file, name } = findImageFile(image, 0);
        this.#file = file;
        this.#name = name;
    }

    /** Bytes. */
    get size(): number {
        return this.#file.size;
    }

    /** Why the bytes could not be read; `undefined`: they could. */
    get failure(): unknown {
        return this.#failure;
    }

    /** The bytes from the first on; those opened before are let go of. @throws 404, 500, 503 */
    async open(): Promise<Readable> {
        this.close();
        const stop = new AbortController();
        const signal = AbortSignal.any([this.#context.signal, stop.signal]);
        this.#stop = stop;
        const context = { ...this.#context, signal };
        const { stream } = await openImageFile(
            this.#services,
            context,
            this.#image,
            this.#name,
            this.#file,
            undefined,
        ).catch((error: unknown) => this.#fail(error));
        const reader = new SourceReader(stream, STALL_MS, signal);
        const letGo = (): void => {
            reader.close();
            stream.destroy();
        };
        // Behind the reader's own listener, so that nobody waits for bytes any more.
        signal.addEventListener('abort', letGo, { once: true });
        if (signal.aborted) {
            letGo();
        }
        return Readable.from(this.#chunks(reader, signal), { objectMode: false });
    }

    /** Lets go of the bytes. */
    close(): void {
        this.#stop?.abort(new Error('the bytes are not wanted any more'));
        this.#stop = undefined;
    }

    async *#chunks(reader: SourceReader, signal: AbortSignal): AsyncGenerator<Buffer> {
        let size = 0;
        for (;;) {
            const chunk = await reader.next().catch((error: unknown) => {
                signal.throwIfAborted();
                return this.#fail(storageFailure(error, 'error reading image file'));
            });
            if (chunk === undefined) {
                break;
            }
            size += chunk.length;
            yield chunk;
        }
        if (size !== this.size) {
            this.#fail(internalError(`image "${this.#image.raw.uuid}" file is corrupt in storage`));
        }
    }

    #fail(error: unknown): never {
        this.#failure = error;
        throw error;
    }
}
