import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { MAX_IMAGE_SIZE } from '#lib/base/constants.js';
import { ApiError } from '#lib/base/errors.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import type { OpenedSourceFile, ResumePoint } from '#lib/remotes/image-source.js';
import { PartFile } from '#lib/transfers/part-file.js';
import { transferFile, type TransferOptions, type TransferredFile } from '#lib/transfers/source-transfer.js';
import { stagedDownload, type PartFacts, type WantedFile } from '#lib/transfers/staged-download.js';
import { md5, sha1 } from '../helpers/image-bench.js';

const WHAT = 'error receiving image file';

/** How a source answers one request for a file. */
interface Answer {
    /** Bytes after which the connection breaks; default: it does not. */
    readonly cut?: number;
    /** Sends the whole file whatever was asked for, as the existing server does. */
    readonly whole?: boolean;
    readonly status?: number;
    readonly flip?: boolean;
    readonly contentMD5?: string;
    readonly etag?: string | null;
    /** Announces no size. */
    readonly unsized?: boolean;
}

/** A source whose answers are written down beforehand; those behind the last are whole and right. */
class ScriptedSource {
    bytes: Buffer;
    readonly answers: Answer[];
    readonly asked: (number | undefined)[] = [];
    manifests = 0;

    constructor(bytes: Buffer, answers: readonly Answer[] = []) {
        this.bytes = bytes;
        this.answers = [...answers];
    }

    get file(): WantedFile {
        return { sha1: sha1(this.bytes), size: this.bytes.length };
    }

    readAgain = async (): Promise<WantedFile> => {
        this.manifests += 1;
        return this.file;
    };

    open = async (resume: ResumePoint | undefined): Promise<OpenedSourceFile> => {
        this.asked.push(resume?.offset);
        const answer = this.answers.shift() ?? {};
        if (answer.status !== undefined) {
            const range = `bytes */${this.bytes.length}`;
            const facts = { status: answer.status, headers: { 'content-range': range } };
            throw new OutgoingError('status', `status ${answer.status}`, facts);
        }
        const etag = answer.etag === undefined ? sha1(this.bytes) : answer.etag;
        const start = answer.whole === true || etag !== resume?.etag ? 0 : resume.offset;
        const bytes = Buffer.from(this.bytes.subarray(start));
        if (answer.flip === true) bytes[0] = (bytes[0] ?? 0) ^ 1;
        return {
            start,
            ...(answer.unsized === true ? {} : { size: this.bytes.length }),
            ...(etag === null ? {} : { etag }),
            contentMD5: answer.contentMD5 ?? md5(this.bytes),
            body: Readable.from(chunks(bytes, answer.cut), { objectMode: false }),
            failure: (error) => new OutgoingError('connect', 'lost', { cause: error }),
        };
    };
}

function* chunks(bytes: Buffer, cut = Infinity): Iterable<Buffer> {
    for (let at = 0; at < Math.min(bytes.length, cut); at += 65_536) {
        yield bytes.subarray(at, Math.min(at + 65_536, cut));
    }
    if (cut <= bytes.length) throw new Error('connection reset');
}

/** A place for one part file, with what a job remembers of it. */
class Staging {
    readonly part: PartFile;
    noted: PartFacts | undefined;
    /** Bytes of the file that the progress counts, and how often it started over. */
    counted = 0;
    starts = 0;
    readonly resumed: number[] = [];

    constructor(t: Test) {
        const directory = t.testdir({});
        this.part = new PartFile(join(directory, 'image.file0.part'));
    }

    fetch(source: ScriptedSource, changes: Partial<TransferOptions<WantedFile>> = {}) {
        const notes = {
            read: () => this.noted,
            write: async (facts: PartFacts) => {
                this.noted = facts;
            },
        };
        this.counted = 0;
        return transferFile({
            file: source.file,
            readAgain: source.readAgain,
            open: source.open,
            begin: stagedDownload(this.part, notes, WHAT),
            retries: { attempts: 3, minMs: 1, maxMs: 2 },
            stallMs: 1000,
            progress: {
                resumedAt: (bytes) => {
                    this.counted = bytes;
                    this.resumed.push(bytes);
                },
                received: (bytes) => {
                    this.counted += bytes;
                },
                startedOver: () => {
                    this.counted = 0;
                    this.starts += 1;
                },
            },
            what: WHAT,
            fails: (cause) => {
                throw new ApiError('RemoteSourceError', 'remote', { cause });
            },
            signal: new AbortController().signal,
            ...changes,
        });
    }

    /** Fails the test unless the file is there, and all that is known of it is right. */
    expectWhole(t: Test, source: ScriptedSource, { received }: TransferredFile<WantedFile>): void {
        t.match(received, { ...source.file, md5: md5(source.bytes) });
        t.ok(readFileSync(this.part.path).equals(source.bytes), 'the right bytes on disk');
        t.equal(this.counted, source.bytes.length, 'all bytes counted, none twice');
    }
}

const bytes = randomBytes(3_000_000);

