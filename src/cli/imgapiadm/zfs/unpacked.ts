import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { compressionByMagic, MAGIC_LENGTH } from '../../../base/magic-bytes.js';

/** Looks at the first bytes of a stream. @returns them, and all of the stream with them */
async function peek(stream: Readable): Promise<{ readonly first: Buffer; readonly whole: Readable }> {
    const chunks = (stream as AsyncIterable<Buffer, undefined>)[Symbol.asyncIterator]();
    let first = Buffer.alloc(0);
    while (first.length < MAGIC_LENGTH) {
        const { done, value } = await chunks.next();
        if (done === true) {
            break;
        }
        first = Buffer.concat([first, value]);
    }
    async function* all(): AsyncGenerator<Buffer, void, undefined> {
        yield first;
        yield* { [Symbol.asyncIterator]: () => chunks };
    }
    return { first, whole: Readable.from(all(), { objectMode: false }) };
}

/** Has a program unpack a stream. Its end before that of the stream is no error of ours. */
async function* byProgram(program: string, packed: Readable): AsyncGenerator<Buffer, void, undefined> {
    const child = spawn(program, ['-dc'], { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = once(child, 'close');
    const fed = pipeline(packed, child.stdin).catch(() => undefined);
    try {
        // Before an error of a program that is not there becomes an unhandled one.
        await Promise.race([once(child, 'spawn'), ended]).catch((cause: unknown) => {
            throw new Error(`${program} is needed to unpack this, and cannot be run`, { cause });
        });
        yield* child.stdout as AsyncIterable<Buffer>;
    } finally {
        child.kill('SIGKILL');
        packed.destroy();
        await Promise.allSettled([ended, fed]);
    }
}

/** Unpacks what is packed with gzip, bzip2 or xz, as its first bytes tell; anything else stays as it is. */
export async function unpacked(stream: Readable): Promise<Readable> {
    const { first, whole } = await peek(stream);
    const compression = compressionByMagic(first);
    switch (compression) {
        case 'gzip': {
            const gunzip = createGunzip();
            pipeline(whole, gunzip).catch((error: unknown) => gunzip.destroy(error as Error));
            return gunzip;
        }
        case 'bzip2':
        case 'xz':
            return Readable.from(byProgram(compression, whole), { objectMode: false });
        default:
            return whole;
    }
}
