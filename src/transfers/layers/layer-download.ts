import { setTimeout as delay } from 'node:timers/promises';
import { MAX_IMAGE_SIZE, MAX_IMAGE_SIZE_STR, type FileCompression } from '../../base/constants.js';
import { ApiError, writeFailure } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { discard } from '../../base/http-redirects.js';
import { MAGIC_LENGTH } from '../../base/magic-bytes.js';
import { shortReason } from '../../base/short-reason.js';
import { sniffCompression } from '../../manifest/docker/compression.js';
import type { OpenedSourceFile, ResumePoint } from '../../remotes/image-source.js';
import type { ByteSource } from '../byte-source.js';
import { isStall, wrongLength } from '../download-errors.js';
import type { PartFile } from '../part-file.js';
import { receiveFile, type ReceivedFile } from '../receive.js';
import { ResumableBytes, SourceChangedError } from '../resumable-bytes.js';
import { Retries, type RetryPolicy, TRANSFER_RETRIES } from '../retries.js';
import type { LayerProgress, WantedLayer } from './layer.js';
import { LayerMeter } from './layer-meter.js';

/** How a layer is fetched. */
export interface DownloadRules {
    /** For what breaks off; its attempts hold for bytes that turn out wrong, too. */
    readonly retries: RetryPolicy;
    /** Longest time without a byte, milliseconds. */
    readonly stallMs: number;
}

/** As jobs-and-imports 5.3 and 9.7 want it. */
export const LAYER_RULES: DownloadRules = {
    retries: TRANSFER_RETRIES,
    stallMs: 15_000,
};

/** What {@link downloadLayer} needs. */
export interface LayerDownloadOptions {
    readonly layer: WantedLayer;
    /** Where the bytes go. What is there of it when the download fails, the caller removes. */
    readonly part: PartFile;
    readonly rules: DownloadRules;
    readonly tell: (progress: LayerProgress) => void;
    readonly signal: AbortSignal;
}

/** A layer whose bytes are those of its digest, on stable storage. */
export interface DownloadedLayer extends ReceivedFile {
    readonly compression: FileCompression;
}

/** All bytes came, or none that can be used: only once more from the first one may help. */
class WrongBytes extends Error {
    readonly answer: ApiError;

    constructor(answer: ApiError) {
        super(answer.message);
        this.answer = answer;
    }
}

function downloadError(reason: string, cause?: unknown): ApiError {
    return new ApiError('Download', `Download error: ${reason}`, { cause });
}

function tooBig(size: number): ApiError {
    return new ApiError(
        'ImageFileTooBig',
        `Image file size, ${size}, exceeds the maximum allowed file size, ${MAX_IMAGE_SIZE_STR}`,
    );
}

/** The bytes of a layer; the first of them are looked at before the others are waited for. */
class SniffedBytes implements ByteSource {
    readonly #bytes: ResumableBytes;
    readonly #onBytes: (offset: number) => void;
    #head: Buffer | undefined = Buffer.alloc(0);
    #compression: FileCompression = 'none';

    /** @param onBytes told after each piece how many bytes there are */
    constructor(bytes: ResumableBytes, onBytes: (offset: number) => void) {
        this.#bytes = bytes;
        this.#onBytes = onBytes;
    }

    /** To be asked when they have all been read. */
    get compression(): FileCompression {
        return this.#compression;
    }

    async next(): Promise<Buffer | undefined> {
        const chunk = await this.#bytes.next();
        if (chunk !== undefined) {
            this.#onBytes(this.#bytes.offset);
            this.#sniff(chunk);
        }
        return chunk;
    }

    stop(reason: unknown): void {
        this.#bytes.stop(reason);
    }

    #sniff(chunk: Buffer): void {
        if (this.#head === undefined) {
            return;
        }
        this.#head = Buffer.concat([this.#head, chunk.subarray(0, MAGIC_LENGTH)]);
        if (this.#head.length >= MAGIC_LENGTH) {
            this.#compression = sniffCompression(this.#head);
            this.#head = undefined;
        }
    }
}

/** One layer on its way from a registry, over as many tries as it takes (jobs-and-imports 5.3). */
class LayerDownload {
    readonly #options: LayerDownloadOptions;
    readonly #retries: Retries;
    readonly #meter: LayerMeter;
    #size: number | undefined;
    #offset = 0;
    /** Whether a body is being read, not asked for. */
    #isReading = false;

    constructor(options: LayerDownloadOptions) {
        this.#options = options;
        this.#retries = new Retries(options.rules.retries);
        this.#meter = new LayerMeter(options.tell);
    }

