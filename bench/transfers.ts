import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HttpClient } from '../test/helpers/http-client.js';
import { NOBODY } from '../test/helpers/images.js';
import { ServerProcess, temporaryDirectory } from '../test/helpers/server-process.js';
import { memoryMiB, percentile, report, seconds } from './measure.js';

const MIB = 1024 * 1024;
const run = promisify(execFile);

/** Writes a file of random bytes: the same MiB again and again, each with its number. */
export async function makeFile(path: string, mebibytes: number): Promise<void> {
    const block = randomBytes(MIB);
    const file = await open(path, 'w');
    for (let n = 0; n < mebibytes; n += 1) {
        block.writeUInt32LE(n);
        await file.write(block);
    }
    await file.sync();
    await file.close();
}

export async function createImage(client: HttpClient): Promise<string> {
    const answer = await client.post('/images', {
        owner: NOBODY,
        name: 'big',
        version: '1',
        type: 'other',
        os: 'other',
        public: true,
    });
    return String(answer.document['uuid']);
}

/** Pings until told to stop; milliseconds each ping took. */
async function pingMeanwhile(client: HttpClient, done: () => boolean): Promise<number[]> {
    const times: number[] = [];
    while (!done()) {
        const start = process.hrtime.bigint();
        await client.get('/ping');
        times.push(Number(process.hrtime.bigint() - start) / 1e6);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return times;
}

export async function upload(server: ServerProcess, path: string, uuids: readonly string[]): Promise<void> {
    await Promise.all(
        uuids.map(async (uuid) => {
            const url = `${server.url}/images/${uuid}/file?compression=none`;
            const { stdout } = await run('curl', [
                '-sS',
                '-o',
                '/dev/null',
                '-w',
                '%{http_code}',
                '-T',
                path,
                url,
            ]);
            if (stdout !== '200') throw new Error(`upload answered ${stdout}`);
        }),
    );
}

export async function download(server: ServerProcess, uuid: string): Promise<void> {
    await run('curl', ['-sS', '-f', '-o', '/dev/null', `${server.url}/images/${uuid}/file`]);
}

/** Large uploads and downloads against sha1sum and cp (`make bench BENCH=transfers`). */
export async function benchTransfers(mebibytes = Number(process.env['MIB'] ?? 2048)): Promise<void> {
    const directory = temporaryDirectory();
    const path = join(directory, 'big.bin');
    const server = await ServerProcess.start({ config: { mode: 'public', authType: 'none' } });
    const client = new HttpClient(server.port);
    try {
        await makeFile(path, mebibytes);
        await run('sha1sum', [path]);
        const sha1sum = await seconds(() => run('sha1sum', [path]));
        report(`sha1sum of ${mebibytes} MiB (cached)`, `${(mebibytes / sha1sum).toFixed(0)} MiB/s`);
        const copy = await seconds(() =>
            run('sh', ['-c', `cp '${path}' '${path}.copy' && sync '${path}.copy'`]),
        );
        report('cp and sync of the same', `${(mebibytes / copy).toFixed(0)} MiB/s`);
        await rm(`${path}.copy`);

        for (const concurrent of [1, 4]) {
            const uuids = await Promise.all(Array.from({ length: concurrent }, () => createImage(client)));
            let done = false;
            const pings = pingMeanwhile(client, () => done);
            const took = await seconds(() => upload(server, path, uuids)).finally(() => (done = true));
            const times = await pings;
            const rate = (concurrent * mebibytes) / took;
            report(
                `${concurrent} upload(s) at once`,
                `${rate.toFixed(0)} MiB/s, ${(took / concurrent / sha1sum).toFixed(2)} x the time of sha1sum each`,
            );
            report(
                '  ping meanwhile',
                `median ${percentile(times, 0.5).toFixed(1)} ms, p99 ${percentile(times, 0.99).toFixed(1)} ms, most ${Math.max(...times).toFixed(1)} ms`,
            );
            report('  most memory ever', `${memoryMiB(server.pid, 'VmHWM').toFixed(0)} MiB`);
            if (concurrent === 1) {
                const got = await seconds(() => download(server, uuids[0]!));
                report('download', `${(mebibytes / got).toFixed(0)} MiB/s`);
            }
            await Promise.all(uuids.map((uuid) => client.delete(`/images/${uuid}`)));
        }
    } finally {
        await server.stop();
        await rm(directory, { recursive: true, force: true });
    }
}
