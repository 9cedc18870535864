import { Readable } from 'node:stream';
import { MAX_IMAGE_SIZE, MAX_IMAGE_SIZE_STR } from '../base/constants.js';
import { ApiError } from '../base/errors.js';
import { discard } from '../base/http-redirects.js';
import type { OpenedSourceFile, ResumePoint } from '../remotes/image-source.js';
import { requireAllowedSize, wrongLength } from './download-errors.js';
import { receiveFile, type ReceivedFile, type ReceivingWriter } from './receive.js';
import { ResumableBody } from './resumable-body.js';
import { SourceChangedError } from './resumable-bytes.js';
import { Retries, type RetryPolicy } from './retries.js';
import { retrying } from './retrying.js';

/** What the manifest of the source says of a file: its size, and at least one digest. */
export interface ExpectedFile {
    /** Hex. */
    readonly sha1?: string;
    /** Hex. */
    readonly sha256?: string;
    /** Bytes. */
    readonly size: number;
}

/** Where one try puts the bytes. */
export interface TransferTry<Writer extends ReceivingWriter = ReceivingWriter> {
    readonly writer: Writer;
    /** Bytes that are there from an earlier try, and where to go on; absent: none. */
    readonly kept?: {
        readonly bytes: () => AsyncIterable<Buffer>;
        readonly size: number;
        /** Absent: only good if nothing is missing. */
        readonly etag?: string;
    };
    /** Told of the entity tag of what is being received; durable when it resolves. */
    readonly opened: (etag: string | undefined) => Promise<void>;
}

/** How far a transfer is; bytes count from the start of the file. */
export interface TransferProgress {
    /** It goes on behind so many bytes. */
    resumedAt(bytes: number): void;
    received(bytes: number): void;
    startedOver(): void;
}

/** What {@link transferFile} needs. */
export interface TransferOptions<
    File extends ExpectedFile,
    Writer extends ReceivingWriter = ReceivingWriter,
> {
    readonly file: File;
    /** The file by the manifest as it is now, asked for once. @throws OutgoingError, ApiError */
    readonly readAgain: (signal: AbortSignal) => Promise<File>;
    /** @throws OutgoingError */
    readonly open: (resume: ResumePoint | undefined, signal: AbortSignal) => Promise<OpenedSourceFile>;
    /** @param fresh whether what an earlier try has left must not be used */
    readonly begin: (file: File, fresh: boolean) => Promise<TransferTry<Writer>>;
    readonly retries: RetryPolicy;
    /** Longest time without a byte, milliseconds. */
    readonly stallMs: number;
    readonly progress: TransferProgress;
    /** Told why a body broke off that is going to be opened again. */
    readonly onBreak?: (error: unknown) => void;
    /** Start of messages, e.g. `error receiving image file`. */
    readonly what: string;
    /** A rejection handler that names what was wrong with the source. */
    readonly fails: (error: unknown) => never;
    readonly signal: AbortSignal;
}

/** A file that has come whole: its entry in the manifest, and what came. */
export interface TransferredFile<
    File extends ExpectedFile,
    Writer extends ReceivingWriter = ReceivingWriter,
> {
    readonly file: File;
    readonly received: ReceivedFile;
    readonly writer: Writer;
}

/**
 * Longest time the receiver waits for a byte, milliseconds: the body itself sees to stalls, but its
 * pauses between tries are no stalls.
 */
const PATIENCE_MS = 3_600_000;

/** What came is not what the manifest says. */
class Mismatch extends Error {
    readonly answer: ApiError;

    constructor(answer: ApiError) {
        super(answer.message);
        this.answer = answer;
    }
}

function mismatch(message: string): Mismatch {
    return new Mismatch(new ApiError('Download', message));
}

/** Compares a file with its manifest (jobs-and-imports 3.3 #8a-#10, 6). @throws Mismatch */
function requireExpected(file: ExpectedFile, received: ReceivedFile, contentMD5: string | undefined): void {
    const { sha1, sha256, size, md5 } = received;
    if (size === 0) {
        throw mismatch('image file size is 0 bytes, empty files are not allowed');
    }
    if (size !== file.size) {
        throw new Mismatch(wrongLength(file.size, size));
    }
    if (file.sha256 !== undefined && sha256 !== file.sha256) {
        throw mismatch(`sha256 digest does not match, received ${sha256}, expected ${file.sha256}`);
    }
    if (file.sha1 !== undefined && sha1 !== file.sha1) {
        throw mismatch(
            `"sha1" file field, ${file.sha1}, does not match the downloaded file sha1 hash, ${sha1}`,
        );
    }
    if (contentMD5 !== undefined && contentMD5 !== md5) {
        throw mismatch(
            `"Content-MD5" header, ${contentMD5}, does not match the downloaded file MD5 hash, ${md5}`,
        );
    }
}

function isSameFile(one: ExpectedFile, other: ExpectedFile): boolean {
    return one.sha1 === other.sha1 && one.sha256 === other.sha256;
}

function tooBig(): ApiError {
    return new ApiError(
        'Download',
        `image file size exceeds the maximum allowed size, ${MAX_IMAGE_SIZE_STR}`,
    );
}

/** What the source has told of the whole file with its bytes. */
interface Told {
    size?: number | undefined;
    contentMD5?: string | undefined;
}