void t.test('a file that comes at once', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(bytes);
    staging.expectWhole(t, source, await staging.fetch(source));
    t.same(source.asked, [undefined]);
    t.same(staging.noted, { ...source.file, etag: sha1(bytes) });
    t.equal(statSync(staging.part.path).mode & 0o777, 0o640);
});

void t.test('a body that breaks off goes on where it was, in the same try', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(bytes, [{ cut: 1_000_000 }, { status: 503 }, { cut: 1_000_000 }]);
    staging.expectWhole(t, source, await staging.fetch(source));
    t.same(source.asked, [undefined, 1_000_000, 1_000_000, 2_000_000]);
    t.equal(source.manifests, 3, 'the manifest is read before each resume');
    t.equal(staging.starts, 0);
    t.same(staging.resumed, [1_000_000, 2_000_000]);
});

/** Stops a transfer after so many bytes, as the end of a process would. */
async function stopAfter(staging: Staging, source: ScriptedSource, limit: number): Promise<void> {
    const stop = new AbortController();
    const reason = new Error('the server stops');
    const open = async (resume: ResumePoint | undefined): Promise<OpenedSourceFile> => {
        const opened = await source.open(resume);
        async function* held(): AsyncGenerator<Buffer> {
            let sent = 0;
            for await (const chunk of opened.body as AsyncIterable<Buffer>) {
                if (sent >= limit) {
                    stop.abort(reason);
                    await new Promise(() => undefined);
                }
                yield chunk;
                sent += chunk.length;
            }
        }
        return { ...opened, body: Readable.from(held(), { objectMode: false }) };
    };
    await staging.fetch(source, { open, signal: stop.signal }).then(
        () => {
            throw new Error('it was not stopped');
        },
        (error: unknown) => {
            if (error !== reason) throw error;
        },
    );
}

void t.test('a later process goes on with the part it finds', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(bytes);
    await stopAfter(staging, source, 2_000_000);
    const kept = statSync(staging.part.path).size;
    t.ok(kept >= 500_000 && kept < bytes.length, `${kept} bytes are kept`);
    staging.expectWhole(t, source, await staging.fetch(source));
    t.same(source.asked, [undefined, kept]);
    t.same(staging.resumed, [kept]);
});

void t.test('a part is of no use', async (t) => {
    const cases: readonly (readonly [string, (staging: Staging, source: ScriptedSource) => void])[] = [
        ['of another file', (staging) => (staging.noted = { sha1: sha1(bytes), size: 5, etag: 'x' })],
        ['of which nothing is known', (staging) => (staging.noted = undefined)],
        ['whose end was lost without a trace', ({ part }) => truncateSync(part.path, 0)],
        ['longer than the file', ({ part }) => truncateSync(part.path, bytes.length + 1)],
        ['from a source without entity tags', (staging, source) => (staging.noted = { ...source.file })],
    ];
    for (const [name, spoil] of cases) {
        const staging = new Staging(t);
        const source = new ScriptedSource(bytes);
        await stopAfter(staging, source, 2_000_000);
        spoil(staging, source);
        staging.expectWhole(t, source, await staging.fetch(source));
        t.same(source.asked, [undefined, undefined], name);
    }
});

void t.test('wrong bytes in a part are found, and fetched again', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(bytes);
    await stopAfter(staging, source, 2_000_000);
    const size = statSync(staging.part.path).size;
    writeFileSync(staging.part.path, Buffer.alloc(size), { flag: 'r+' });
    staging.expectWhole(t, source, await staging.fetch(source));
    t.same(source.asked, [undefined, size, undefined]);
    t.equal(staging.starts, 1);
});

void t.test('a part that is complete is only looked at, and never written to', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(bytes);
    await staging.fetch(source);
    const other = `${staging.part.path}.linked`;
    linkSync(staging.part.path, other);
    staging.expectWhole(t, source, await staging.fetch(source));
    t.same(source.asked, [undefined], 'without a request');
    source.bytes = randomBytes(1_000_000);
    staging.expectWhole(t, source, await staging.fetch(source));
    t.ok(readFileSync(other).equals(bytes), 'what a storage has of it stays');
});

void t.test('a source that does not go on starts over', async (t) => {
    const rows: readonly (readonly [string, readonly Answer[], (number | undefined)[]])[] = [
        ['whole files only', [{ cut: 2_000_000 }, { whole: true }], [undefined, 2_000_000, undefined]],
        ['another entity tag', [{ cut: 2_000_000, etag: 'old' }], [undefined, 2_000_000, undefined]],
        ['no entity tag', [{ cut: 2_000_000, etag: null }], [undefined, undefined]],
        ['no such part', [{ cut: 2_000_000 }, { status: 416 }], [undefined, 2_000_000, undefined]],
    ];
    for (const [name, answers, asked] of rows) {
        const staging = new Staging(t);
        const source = new ScriptedSource(bytes, answers);
        staging.expectWhole(t, source, await staging.fetch(source));
        t.same(source.asked, asked, name);
        t.equal(staging.starts, 1, name);
    }
});

