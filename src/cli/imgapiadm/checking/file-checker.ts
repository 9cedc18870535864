import { DigestPool } from '../../../base/digests/digest-pool.js';
import {
    type ExpectedFile,
    type SeenFile,
    verifyFile,
    type Verdict,
} from '../../../maintenance/verify-file.js';
import { failureText } from '../failure-text.js';
import { withRetries, type RetryOptions } from '../retries.js';
import type { CacheLevel } from './cache-format.js';
import type { CheckCache } from './check-cache.js';
import { BadFile } from '../bad-file.js';
import type { CheckSource } from './check-source.js';
import { isSameFile, type CheckedFile, type CheckedImage } from './checked-image.js';
import { GivenUpStorages } from './given-up-storages.js';
import type { RateLimit } from './rate-limit.js';

/** What a file is, beyond {@link Verdict}: `gone`: the image does not have it any more; `failed`: nobody knows. */
export type FileState = 'good' | 'bad' | 'missing' | 'untested' | 'gone' | 'failed';

/** What came of checking a file. */
export interface FileResult {
    readonly file: CheckedFile;
    readonly state: FileState;
    /** Absent: it is good, or gone. */
    readonly reason?: string;
    /** Where it is or should be. */
    readonly path: string;
    /** It was known to be good. */
    readonly isCached?: boolean;
}

/** How thoroughly to check. */
export type Thoroughness = 'simple' | 'normal' | 'deep';

/** What a {@link FileChecker} is made from. */
export interface FileCheckerOptions {
    readonly source: CheckSource;
    readonly cache: CheckCache;
    readonly thoroughness: Thoroughness;
    /** Checks what is known to be good, too. */
    readonly force: boolean;
    readonly rateLimit?: RateLimit;
    readonly retries: RetryOptions;
    readonly onBytes: (count: number) => void;
}

/** How often a file may change while it is being checked. */
const MAX_CHANGES = 3;
const MISSING = 'ENOENT: no such file or directory';

/** Checks files, one at a call, any number at the same time. */
export class FileChecker {
    readonly #options: FileCheckerOptions;
    // This process has nothing else to do.
    readonly #pool = new DigestPool({ yields: false });
    readonly #givenUp = new GivenUpStorages();

    constructor(options: FileCheckerOptions) {
        this.#options = options;
    }

    /** Ends its threads. */
    async close(): Promise<void> {
        await this.#pool.stop();
    }

    /** Never rejects, except with the reason of the signal. */
    async check(image: CheckedImage, file: CheckedFile): Promise<FileResult> {
        const { retries, source } = this.#options;
        try {
            return await this.#settled(image, file);
        } catch (error) {
            retries.signal.throwIfAborted();
            return this.#failed(image.uuid, file, failureText(source.explain(error)));
        }
    }

    /** How many bytes checking a file reads at most. */
    bytesOf(file: CheckedFile): number {
        return this.#reads(file) ? (file.expected.size ?? 0) : 0;
    }

    /** What is not good is compared with the record once more: it may have changed meanwhile. */
    async #settled({ uuid }: CheckedImage, first: CheckedFile): Promise<FileResult> {
        const { source } = this.#options;
        let file = first;
        for (let changes = 0; changes < MAX_CHANGES; changes += 1) {
            const result = await this.#checkOnce(uuid, file);
            if (result.state !== 'bad' && result.state !== 'missing') {
                return result;
            }
            const now = (await source.current(uuid))?.files.find(({ name }) => name === file.name);
            if (now === undefined) {
                return { file, state: 'gone', path: result.path };
            }
            if (isSameFile(now, file)) {
                this.#options.cache.forget(uuid, file);
                return result;
            }
            file = now;
        }
        return this.#failed(uuid, file, 'it changes again and again');
    }

    async #checkOnce(uuid: string, file: CheckedFile): Promise<FileResult> {
        const { source, cache, force } = this.#options;
        const storage = source.storage(file.stor);
        const path = source.pathOf(uuid, file);
        const reason = storage === undefined ? 'not configured' : this.#givenUp.reasonOf(file.stor);
        if (storage === undefined || reason !== undefined) {
            return this.#failed(uuid, file, `storage "${file.stor}": ${reason}`);
        }
        const level = this.#level;
        // Of what is not on a disk nothing can be known without asking.
        if (!force && file.stor !== 'local' && cache.knows(uuid, file, level)) {
            return { file, state: 'good', path, isCached: true };
        }
        let isCached = false;
        const isKnown = (seen: SeenFile): boolean => {
            isCached = !force && file.stor === 'local' && cache.knows(uuid, file, level, seen);
            return isCached;
        };
        const verdict = await this.#verify(uuid, file, isKnown);
        if (verdict.kind === 'missing') {
            return { file, state: 'missing', path, reason: MISSING };
        }
        if (verdict.kind === 'good') {
            if (!isCached) {
                cache.remember(uuid, file, level, verdict.seen);
            }
            return { file, state: 'good', path: verdict.seen.path ?? path, isCached };
        }
        return { file, state: verdict.kind, path: verdict.seen.path ?? path, reason: verdict.reason };
    }

    async #verify(uuid: string, file: CheckedFile, isKnown: (seen: SeenFile) => boolean): Promise<Verdict> {
        const { source, retries } = this.#options;
        const { signal } = retries;
        const storage = source.storage(file.stor);
        if (storage === undefined) {
            throw new TypeError('a storage that was there is gone');
        }
        const verify = async (): Promise<Verdict> => {
            try {
                return await verifyFile(storage, uuid, file.name, this.#expectedOf(file), {
                    level: this.#reads(file) ? 'read' : 'stat',
                    signal,
                    pool: this.#pool,
                    isKnown,
                    onBytes: (count) => this.#pace(count),
                });
            } catch (error) {
                signal.throwIfAborted();
                throw source.explain(error);
            }
        };
        try {
            const verdict = await withRetries(verify, retries);
            this.#givenUp.answered(file.stor);
            return verdict;
        } catch (error) {
            if (error instanceof BadFile) {
                return { kind: 'bad', seen: { size: 0 }, reason: error.message };
            }
            signal.throwIfAborted();
            this.#givenUp.failed(file.stor, failureText(error));
            throw error;
        }
    }

    /**
     * A simple check is about the size alone, also where more is told. SHA-256 takes as long as SHA-1 and
     * finds no damage that SHA-1 and MD5 do not find, only forgery.
     */
    #expectedOf({ expected }: CheckedFile): ExpectedFile {
        const { sha256, ...others } = expected;
        const { thoroughness } = this.#options;
        if (thoroughness === 'simple') {
            return expected.size === undefined ? {} : { size: expected.size };
        }
        return thoroughness === 'deep' && sha256 !== undefined ? { ...others, sha256 } : others;
    }

    #reads({ stor }: CheckedFile): boolean {
        const { thoroughness, source } = this.#options;
        const isDistant = stor !== 'local' && source.runDirectory !== undefined;
        return thoroughness === 'deep' || (thoroughness === 'normal' && !isDistant);
    }

    get #level(): CacheLevel {
        const { thoroughness } = this.#options;
        return thoroughness === 'normal' ? 'full' : thoroughness;
    }

    #pace(count: number): Promise<void> | undefined {
        const { onBytes, rateLimit, retries } = this.#options;
        onBytes(count);
        return rateLimit?.take(count, retries.signal);
    }

    #failed(uuid: string, file: CheckedFile, reason: string): FileResult {
        return { file, state: 'failed', reason, path: this.#options.source.pathOf(uuid, file) };
    }
}
