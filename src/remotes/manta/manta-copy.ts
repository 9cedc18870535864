import { Places } from '../../base/places.js';
import type { MantaConnection } from './manta-connection.js';
import { openObject } from './manta-download.js';
import { MantaUpload } from './manta-upload.js';

/** Copies at the same time, at most. */
const MAX_COPIES = 4;

/** Copies objects by reading and storing them, where no link can be made. */
export class MantaCopier {
    readonly #connection: MantaConnection;
    /** A copy has one connection while it waits for another: one at least must be left for that. */
    readonly #places: Places;

    constructor(connection: MantaConnection) {
        this.#connection = connection;
        this.#places = new Places(Math.min(MAX_COPIES, connection.fileSockets - 1));
    }

    /** @throws as {@link ObjectStore} says; status 404 when there is no such object; the reason of `signal` */
    async copy(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
        await this.#places.run(() => this.#copy(from, to, signal), signal);
    }

    /** The store checks what it gets by size and MD5; what it has already, the client checks on the way. */
    async #copy(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
        const source = await openObject(this.#connection, from, signal === undefined ? {} : { signal });
        try {
            const { size, md5 } = source;
            const upload = await MantaUpload.start(this.#connection, to, {
                contentType: 'application/octet-stream',
                size,
                ...(md5 === undefined ? {} : { md5 }),
                ...(signal === undefined ? {} : { signal }),
            });
            try {
                for await (const chunk of source.stream as AsyncIterable<Buffer>) {
                    await upload.write(chunk);
                }
                await upload.end();
            } catch (error) {
                await upload.abort();
                throw error;
            }
        } finally {
            source.stream.destroy();
        }
    }
}