/** One file on its way from another image server, over as many tries as it takes (jobs-and-imports 9.7). */
class Transfer<File extends ExpectedFile, Writer extends ReceivingWriter> {
    readonly #options: TransferOptions<File, Writer>;
    readonly #retries: Retries;
    #file: File;
    /** Bytes the progress knows of. */
    #counted = 0;

    constructor(options: TransferOptions<File, Writer>) {
        this.#options = options;
        this.#retries = new Retries(options.retries);
        this.#file = options.file;
    }

    async run(): Promise<TransferredFile<File, Writer>> {
        const { progress, signal, readAgain, retries, fails } = this.#options;
        let hasMismatched = false;
        for (let fresh = false; ; fresh = true) {
            try {
                return await this.#try(fresh);
            } catch (error) {
                signal.throwIfAborted();
                if (error instanceof Mismatch && hasMismatched) {
                    throw error.answer;
                }
                hasMismatched ||= error instanceof Mismatch;
                if (!(error instanceof Mismatch) && !(error instanceof SourceChangedError)) {
                    throw error;
                }
            }
            progress.startedOver();
            this.#file = await retrying(retries, signal, () => readAgain(signal)).catch(fails);
        }
    }

    /** @throws Mismatch, SourceChangedError: it may be tried once more from zero; else what to answer */
    async #try(fresh: boolean): Promise<TransferredFile<File, Writer>> {
        const { begin, progress, what, signal } = this.#options;
        const file = this.#file;
        requireAllowedSize(file.size);
        const attempt = await begin(file, fresh);
        const told: Told = {};
        const source = Readable.from(this.#bytes(attempt, told), { objectMode: false });
        try {
            if (attempt.kept !== undefined) {
                progress.resumedAt(attempt.kept.size);
            }
            const received = await receiveFile({
                source,
                writer: attempt.writer,
                maxSize: MAX_IMAGE_SIZE,
                tooBig,
                what,
                signal,
                idleTimeoutMs: PATIENCE_MS,
            }).catch((error: unknown) => this.#failed(error));
            await this.#verify(attempt, received, told.contentMD5);
            return { file, received, writer: attempt.writer };
        } finally {
            source.on('error', () => undefined).destroy();
        }
    }

    async #verify(attempt: TransferTry, received: ReceivedFile, md5: string | undefined): Promise<void> {
        try {
            requireExpected(this.#file, received, md5);
        } catch (error) {
            await attempt.writer.abort();
            throw error;
        }
    }

    /** What is there already, then what the source has behind it. */
    async *#bytes(attempt: TransferTry, told: Told): AsyncGenerator<Buffer> {
        const { kept } = attempt;
        if (kept !== undefined) {
            yield* kept.bytes();
        }
        if (kept?.size === this.#file.size) {
            return;
        }
        const body = this.#body(attempt, told);
        this.#counted = body.offset;
        try {
            for await (const chunk of body as AsyncIterable<Buffer>) {
                this.#options.progress.received(body.offset - this.#counted);
                this.#counted = body.offset;
                if (body.offset > this.#file.size) {
                    // It may never end.
                    throw new Mismatch(wrongLength(this.#file.size, told.size ?? body.offset));
                }
                yield chunk;
            }
        } finally {
            body.destroy();
        }
    }

    #body({ kept, opened }: TransferTry, told: Told): ResumableBody {
        const { open, readAgain, stallMs, progress, onBreak, signal } = this.#options;
        const file = this.#file;
        const from = kept?.etag === undefined ? undefined : { offset: kept.size, etag: kept.etag };
        let isBroken = false;
        return new ResumableBody({
            open: async (resume, aborted) => {
                if (resume !== undefined && !isSameFile(await readAgain(aborted), file)) {
                    throw new SourceChangedError('the manifest of the source names another file');
                }
                const found = await open(resume, aborted);
                if (found.size !== undefined && found.size > MAX_IMAGE_SIZE) {
                    discard(found.body);
                    throw tooBig();
                }
                await opened(found.etag);
                told.size = found.size ?? told.size;
                told.contentMD5 = found.contentMD5 ?? told.contentMD5;
                return found;
            },
            ...(from === undefined ? {} : { from }),
            size: file.size,
            retries: this.#retries,
            stallMs,
            onBreak: ({ error }) => {
                isBroken = true;
                onBreak?.(error);
            },
            onOpen: ({ start }) => {
                if (isBroken && start > 0) {
                    this.#counted = start;
                    progress.resumedAt(start);
                }
            },
            signal,
        });
    }

    /** @throws Mismatch, SourceChangedError, or what to answer */
    #failed(error: unknown): never {
        const cause = error instanceof ApiError ? error.cause : undefined;
        if (cause instanceof SourceChangedError || cause instanceof Mismatch) {
            throw cause;
        }
        if (error instanceof ApiError && error.code === 'Upload') {
            return this.#options.fails(cause);
        }
        throw error;
    }
}

/**
 * Fetches a file from another image server and makes sure that it is the one the source's manifest names:
 * what breaks off goes on where it was, what has changed or is not right starts once more from zero
 * (jobs-and-imports 9.7).
 *
 * @throws 400 `Download`, 500, 503; what `fails` throws; the reason of the signal
 */
export function transferFile<File extends ExpectedFile, Writer extends ReceivingWriter>(
    options: TransferOptions<File, Writer>,
): Promise<TransferredFile<File, Writer>> {
    return new Transfer(options).run();
}
