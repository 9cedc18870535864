import type { Readable } from 'node:stream';

/** What the header of a ZFS stream tells. */
export interface ZfsStream {
    /** GUID of the snapshot that the stream makes, decimal as `zfs get guid` prints it. */
    readonly guid: string;
    /** GUID of the snapshot that it is based on; absent: it is whole. */
    readonly fromGuid?: string;
    /** Name of the snapshot where it was sent. */
    readonly name: string;
}

/** The bytes are no ZFS stream. */
export class NoZfsStream extends Error {
    override readonly name = 'NoZfsStream';

    constructor(why: string) {
        super(`no ZFS stream: ${why}`);
    }
}

/** Bytes of a record; longer things, such as the lists in compound streams, follow it. */
const RECORD_SIZE = 312;
const MAGIC = 0x2f5bacbacn;
const BEGIN = 0;
/** Low bits of the version: a stream of several, each of which begins anew behind a list of all. */
const KIND_MASK = 3n;
const COMPOUND = 2n;
/** Longest list in front of the first stream, bytes: there may be thousands of snapshots in it. */
const MAX_PAYLOAD = 64 * 1024 * 1024;

/** Offsets in a BEGIN record. */
const AT = { type: 0, payload: 4, magic: 8, version: 16, toGuid: 40, fromGuid: 48, name: 56 } as const;

/** Reads a stream piece by piece and forgets what it has passed. */
class Window {
    readonly #chunks: AsyncIterator<Buffer, undefined>;
    #bytes: Buffer = Buffer.alloc(0);

    constructor(stream: Readable) {
        this.#chunks = (stream as AsyncIterable<Buffer, undefined>)[Symbol.asyncIterator]();
    }

    /** @throws NoZfsStream when there are fewer */
    async take(count: number): Promise<Buffer> {
        while (this.#bytes.length < count) {
            this.#bytes = Buffer.concat([this.#bytes, await this.#next()]);
        }
        const taken = this.#bytes.subarray(0, count);
        this.#bytes = this.#bytes.subarray(count);
        return taken;
    }

    /** @throws NoZfsStream when there are fewer */
    async skip(count: number): Promise<void> {
        let left = count;
        while (left > this.#bytes.length) {
            left -= this.#bytes.length;
            this.#bytes = await this.#next();
        }
        this.#bytes = this.#bytes.subarray(left);
    }

    async #next(): Promise<Buffer> {
        const { done, value } = await this.#chunks.next();
        if (done === true) {
            throw new NoZfsStream('it ends too early');
        }
        return value;
    }
}

/** A record, whose numbers are in the byte order of the machine that sent it. */
class StreamRecord {
    readonly #bytes: Buffer;
    readonly #isLittle: boolean;

    constructor(bytes: Buffer, isLittle: boolean) {
        this.#bytes = bytes;
        this.#isLittle = isLittle;
    }

    number(at: number): number {
        return this.#isLittle ? this.#bytes.readUInt32LE(at) : this.#bytes.readUInt32BE(at);
    }

    large(at: number): bigint {
        return this.#isLittle ? this.#bytes.readBigUInt64LE(at) : this.#bytes.readBigUInt64BE(at);
    }

    text(at: number): string {
        const end = this.#bytes.indexOf(0, at);
        return this.#bytes.toString('utf8', at, end === -1 ? undefined : end);
    }
}

/** @throws NoZfsStream */
async function readBegin(window: Window): Promise<StreamRecord> {
    const bytes = await window.take(RECORD_SIZE);
    const isLittle = bytes.readBigUInt64LE(AT.magic) === MAGIC;
    const record = new StreamRecord(bytes, isLittle);
    if (record.large(AT.magic) !== MAGIC || record.number(AT.type) !== BEGIN) {
        throw new NoZfsStream('it begins otherwise');
    }
    return record;
}

/**
 * Reads the first records of what `zfs send` has made, uncompressed. Of a compound stream (`zfs send -R`) it is
 * the first stream in it that counts. Leaves the rest of the stream unread.
 *
 * @throws NoZfsStream, or the stream's error
 */
export async function readZfsHeader(stream: Readable): Promise<ZfsStream> {
    const window = new Window(stream);
    let record = await readBegin(window);
    if ((record.large(AT.version) & KIND_MASK) === COMPOUND) {
        const length = record.number(AT.payload);
        if (length > MAX_PAYLOAD) {
            throw new NoZfsStream('the list at its beginning is too long');
        }
        // The list, and the record that ends it.
        await window.skip(length + RECORD_SIZE);
        record = await readBegin(window);
    }
    const fromGuid = record.large(AT.fromGuid);
    return {
        guid: String(record.large(AT.toGuid)),
        ...(fromGuid === 0n ? {} : { fromGuid: String(fromGuid) }),
        name: record.text(AT.name),
    };
}
