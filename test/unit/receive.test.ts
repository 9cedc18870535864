import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { ApiError } from '#lib/base/errors.js';
import { LocalStorage } from '#lib/storage/local/local-storage.js';
import { FaultyMemory } from '../doubles/faulty-storage.js';
import type { Storage } from '#lib/storage/storage.js';
import { DigestPool } from '#lib/base/digests/digest-pool.js';
import { type ReceivedFile, receiveFile, type ReceiveOptions } from '#lib/transfers/receive.js';
import { recordingLog } from '../helpers/recording-log.js';

const WHAT = 'error receiving image file';
const MIB = 1_048_576;

interface Received {
    readonly uuid: string;
    readonly result: ReceivedFile;
}

/** Receives `source` into `storage`; commits when all went well. */
async function receive(
    storage: Storage,
    source: Readable,
    options: Partial<ReceiveOptions> = {},
): Promise<Received> {
    const uuid = randomUUID();
    const writer = await storage.createWriter(uuid, 'file0');
    const result = await receiveFile({
        source,
        writer,
        maxSize: 64 * MIB,
        tooBig: () => new ApiError('Upload', 'too big'),
        what: WHAT,
        signal: new AbortController().signal,
        idleTimeoutMs: 60_000,
        ...options,
    });
    await writer.commit();
    return { uuid, result };
}

function expected(bytes: Buffer): ReceivedFile {
    const digest = (name: string, encoding: 'hex' | 'base64') =>
        createHash(name).update(bytes).digest(encoding);
    return {
        size: bytes.length,
        sha1: digest('sha1', 'hex'),
        md5: digest('md5', 'base64'),
        sha256: digest('sha256', 'hex'),
    };
}

/** A stream that gives `bytes` in pieces of the sizes given, over and over. */
function chunked(bytes: Buffer, sizes: readonly number[]): Readable {
    function* chunks(): Iterable<Buffer> {
        let index = 0;
        for (let at = 0; at < bytes.length; index += 1) {
            const size = sizes[index % sizes.length] ?? bytes.length;
            yield bytes.subarray(at, at + size);
            at += size;
        }
    }
    return Readable.from(chunks(), { objectMode: false });
}

async function openLocal(t: Test): Promise<{ storage: LocalStorage; left: () => string[] }> {
    const directories = baseDirectories(t.testdir());
    const storage = new LocalStorage({ directories, log: recordingLog().log });
    await storage.setup();
    const left = (): string[] =>
        readdirSync(directories.images, { recursive: true, encoding: 'utf8' }).filter((path) =>
            path.includes('/'),
        );
    return { storage, left };
}

/** Resolves when somebody listens to the stream. */
async function whenRead(source: Readable): Promise<void> {
    while (source.listenerCount('readable') === 0) {
        await new Promise((resolve) => setImmediate(resolve));
    }
}

/** Number of files and sockets this process has open. */
function openDescriptors(): number {
    return readdirSync('/proc/self/fd').length;
}

void t.test('size, digests and bytes are right for any size and chunking', async (t) => {
    const { storage } = await openLocal(t);
    await fc.assert(
        fc.asyncProperty(
            fc.oneof(fc.nat(4096), fc.nat(3 * MIB), fc.constantFrom(0, 262_143, 262_144, 262_145, 2 * MIB)),
            fc.array(fc.integer({ min: 1, max: 700_000 }), { minLength: 1, maxLength: 5 }),
            async (size, sizes) => {
                const bytes = randomBytes(size);
                const useful = sizes.map((one) => Math.max(one, Math.ceil(size / 2000)));
                const { uuid, result } = await receive(storage, chunked(bytes, useful));
                t.same(result, expected(bytes));
                const stored = await storage.open(uuid, 'file0');
                t.ok(stored && (await buffer(stored.stream)).equals(bytes));
                await storage.remove(uuid, 'file0');
            },
        ),
        { numRuns: 60 },
    );
});

void t.test('many files at the same time', async (t) => {
    const storage = new FaultyMemory();
    const files = Array.from({ length: 24 }, (_none, index) => randomBytes(MIB + index * 77_777));
    const results = await Promise.all(files.map((bytes) => receive(storage, chunked(bytes, [65_536]))));
    for (const [index, { uuid, result }] of results.entries()) {
        t.same(result, expected(files[index]!));
        const stored = await storage.open(uuid, 'file0');
        t.ok((await buffer(stored!.stream)).equals(files[index]!));
    }
});

