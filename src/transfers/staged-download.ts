import type { Readable } from 'node:stream';
import { type ApiError, writeFailure } from '../base/errors.js';
import { shortReason } from '../base/short-reason.js';
import type { PartFile } from './part-file.js';
import type { TransferTry } from './source-transfer.js';

/** A file of an image, as the source's manifest has it. */
export interface WantedFile {
    /** Hex. */
    readonly sha1: string;
    /** Bytes. */
    readonly size: number;
}

/** What a part file is a part of. */
export interface PartFacts extends WantedFile {
    /** Entity tag at the source, unquoted; absent: it sends none, so that only a complete part is of use. */
    readonly etag?: string;
}

/** Where it is kept what a part file is a part of, for a process that comes later. */
export interface PartNotes {
    read(): PartFacts | undefined;
    /** Durable when it resolves. */
    write(facts: PartFacts): Promise<void>;
}

function failure(error: unknown, what: string): ApiError {
    return writeFailure(error, `${what}: ${shortReason(error)}`);
}

async function* readable(bytes: Readable, what: string): AsyncGenerator<Buffer> {
    try {
        yield* bytes as AsyncIterable<Buffer>;
    } catch (error) {
        throw failure(error, what);
    }
}

/** How many of the bytes there are can be used; 0: none. */
async function usableSize(
    part: PartFile,
    noted: PartFacts | undefined,
    { sha1, size }: WantedFile,
): Promise<number> {
    if (noted?.sha1 !== sha1 || noted.size !== size) {
        return 0;
    }
    const there = await part.size();
    const isUsable = there === size || (there < size && noted.etag !== undefined);
    return isUsable ? there : 0;
}

/**
 * Has a file received into a part file, behind what an earlier try, or an earlier process, has left there
 * of the same file (jobs-and-imports 9.7).
 *
 * @param what start of messages
 * @returns what `transferFile` begins its tries with
 */
export function stagedDownload(
    part: PartFile,
    notes: PartNotes,
    what: string,
): (file: WantedFile, fresh: boolean) => Promise<TransferTry> {
    const noteFile = async ({ sha1, size }: WantedFile, etag: string | undefined): Promise<void> => {
        const noted = notes.read();
        if (noted?.sha1 !== sha1 || noted.size !== size || noted.etag !== etag) {
            const facts = { sha1, size, ...(etag === undefined ? {} : { etag }) };
            await notes.write(facts).catch((error: unknown) => {
                throw failure(error, what);
            });
        }
    };
    return async (file, fresh) => {
        const opened = (etag: string | undefined): Promise<void> => noteFile(file, etag);
        try {
            const noted = notes.read();
            const size = fresh ? 0 : await usableSize(part, noted, file);
            if (size === 0) {
                return { writer: await part.begin(), opened };
            }
            const etag = noted?.etag;
            const bytes = (): AsyncIterable<Buffer> => readable(part.read(size), what);
            const kept = { bytes, size, ...(etag === undefined ? {} : { etag }) };
            return { writer: await part.append(size), kept, opened };
        } catch (error) {
            throw failure(error, what);
        }
    };
}
