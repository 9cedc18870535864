import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { Info } from 'manta';
import { storageIsDown } from '../../base/errors.js';
import {
    ObjectStoreError,
    type CopyOptions,
    type FoundObject,
    type ListedObject,
    type ObjectFacts,
    type ObjectRange,
    type ObjectStore,
    type ObjectUpload,
    type OpenedObject,
    type PutOptions,
} from '../object-store.js';
import { MantaConnection, type MantaConnectionOptions } from './manta-connection.js';
import { openObject } from './manta-download.js';
import { isDirectoryMissing, isLinkRefused, isMissing } from './manta-failure.js';
import { listDirectory } from './manta-listing.js';
import { conditionHeaders, MantaUpload, storedFacts } from './manta-upload.js';

/** Levels that nobody can make: the account and what is right below it. */
const FIXED_LEVELS = 2;

/** Objects in Manta, by way of its own client (backends 8). */
export class MantaObjects implements ObjectStore {
    readonly url: string;
    readonly user: string;
    readonly #rootDir: string;
    readonly #connection: MantaConnection;
    /** Some installations, or accounts, have no links; that does not change while a server runs. */
    #linksRefused = false;

    constructor(options: MantaConnectionOptions) {
        this.url = options.manta.url;
        this.user = options.manta.user;
        this.#rootDir = options.manta.rootDir;
        this.#connection = new MantaConnection(options);
    }

    async check(): Promise<void> {
        await this.stat(this.#rootDir);
    }

    async makeDirectory(path: string): Promise<void> {
        try {
            await this.#mkdir(path);
        } catch (error) {
            const hasParent = path.split('/').length - 1 > FIXED_LEVELS + 1;
            if (!isDirectoryMissing(error) || !hasParent) {
                throw error;
            }
            // From the bottom up: nearly always all but the last are there.
            await this.makeDirectory(posix.dirname(path));
            await this.#mkdir(path);
        }
    }

    async removeDirectory(path: string): Promise<boolean> {
        try {
            await this.#unlink(path);
            return true;
        } catch (error) {
            if (error instanceof ObjectStoreError && error.code === 'DirectoryNotEmpty') {
                return false;
            }
            if (isMissing(error)) {
                return true;
            }
            throw error;
        }
    }

    async put(path: string, bytes: Buffer, options: PutOptions): Promise<Partial<ObjectFacts>> {
        const { contentType, md5, signal } = options;
        return this.#connection.call(
            (client, headers, done) => {
                client.put(
                    path,
                    Readable.from([bytes], { objectMode: false }),
                    {
                        type: contentType,
                        size: bytes.length,
                        ...(md5 === undefined ? {} : { md5 }),
                        headers: { ...headers, ...conditionHeaders(options) },
                    },
                    (error, response) => done(error, storedFacts(response?.headers)),
                );
            },
            { signal },
        );
    }

    async upload(path: string, options: PutOptions): Promise<ObjectUpload> {
        return MantaUpload.start(this.#connection, path, options);
    }

    async open(path: string, range: ObjectRange = {}): Promise<OpenedObject | undefined> {
        return unlessNotFound(openObject(this.#connection, path, range));
    }

    async read(
        path: string,
        maxSize: number,
    ): Promise<{ readonly bytes: Buffer; readonly etag?: string } | undefined> {
        const opened = await this.open(path);
        if (opened === undefined) {
            return undefined;
        }
        if (!(opened.size <= maxSize)) {
            opened.stream.destroy();
            throw new Error(`${path} has ${opened.size} bytes, more than ${maxSize}`);
        }
        const { etag } = opened;
        const bytes = await buffer(opened.stream).catch((error: unknown) => {
            throw storageIsDown(error);
        });
        return { bytes, ...(etag === undefined ? {} : { etag }) };
    }

    async stat(path: string): Promise<FoundObject | undefined> {
        const info = await unlessNotFound(
            this.#connection.repeatable<Info>((client, headers, done) =>
                client.info(path, { headers }, done),
            ),
        );
        if (info === undefined) {
            return undefined;
        }
        const { md5, etag, size = 0, extension } = info;
        return {
            size,
            ...(md5 === undefined ? {} : { md5 }),
            ...(etag === undefined ? {} : { etag }),
            isDirectory: extension === 'directory',
        };
    }

    async remove(path: string): Promise<boolean> {
        return (await unlessNotFound(this.#unlink(path).then(() => true))) ?? false;
    }

    async copy(from: string, to: string, { link = true, signal }: CopyOptions = {}): Promise<void> {
        if (link && !this.#linksRefused) {
            try {
                await this.#connection.call<undefined>(
                    (client, headers, done) =>
                        client.ln(from, to, { headers }, (error) => done(error, undefined)),
                    { signal },
                );
                return;
            } catch (error) {
                if (!isLinkRefused(error)) {
                    throw error;
                }
                this.#linksRefused = true;
            }
        }
        await this.#copyBytes(from, to, signal);
    }

    list(path: string): AsyncIterable<ListedObject> {
        return listDirectory(this.#connection, path);
    }

    close(): void {
        this.#connection.close();
    }

    async #mkdir(path: string): Promise<void> {
        await this.#connection.repeatable<undefined>((client, headers, done) =>
            client.mkdir(path, { headers }, (error) => done(error, undefined)),
        );
    }

    async #unlink(path: string): Promise<void> {
        await this.#connection.call<undefined>((client, headers, done) =>
            client.unlink(path, { headers }, (error) => done(error, undefined)),
        );
    }

    /** The store checks what it gets by size and MD5; what it has already, the client checks on the way. */
    async #copyBytes(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
        const source = await openObject(this.#connection, from, signal === undefined ? {} : { signal });
        try {
            const { size, md5 } = source;
            const upload = await this.upload(to, {
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

async function unlessNotFound<T>(call: Promise<T>): Promise<T | undefined> {
    try {
        return await call;
    } catch (error) {
        if (isMissing(error)) {
            return undefined;
        }
        throw error;
    }
}