void t.test('the source is not read faster than the storage writes', async (t) => {
    const storage = new FaultyMemory();
    storage.faults.hang('write');
    let given = 0;
    const source = new Readable({
        read() {
            given += 65_536;
            this.push(given > 32 * MIB ? null : Buffer.alloc(65_536));
        },
    });
    const receiving = receive(storage, source);
    let before = -1;
    for (let quietTurns = 0; quietTurns < 1000; quietTurns += 1) {
        quietTurns = before === given && storage.faults.hanging > 0 ? quietTurns : 0;
        before = given;
        await new Promise((resolve) => setImmediate(resolve));
    }
    t.ok(given > 262_144 && given < 4 * MIB, `${given} bytes are under way`);
    storage.faults.heal();
    t.equal((await receiving).result.size, 32 * MIB);
});

void t.test('one byte too many', async (t) => {
    const { storage, left } = await openLocal(t);
    for (const size of [1000, 262_144, 3 * MIB]) {
        const exact = await receive(storage, chunked(randomBytes(size), [65_536]), { maxSize: size });
        t.equal(exact.result.size, size);
        await storage.remove(exact.uuid, 'file0');
        const source = chunked(randomBytes(size + 1), [65_536]);
        await t.rejects(receive(storage, source, { maxSize: size }), { code: 'Upload', message: 'too big' });
        t.notOk(source.destroyed, 'the source is left to its owner');
        source.destroy();
        t.same(left(), []);
    }
    t.same(storage.uploadsInProgress(), []);
});

void t.test('a source that breaks off, at the start and later', async (t) => {
    const { storage, left } = await openLocal(t);
    const before = openDescriptors();
    for (const size of [0, 1000, 2 * MIB]) {
        const failing = new Readable({ read: () => undefined });
        failing.push(randomBytes(size));
        const receiving = receive(storage, failing);
        const expectation = t.rejects(receiving, {
            code: 'Upload',
            status: 400,
            message: `${WHAT}: ECONNRESET: connection reset by peer`,
        });
        await whenRead(failing);
        failing.destroy(Object.assign(new Error('/secret/path'), { code: 'ECONNRESET' }));
        await expectation;
        const silent = new Readable({ read: () => undefined });
        silent.push(randomBytes(size + 1));
        const other = receive(storage, silent);
        const closed = t.rejects(other, { code: 'Upload', message: /connection closed before the end/ });
        await whenRead(silent);
        silent.destroy();
        await closed;
        const destroyed = new Readable({ read: () => undefined }).destroy();
        await t.rejects(receive(storage, destroyed), { code: 'Upload' });
    }
    t.same(left(), []);
    t.equal(openDescriptors(), before);
});

void t.test('an error of the catalogue that the source gives is passed on', async (t) => {
    const { storage, left } = await openLocal(t);
    const source = new Readable({ read: () => undefined });
    const receiving = receive(storage, source);
    const expectation = t.rejects(receiving, {
        code: 'RemoteSourceError',
        message: 'the other server failed',
    });
    await whenRead(source);
    source.destroy(new ApiError('RemoteSourceError', 'the other server failed'));
    await expectation;
    t.same(left(), []);
});

void t.test('idle for too long', async (t) => {
    const { storage, left } = await openLocal(t);
    for (const size of [10, 2 * MIB]) {
        const source = new Readable({ read: () => undefined });
        source.push(randomBytes(size));
        await t.rejects(receive(storage, source, { idleTimeoutMs: 30 }), {
            code: 'Upload',
            message: `${WHAT}: no data received for 0 s`,
        });
        t.notOk(source.destroyed);
        source.destroy();
    }
    t.same(left(), []);
});

void t.test('a slow storage does not count as an idle source', async (t) => {
    const storage = new FaultyMemory();
    storage.faults.hang('write');
    const receiving = receive(storage, chunked(randomBytes(5 * MIB), [65_536]), { idleTimeoutMs: 10 });
    // The time itself is what is tested here.
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.ok(storage.faults.hanging > 0);
    storage.faults.heal();
    t.equal((await receiving).result.size, 5 * MIB);
});

void t.test('an abort ends it at once, even while the storage hangs', async (t) => {
    for (const size of [1000, 8 * MIB]) {
        for (const operation of ['write', 'close'] as const) {
            const storage = new FaultyMemory();
            storage.faults.hang(operation);
            const stop = new AbortController();
            const receiving = receive(storage, chunked(randomBytes(size), [65_536]), { signal: stop.signal });
            while (storage.faults.hanging === 0) {
                await new Promise((resolve) => setImmediate(resolve));
            }
            stop.abort();
            await t.rejects(receiving, { code: 'Upload', message: `${WHAT}: aborted` });
            t.same(storage.uploadsInProgress(), []);
            for await (const file of storage.list()) {
                t.fail(`${file.name} is left`);
            }
        }
    }
});

