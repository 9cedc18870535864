import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip } from 'node:zlib';
import { digestPool } from '#lib/base/digests/digest-pool.js';
import { SlotPipeline } from '#lib/base/digests/slot-pipeline.js';
import { newUuid } from '#lib/base/uuid.js';
import { imageDirectory, rawRecord } from '../test/helpers/images.js';
import { PROJECT_ROOT, temporaryDirectory } from '../test/helpers/server-process.js';
import { median, report, seconds } from './measure.js';
import { makeFile } from './transfers.js';

const MIB = 1024 * 1024;
const run = promisify(execFile);
/** What the tool is to reach, of the rate of sha1sum. */
const WANTED = 0.8;

/** Files of images in a data directory. */
interface Stored {
    readonly paths: readonly string[];
    readonly bytes: number;
}

/** What an upload of this server would note of a file. */
async function factsOf(path: string): Promise<Record<string, unknown>> {
    const digests = digestPool.start();
    const nowhere = { write: () => Promise.resolve(), close: () => Promise.resolve() };
    const slots = new SlotPipeline(digests, nowhere, () => undefined);
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) await slots.push(chunk);
    const { sha1, md5, sha256 } = (await slots.end()).digests;
    digests.release();
    return { sha1, contentMD5: md5, sha256, size: (await stat(path)).size, stor: 'local' };
}

/** Bytes as in an image: this very program, again and again, so that unpacking has something to do. */
async function* programs(mebibytes: number): AsyncGenerator<Buffer> {
    for (let left = mebibytes * MIB; left > 0;) {
        for await (const chunk of createReadStream(process.execPath) as AsyncIterable<Buffer>) {
            yield chunk.subarray(0, left);
            left -= chunk.length;
            if (left <= 0) return;
        }
    }
}

async function makeImages(
    base: string,
    compression: 'none' | 'gzip',
    count: number,
    mebibytes: number,
): Promise<Stored> {
    const paths: string[] = [];
    let bytes = 0;
    for (let n = 0; n < count; n += 1) {
        const uuid = newUuid();
        const directory = imageDirectory(base, uuid);
        const path = join(directory, 'file0');
        await mkdir(directory, { recursive: true });
        if (compression === 'none') {
            await makeFile(path, mebibytes);
        } else {
            const packed = createWriteStream(`${path}.gz`);
            await pipeline(Readable.from(programs(mebibytes)), createGzip({ level: 1 }), packed);
            await rename(`${path}.gz`, path);
        }
        const facts = { ...(await factsOf(path)), compression };
        const record = rawRecord({ uuid, name: `image-${n}`, activated: true, more: { files: [facts] } });
        const dated = { ...record, published_at: '2020-01-01T00:00:00.000Z' };
        await mkdir(join(base, 'manifests'), { recursive: true });
        await writeFile(join(base, 'manifests', `${uuid}.raw`), JSON.stringify(dated, null, 2));
        paths.push(path);
        bytes += (await stat(path)).size;
    }
    return { paths, bytes };
}

/** Both read the same files in turns; all are in the page cache before the first turn. */
async function compare(compression: 'none' | 'gzip', rounds: number, count: number, mebibytes: number) {
    const base = temporaryDirectory();
    try {
        const { paths, bytes } = await makeImages(base, compression, count, mebibytes);
        const config = join(base, 'imgapi.config.json');
        await writeFile(config, JSON.stringify({ mode: 'private', dataDir: base }));
        const tool = join(PROJECT_ROOT, 'bin/imgapiadm');
        const check = (): Promise<unknown> =>
            run(process.execPath, [tool, 'check-files', '--no-cache', '-q', '-c', config]);
        const sum = (): Promise<unknown> => run('sha1sum', paths);
        const unpack = (): Promise<unknown> => run('sh', ['-c', 'cat "$@" | gzip -t', 'gzip', ...paths]);
        await sum();
        await check();
        const times = { sum: [] as number[], unpack: [] as number[], check: [] as number[] };
        for (let round = 0; round < rounds; round += 1) {
            times.sum.push(await seconds(sum));
            if (compression === 'gzip') times.unpack.push(await seconds(unpack));
            times.check.push(await seconds(check));
        }
        const rate = (taken: readonly number[]): number => bytes / MIB / median(taken);
        const ratio = median(times.sum) / median(times.check);
        const what = `${count} files, ${(bytes / MIB).toFixed(0)} MiB, compression ${compression}`;
        report(`${what}: sha1sum`, `${rate(times.sum).toFixed(0)} MiB/s`);
        report('  imgapiadm check-files', `${rate(times.check).toFixed(0)} MiB/s`);
        report(
            `  of the rate of sha1sum${compression === 'none' ? ` (wanted: ${WANTED})` : ''}`,
            ratio.toFixed(2),
        );
        if (compression === 'gzip') {
            const both = median(times.sum) + median(times.unpack);
            report('  of the rate of sha1sum and then gzip -t', (both / median(times.check)).toFixed(2));
        }
    } finally {
        await rm(base, { recursive: true, force: true });
    }
}

/**
 * `imgapiadm check-files` against sha1sum on the same files (`make bench BENCH=check-files`): medians of
 * rounds in turns. Both start as processes; the tool also computes MD5 and unpacks gzip files, which sha1sum
 * does not.
 */
export async function benchCheckFiles(): Promise<void> {
    const mebibytes = Number(process.env['MIB'] ?? 256);
    const files = Number(process.env['FILES'] ?? 8);
    const rounds = Number(process.env['ROUNDS'] ?? 5);
    const settings = `MIB=${mebibytes} FILES=${files} ROUNDS=${rounds}`;
    report('again with', `make bench BENCH=check-files ${settings}`);
    report('processors, and how many others use', `${availableParallelism()}, ${loadavg()[0]?.toFixed(1)}`);
    await compare('none', rounds, files, mebibytes);
    await compare('none', rounds, 1, (files * mebibytes) / 2);
    await compare('gzip', rounds, files, mebibytes);
}