    async run(): Promise<DownloadedLayer> {
        const { rules, signal } = this.#options;
        for (let wrong = 0; ;) {
            try {
                return await this.#try();
            } catch (error) {
                signal.throwIfAborted();
                if (error instanceof SourceChangedError && error.cause !== undefined) {
                    // The break before it has been counted, and waited for.
                    continue;
                }
                const answer = error instanceof SourceChangedError ? downloadError(error.message) : undefined;
                if (!(error instanceof WrongBytes) && answer === undefined) {
                    throw error;
                }
                wrong += 1;
                if (wrong >= rules.retries.attempts) {
                    throw answer ?? (error as WrongBytes).answer;
                }
                await delay(rules.retries.minMs, undefined, { signal }).catch(() => undefined);
                signal.throwIfAborted();
            }
        }
    }

    /** @throws WrongBytes, SourceChangedError: it may be tried once more from zero; else what to answer */
    async #try(): Promise<DownloadedLayer> {
        const { layer, part, rules, signal } = this.#options;
        const writer = await part.begin().catch((error: unknown) => {
            throw writeFailure(error, `error storing layer: ${shortReason(error)}`);
        });
        const bytes = this.#bytes();
        const source = new SniffedBytes(bytes, (offset) => this.#received(offset));
        try {
            const received = await receiveFile({
                source,
                writer,
                maxSize: MAX_IMAGE_SIZE,
                tooBig: () => tooBig(bytes.offset),
                what: 'error storing layer',
                signal,
                idleTimeoutMs: rules.stallMs,
            }).catch((error: unknown) => this.#failed(error));
            this.#verify(received);
            return { ...received, compression: layer.compression ?? source.compression };
        } finally {
            bytes.stop(new Error('the layer is not wanted any more'));
        }
    }

    #bytes(): ResumableBytes {
        const { layer, rules } = this.#options;
        this.#isReading = false;
        this.#size = undefined;
        this.#offset = 0;
        return new ResumableBytes({
            open: (resume, aborted) => this.#open(layer, resume, aborted),
            retries: this.#retries,
            stallMs: rules.stallMs,
            onOpen: ({ start, size }) => {
                this.#isReading = true;
                this.#size = size ?? this.#size;
                if (start === 0) {
                    this.#meter.opened(size);
                }
            },
            onBreak: ({ error }) => this.#broke(error),
        });
    }

    async #open(
        layer: WantedLayer,
        resume: ResumePoint | undefined,
        signal: AbortSignal,
    ): Promise<OpenedSourceFile> {
        const found = await layer.open(resume, signal);
        if (found.size !== undefined && found.size > MAX_IMAGE_SIZE) {
            discard(found.body);
            throw tooBig(found.size);
        }
        return found;
    }

    #broke(error: unknown): void {
        if (isStall(error)) {
            this.#meter.timedOut();
        }
        this.#isReading = false;
    }

    #received(offset: number): void {
        this.#offset = offset;
        this.#meter.received(offset);
    }

    #verify({ size, sha256 }: ReceivedFile): void {
        const { digest } = this.#options.layer;
        if (this.#size !== undefined && size !== this.#size) {
            throw new WrongBytes(this.#wrongLength(this.#size, size));
        }
        if (`sha256:${sha256}` !== digest) {
            const message = `layer digest does not match, got sha256:${sha256}, expected ${digest}`;
            throw new WrongBytes(new ApiError('Download', message));
        }
    }

    #wrongLength(expected: number, size: number): ApiError {
        return downloadError(wrongLength(expected, size).message);
    }

    /** @throws WrongBytes, SourceChangedError, or what to answer */
    #failed(error: unknown): never {
        const cause = error instanceof ApiError && error.code === 'Upload' ? error.cause : undefined;
        if (cause instanceof OutgoingError && this.#isReading) {
            throw this.#brokenOff(cause);
        }
        throw cause ?? error;
    }

    /** Bytes stopped coming, and more tries would not help. */
    #brokenOff(error: OutgoingError): ApiError {
        if (isStall(error)) {
            this.#meter.timedOut();
            return downloadError('connection timed out', error);
        }
        return this.#size === undefined
            ? downloadError(shortReason(error), error)
            : this.#wrongLength(this.#size, this.#offset);
    }
}

/**
 * Downloads a layer, and makes sure that its bytes are those of its digest: what breaks off goes on where it
 * was, what is wrong starts over from zero.
 *
 * @throws ApiError, OutgoingError, the reason of the signal
 */
export function downloadLayer(options: LayerDownloadOptions): Promise<DownloadedLayer> {
    return new LayerDownload(options).run();
}