void t.test('an abort before, and one with an answer of its own', async (t) => {
    const { storage, left } = await openLocal(t);
    const bytes = randomBytes(1000);
    await t.rejects(receive(storage, chunked(bytes, [100]), { signal: AbortSignal.abort() }), {
        code: 'Upload',
    });
    const reason = new ApiError('ServiceUnavailableError', 'the server stops');
    await t.rejects(receive(storage, chunked(bytes, [100]), { signal: AbortSignal.abort(reason) }), reason);
    t.same(left(), []);
});

void t.test('a failing storage', async (t) => {
    const cases = [
        ['ENOSPC', { code: 'StorageIsDown', status: 503, message: 'storage is down at the moment' }],
        ['EROFS', { code: 'StorageIsDown', status: 503 }],
        ['EIO', { code: 'InternalError', status: 500, message: `${WHAT}: EIO: i/o error` }],
    ] as const;
    for (const size of [1000, 8 * MIB]) {
        for (const operation of ['write', 'close'] as const) {
            for (const [code, answer] of cases) {
                const storage = new FaultyMemory();
                storage.faults.fail(operation, Object.assign(new Error(`${code}: /secret/path`), { code }));
                const source = chunked(randomBytes(size), [65_536]);
                await t.rejects(receive(storage, source), answer, `${operation} ${code} ${size}`);
                source.destroy();
                t.same(storage.uploadsInProgress(), []);
            }
        }
    }
});

void t.test('a storage that fails while nothing comes from the source', async (t) => {
    const storage = new FaultyMemory();
    storage.faults.fail('write', Object.assign(new Error('full'), { code: 'ENOSPC' }));
    const source = new Readable({ read: () => undefined });
    source.push(randomBytes(MIB));
    await t.rejects(receive(storage, source), { code: 'StorageIsDown' });
    t.notOk(source.destroyed);
    source.destroy(new Error('late errors of the source do no harm'));
    await new Promise((resolve) => source.once('close', resolve));
});

void t.test('uploads over a socket: whole, and broken off by the client', async (t) => {
    const { storage, left } = await openLocal(t);
    const outcomes: Promise<unknown>[] = [];
    const server = createServer((req, res) => {
        const outcome = receive(storage, req).then(
            ({ result }) => res.end(result.sha1),
            (error: unknown) => {
                res.destroy();
                return error;
            },
        );
        outcomes.push(outcome);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    const bytes = randomBytes(5 * MIB);
    const upload = request({ port, host: '127.0.0.1', method: 'PUT', agent: false });
    upload.end(bytes);
    const [response] = (await once(upload, 'response')) as [Readable];
    t.equal((await buffer(response)).toString(), expected(bytes).sha1);
    t.equal(left().filter((path) => path.endsWith('/file0')).length, 1);

    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n');
    socket.write(bytes, () => socket.resetAndDestroy());
    while (outcomes.length < 2) {
        await new Promise((resolve) => setImmediate(resolve));
    }
    t.match(await outcomes[1], { code: 'Upload' });
    t.equal(left().filter((path) => path.includes('file0.')).length, 0);
    t.same(storage.uploadsInProgress(), []);
});

void t.test('digest threads that are stopped fail their digests, and new ones take over', async (t) => {
    const pool = new DigestPool();
    const run = pool.start();
    run.ring.slots[0]?.write('abc');
    await run.update(0, 3);
    const digests = await run.end();
    t.same({ size: 3, ...digests }, expected(Buffer.from('abc')));
    run.release();
    const broken = pool.start();
    t.equal(broken.ring.id, run.ring.id, 'memory is used again');
    const updates = Array.from({ length: 50 }, () => broken.update(0, broken.ring.memory.byteLength));
    const stopped = pool.stop();
    const settled = await Promise.allSettled(updates);
    await stopped;
    t.ok(settled.some(({ status }) => status === 'rejected'));
    await t.rejects(broken.update(0, 3));
    broken.cancel();
    broken.release();
    const again = pool.start();
    again.ring.slots[0]?.write('xyz');
    await again.update(0, 3);
    t.same({ size: 3, ...(await again.end()) }, expected(Buffer.from('xyz')));
    again.release();
    await pool.stop();
});
