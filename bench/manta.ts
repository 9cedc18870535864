import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MantaProcess } from '../test/doubles/manta/manta-process.js';
import { HttpClient } from '../test/helpers/http-client.js';
import { makeMantaKey, type MantaKey } from '../test/helpers/manta-keys.js';
import { ServerProcess, temporaryDirectory } from '../test/helpers/server-process.js';
import { cpuMs, median, memoryMiB, report, seconds } from './measure.js';
import { createImage, download, makeFile, upload } from './transfers.js';

const run = promisify(execFile);

/** How often each transfer is made; bare and through the server take turns. */
const ROUNDS = Number(process.env['ROUNDS'] ?? 5);

const USER = 'admin';

/** A Manta, and a server that keeps its files there. */
interface Installation {
    readonly manta: MantaProcess;
    readonly server: ServerProcess;
    readonly client: HttpClient;
    readonly key: MantaKey;
}

/** A transfer by the bare client in a process of its own; seconds. */
async function bare({ manta, key }: Installation, ...args: readonly string[]): Promise<number> {
    const [what = '', ...rest] = args;
    const program = fileURLToPath(new URL('bare-manta-client.ts', import.meta.url));
    const { stdout } = await run(process.execPath, [
        '--import',
        'tsx',
        program,
        what,
        manta.url,
        USER,
        key.file,
        key.fingerprint,
        ...rest,
    ]);
    return Number(stdout);
}

function show(what: string, mebibytes: number, ours: readonly number[], peer: readonly number[]): void {
    const rate = (times: readonly number[]): string => `${(mebibytes / median(times)).toFixed(0)} MiB/s`;
    report(`${what}, bare client`, rate(peer));
    report(`${what}, through the server`, rate(ours));
    report(`  ratio`, (median(peer) / median(ours)).toFixed(2));
}

async function measure(installation: Installation, path: string, mebibytes: number): Promise<void> {
    const { server, client, manta } = installation;
    const object = `/${USER}/stor/bare`;
    const times = {
        put: [] as number[],
        get: [] as number[],
        barePut: [] as number[],
        hashedPut: [] as number[],
        bareGet: [] as number[],
    };
    for (let round = 0; round < ROUNDS; round += 1) {
        times.barePut.push(await bare(installation, 'put', object, path));
        times.hashedPut.push(await bare(installation, 'put-hashed', object, path));
        const uuid = await createImage(client);
        times.put.push(await seconds(() => upload(server, path, [uuid])));
        times.bareGet.push(await bare(installation, 'get', object));
        times.get.push(await seconds(() => download(server, uuid)));
        await client.delete(`/images/${uuid}`);
    }
    show('upload', mebibytes, times.put, times.barePut);
    show('upload, the peer hashing too', mebibytes, times.put, times.hashedPut);
    show('download', mebibytes, times.get, times.bareGet);
    report('  most memory ever', `${memoryMiB(server.pid, 'VmHWM').toFixed(0)} MiB`);
    const bytes = (2 * ROUNDS * mebibytes) / 1024;
    report('  CPU of the server for each GiB', `${(cpuMs(server.pid) / bytes / 1000).toFixed(2)} s`);
    report('  CPU of the double for each GiB', `${(cpuMs(manta.pid) / bytes / 2000).toFixed(2)} s`);
}

/** Large uploads to and downloads from Manta beside the bare client doing the same (`make bench BENCH=manta`). */
export async function benchManta(mebibytes = Number(process.env['MIB'] ?? 1024)): Promise<void> {
    const directory = temporaryDirectory();
    const key = makeMantaKey(directory, 'rsa');
    const manta = await MantaProcess.start({
        accounts: { [USER]: { keys: [key.publicLine] } },
        directory: join(directory, 'manta'),
    });
    const server = await ServerProcess.start({
        config: {
            mode: 'public',
            authType: 'none',
            storageTypes: ['manta', 'local'],
            manta: { url: manta.url, user: USER, key: key.file, keyId: key.fingerprint },
        },
    });
    try {
        const path = join(directory, 'big.bin');
        await makeFile(path, mebibytes);
        const client = new HttpClient(server.port);
        await measure({ manta, server, client, key }, path, mebibytes);
    } finally {
        await server.stop();
        await manta.stop();
        await rm(directory, { recursive: true, force: true });
    }
}
