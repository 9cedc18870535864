import { digestPool } from '../base/digests/digest-pool.js';
import { Hashes, type DigestName, type Digests } from '../base/digests/digests.js';
import { SlotPipeline } from '../base/digests/slot-pipeline.js';
import { SourceReader } from '../transfers/source-reader.js';
import { startArchiveTest, type ArchiveTest, type ArchiveVerdict } from './archive-test.js';
import type { ExpectedFile, ReadableFile, VerifyOptions } from './verify-file.js';

/** What is known of a file that was read to its end. */
export interface ReadFacts {
    readonly size: number;
    readonly digests: Partial<Digests>;
    readonly archive: ArchiveVerdict;
}

/** Takes the bytes of a file, one chunk after another. */
interface Examination {
    push(chunk: Buffer): Promise<void>;
    end(): Promise<Omit<ReadFacts, 'size'>>;
    /** To be called in any case: nothing is under way afterwards. */
    release(): Promise<void>;
}

/** Bytes that are hashed on this thread; it takes a millisecond. */
const INLINE_SIZE = 262_144;
/** Longest time without a byte, milliseconds: a disk that is worth checking may be slow. */
const IDLE_MS = 120_000;

/** Digests that can be compared with something; SHA-1 in any case. */
function wantedDigests({ contentMD5, sha256 }: ExpectedFile): readonly DigestName[] {
    return [
        'sha1',
        ...(contentMD5 === undefined ? [] : ['md5' as const]),
        ...(sha256 === undefined ? [] : ['sha256' as const]),
    ];
}

/** A small file: hashed at once. */
function examineHere(names: readonly DigestName[], archive: ArchiveTest | undefined): Examination {
    const hashes = new Hashes(names);
    return {
        push: async (chunk) => {
            hashes.update(chunk);
            await archive?.write(chunk);
        },
        end: async () => ({ digests: hashes.end(), archive: (await archive?.close()) ?? 'valid' }),
        release: () => Promise.resolve(archive?.cancel()),
    };
}

/** A large file: hashed and unpacked at the same time, on other threads. @param onFailure as of a pipeline */
function examineOnThreads(
    names: readonly DigestName[],
    archive: ArchiveTest | undefined,
    pool: Pick<typeof digestPool, 'startSome'>,
    onFailure: (error: unknown) => void,
): Examination {
    const run = pool.startSome(names);
    const nowhere = {
        write: () => Promise.resolve(),
        close: () => Promise.resolve('valid' as const),
    };
    const pipeline = new SlotPipeline(run, archive ?? nowhere, onFailure);
    return {
        push: (chunk) => pipeline.push(chunk),
        end: async () => {
            const { digests, closed } = await pipeline.end();
            return { digests, archive: closed };
        },
        release: async () => {
            run.cancel();
            archive?.cancel();
            await pipeline.settled();
            run.release();
        },
    };
}

/**
 * Reads a file once: its digests, and whether it can be unpacked.
 *
 * @throws the stream's error, that of a thread, or the reason of the signal
 */
export async function readThrough(
    { stream, size }: ReadableFile,
    expected: ExpectedFile,
    { signal, pool = digestPool, testArchive = true, onBytes }: VerifyOptions,
): Promise<ReadFacts> {
    const stop = new AbortController();
    const source = new SourceReader(stream, IDLE_MS, AbortSignal.any([signal, stop.signal]));
    const names = wantedDigests(expected);
    const archive = testArchive ? startArchiveTest(expected.compression) : undefined;
    const examination =
        size <= INLINE_SIZE
            ? examineHere(names, archive)
            : examineOnThreads(names, archive, pool, (error) => stop.abort(error));
    // What unpacks may hang.
    const onAbort = (): void => archive?.cancel();
    signal.addEventListener('abort', onAbort);
    let count = 0;
    try {
        for (let chunk = await source.next(); chunk !== undefined; chunk = await source.next()) {
            count += chunk.length;
            await onBytes?.(chunk.length);
            await examination.push(chunk);
        }
        const facts = await examination.end();
        signal.throwIfAborted();
        return { size: count, ...facts };
    } finally {
        signal.removeEventListener('abort', onAbort);
        source.close();
        await examination.release();
    }
}