void t.test('a body without a length that breaks off behind its last byte is complete', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(bytes, [{ cut: bytes.length, unsized: true }]);
    staging.expectWhole(t, source, await staging.fetch(source));
    t.same(source.asked, [undefined]);
});

void t.test('an image that changes at the source is fetched as it is then', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(bytes, [{ cut: 1_000_000 }]);
    const open = async (resume: ResumePoint | undefined): Promise<OpenedSourceFile> => {
        const opened = await source.open(resume);
        source.bytes = other;
        return opened;
    };
    const other = randomBytes(500_000);
    const done = await staging.fetch(source, { open });
    staging.expectWhole(t, source, done);
    t.same(done.file, source.file);
    t.same(source.asked, [undefined, undefined], 'no part of another file was asked for');
});

void t.test('what cannot be had', async (t) => {
    const fails = async (
        answers: readonly Answer[],
        file: Partial<WantedFile> = {},
    ): Promise<{ error: ApiError; source: ScriptedSource; staging: Staging }> => {
        const staging = new Staging(t);
        const source = new ScriptedSource(bytes, answers);
        const wrong = { ...source.file, ...file };
        const fetching = staging.fetch(source, { file: wrong, readAgain: async () => wrong });
        const error = await fetching.then(
            () => t.fail('it should fail'),
            (error: unknown) => error as ApiError,
        );
        return { error: error as ApiError, source, staging };
    };
    const flipped = await fails([{ flip: true }, { flip: true }]);
    t.equal(flipped.error.code, 'Download');
    t.match(
        flipped.error.message,
        new RegExp(`^"sha1" file field, ${sha1(bytes)}, does not match the downloaded file sha1 hash, `),
    );
    t.same(flipped.source.asked, [undefined, undefined], 'once more from zero');
    const sized = await fails([], { size: 2_999_999 });
    t.equal(sized.error.message, '"Content-Length" header, 2999999, does not match downloaded size, 3000000');
    const digest = await fails([{ contentMD5: 'x' }, { contentMD5: 'x' }]);
    t.match(digest.error.message, /^"Content-MD5" header, x, does not match/);
    const huge = await fails([], { size: MAX_IMAGE_SIZE + 1 });
    t.equal(
        huge.error.message,
        `image file size, ${MAX_IMAGE_SIZE + 1}, exceeds the maximum allowed file size, 20 GiB`,
    );
    t.same(huge.source.asked, []);
    const refused = await fails([{ status: 404 }]);
    t.equal(refused.error.code, 'RemoteSourceError');
    t.same(refused.source.asked, [undefined], 'not asked again');
    const silent = await fails([{ status: 503 }, { status: 503 }, { status: 503 }]);
    t.equal((silent.error.cause as OutgoingError).status, 503);
    t.equal(silent.source.asked.length, 3, 'as often as the policy says');
    const slow = await fails(Array.from({ length: 9 }, () => ({ cut: 1000, whole: true })));
    t.equal(slow.error.code, 'RemoteSourceError');
    t.ok(slow.source.asked.length <= 6, 'starting over is no progress');
});

void t.test('an empty file is refused', async (t) => {
    const staging = new Staging(t);
    const source = new ScriptedSource(Buffer.alloc(0));
    await t.rejects(staging.fetch(source), {
        code: 'Download',
        message: 'image file size is 0 bytes, empty files are not allowed',
    });
});

void t.test('a disk that takes no bytes is no fault of the source', async (t) => {
    const staging = new Staging(t);
    mkdirSync(staging.part.path);
    await t.rejects(staging.fetch(new ScriptedSource(bytes)), {
        code: 'InternalError',
        message: /^error receiving image file: /,
    });
});

void t.test('any sequence of cuts, refusals and restarts ends with the right bytes', async (t) => {
    const small = randomBytes(400_000);
    const answer = fc.oneof(
        fc.record({ cut: fc.integer({ min: 1, max: small.length }) }),
        fc.record({ cut: fc.integer({ min: 1, max: small.length }), whole: fc.constant(true) }),
        fc.record({ status: fc.constantFrom(500, 503, 429) }),
        fc.record({ cut: fc.integer({ min: 1, max: small.length }), etag: fc.constant(null) }),
    );
    const property = fc.asyncProperty(
        fc.array(answer, { maxLength: 6 }),
        fc.array(fc.integer({ min: 0, max: small.length - 1 }), { maxLength: 2 }),
        async (answers, stops) => {
            const staging = new Staging(t);
            const source = new ScriptedSource(small);
            for (const limit of stops) {
                await stopAfter(staging, source, limit).catch(() => undefined);
            }
            source.answers.push(...answers);
            const retries = { attempts: 20, minMs: 1, maxMs: 1 };
            staging.expectWhole(t, source, await staging.fetch(source, { retries }));
        },
    );
    await fc.assert(property, { numRuns: Number(process.env['RUNS'] ?? 40) });
});
