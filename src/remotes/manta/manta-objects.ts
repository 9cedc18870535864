import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { Answered, Info, MantaClient } from 'manta';
import {
    isDirectoryMissing,
    ObjectStoreError,
    saysMissing,
    type CopyOptions,
    type FoundObject,
    type ListedObject,
    type ObjectFacts,
    type ObjectRange,
    type ObjectStore,
    type ObjectUpload,
    type OpenedObject,
    type PutOptions,
    type RemoveOptions,
} from '../object-store.js';
import { MantaConnection, type MantaConnectionOptions } from './manta-connection.js';
import type { CallHeaders } from './manta-call.js';
import { MantaCopier } from './manta-copy.js';
import { openObject } from './manta-download.js';
import { isLinkRefused, unexpected } from './manta-failure.js';
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
    readonly #copier: MantaCopier;
    /** Some installations, or accounts, have no links; that does not change while a server runs. */
    #linksRefused = false;

    constructor(options: MantaConnectionOptions) {
        this.url = options.manta.url;
        this.user = options.manta.user;
        this.#rootDir = options.manta.rootDir;
        this.#connection = new MantaConnection(options);
        this.#copier = new MantaCopier(this.#connection);
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
            if (saysMissing(error)) {
                return true;
            }
            throw error;
        }
    }

    async put(path: string, bytes: Buffer, options: PutOptions): Promise<Partial<ObjectFacts>> {
        const { contentType, md5, signal } = options;
        return this.#connection.call((client, { headers }, done) => {
            client.put(
                path,
                Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false }),
                {
                    type: contentType,
                    size: bytes.length,
                    ...(md5 === undefined ? {} : { md5 }),
                    headers: { ...headers, ...conditionHeaders(options) },
                },
                (error, response) => done(error ?? unexpected(response), storedFacts(response?.headers)),
            );
        }, signal);
    }

    async upload(path: string, options: PutOptions): Promise<ObjectUpload> {
        return MantaUpload.start(this.#connection, path, options);
    }

    async open(path: string, range: ObjectRange = {}): Promise<OpenedObject | undefined> {
        const { start = 0, end } = range;
        if (end !== undefined && end < start) {
            return this.#openNothing(path);
        }
        try {
            return await unlessMissing(openObject(this.#connection, path, range));
        } catch (error) {
            if (error instanceof ObjectStoreError && error.status === 416) {
                return this.#openNothing(path);
            }
            throw error;
        }
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
        const bytes = await buffer(opened.stream);
        return { bytes, ...(etag === undefined ? {} : { etag }) };
    }

    async stat(path: string): Promise<FoundObject | undefined> {
        const found = this.#connection.repeatable<FoundObject>((client, { headers }, done) =>
            client.info(path, { headers }, (error, info, response) => {
                const found = foundObject(info);
                if (found instanceof Error) {
                    done(error ?? unexpected(response) ?? found, undefined as never);
                } else {
                    done(error ?? unexpected(response), found);
                }
            }),
        );
        return found.catch((error: unknown) => {
            // An answer without a body has no word of Manta's.
            if (error instanceof ObjectStoreError && error.status === 404) {
                return undefined;
            }
            throw error;
        });
    }

    async remove(path: string, options: RemoveOptions = {}): Promise<boolean> {
        return (await unlessMissing(this.#unlink(path, options).then(() => true))) ?? false;
    }

    async copy(from: string, to: string, { link = true, signal }: CopyOptions = {}): Promise<void> {
        if (link && !this.#linksRefused) {
            try {
                await this.#change((client, headers, done) => client.ln(from, to, { headers }, done), signal);
                return;
            } catch (error) {
                if (!isLinkRefused(error)) {
                    throw error;
                }
                this.#linksRefused = true;
            }
        }
        await this.#copier.copy(from, to, signal);
    }

    list(path: string): AsyncIterable<ListedObject> {
        return listDirectory(this.#connection, path);
    }

    endCalls(): void {
        this.#connection.endCalls();
    }

    close(): void {
        this.#connection.close();
    }

    async #mkdir(path: string): Promise<void> {
        await this.#change((client, headers, done) => client.mkdir(path, { headers }, done));
    }

    async #unlink(path: string, options: RemoveOptions = {}): Promise<void> {
        const conditions = conditionHeaders(options);
        await this.#change((client, headers, done) =>
            client.unlink(path, { headers: { ...headers, ...conditions } }, done),
        );
    }

    /** A change that comes to the same when it is made twice. */
    async #change(
        begin: (client: MantaClient, headers: CallHeaders, done: Answered) => void,
        signal?: AbortSignal,
    ): Promise<void> {
        await this.#connection.repeatable<undefined>((client, { headers }, done) => {
            begin(client, headers, (error, response) => done(error ?? unexpected(response), undefined));
        }, signal);
    }

    /** No byte of an object that is there. */
    async #openNothing(path: string): Promise<OpenedObject | undefined> {
        const found = await this.stat(path);
        return found === undefined || found.isDirectory
            ? undefined
            : { ...found, stream: Readable.from([], { objectMode: false }), bytesRead: () => 0 };
    }
}

/** What the client found; `undefined`: it found nothing. */
function foundObject(info: Info | undefined): FoundObject | ObjectStoreError {
    const { md5, etag, type = '' } = info ?? {};
    const isDirectory = type.includes('type=directory');
    const size = isDirectory ? 0 : info?.size;
    return size === undefined
        ? new ObjectStoreError('UnexpectedAnswer', 200, 'no size in the answer')
        : {
              size,
              ...(md5 === undefined ? {} : { md5 }),
              ...(etag === undefined ? {} : { etag }),
              isDirectory,
          };
}

async function unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
    try {
        return await call;
    } catch (error) {
        if (saysMissing(error)) {
            return undefined;
        }
        throw error;
    }
}
