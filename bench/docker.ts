import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DockerRegistry, noDockerRegistry } from '../test/helpers/docker-registry.js';
import { OciLayout } from '../test/helpers/oci-layout.js';
import { ServerProcess, temporaryDirectory } from '../test/helpers/server-process.js';
import { dockerName, noSkopeo, skopeoCopy } from '../test/helpers/skopeo.js';
import { cpuMs, median, memoryMiB, report, seconds } from './measure.js';

const MB = 1_000_000;
const LAYERS = 20;
const REPOSITORY = 'bench';
const run = promisify(execFile);

/** What one round took, seconds. */
interface Round {
    readonly skopeo: number;
    readonly import: number;
    /** CPU time of the server. */
    readonly cpu: number;
}

/** Makes an image nobody has, and puts it into the registry. */
async function publish(registry: DockerRegistry, tag: string, megabytes: number): Promise<void> {
    const directory = temporaryDirectory();
    try {
        const layout = new OciLayout(directory);
        const size = (megabytes * MB) / LAYERS;
        const layers = Array.from({ length: LAYERS }, (_, at) => ({ seed: `${tag}-${at}`, size }));
        await layout.addImage(tag, { layers });
        await skopeoCopy(layout.name(tag), dockerName(registry.host, REPOSITORY, tag));
    } finally {
        await rm(directory, { recursive: true, force: true });
    }
}

async function copyBySkopeo(registry: DockerRegistry, tag: string): Promise<number> {
    const directory = temporaryDirectory();
    try {
        const name = dockerName(registry.host, REPOSITORY, tag);
        return await seconds(() => skopeoCopy(name, `dir:${join(directory, 'image')}`));
    } finally {
        await rm(directory, { recursive: true, force: true });
    }
}

async function importByServer(server: ServerProcess, registry: DockerRegistry, tag: string): Promise<number> {
    const query = new URLSearchParams({
        action: 'import-docker-image',
        repo: `${registry.host}/${REPOSITORY}`,
        tag,
    });
    let lines = '';
    const took = await seconds(async () => {
        const args = ['-sS', '-N', '-X', 'POST', `${server.url}/images?${query.toString()}`];
        ({ stdout: lines } = await run('curl', args, { maxBuffer: 64 * MB }));
    });
    if (!lines.includes('Status: Downloaded newer image')) {
        throw new Error(`the import failed: ${lines.trim().split('\n').at(-1) ?? ''}`);
    }
    return took;
}

async function oneRound(
    server: ServerProcess,
    registry: DockerRegistry,
    tag: string,
    megabytes: number,
    serverFirst: boolean,
): Promise<Round> {
    await publish(registry, tag, megabytes);
    const cpu = { before: 0, after: 0 };
    const ours = async (): Promise<number> => {
        await run('sync');
        cpu.before = cpuMs(server.pid);
        const took = await importByServer(server, registry, tag);
        cpu.after = cpuMs(server.pid);
        return took;
    };
    const first = serverFirst ? await ours() : undefined;
    await run('sync');
    const skopeo = await copyBySkopeo(registry, tag);
    return { skopeo, import: first ?? (await ours()), cpu: (cpu.after - cpu.before) / 1000 };
}

/** Imports of Docker images from Debian's registry against skopeo (`make bench BENCH=docker`). */
export async function benchDocker(
    megabytes = Number(process.env['MB'] ?? 500),
    rounds = Number(process.env['ROUNDS'] ?? 5),
): Promise<void> {
    const missing = noDockerRegistry || noSkopeo;
    if (missing !== false) {
        process.stdout.write(`skipped: ${missing}\n`);
        return;
    }
    const cleanUps: (() => unknown)[] = [];
    const teardown = (cleanUp: () => unknown): number => cleanUps.push(cleanUp);
    try {
        const registry = await DockerRegistry.start({ teardown });
        const server = await ServerProcess.start({ config: { mode: 'public', authType: 'none' } });
        cleanUps.push(() => server.stop());
        const took: Round[] = [];
        for (let round = 0; round < rounds; round += 1) {
            took.push(await oneRound(server, registry, `round${round}`, megabytes, round % 2 === 1));
        }
        const rate = (one: number): string => `${(megabytes / one).toFixed(0)} MB/s`;
        const skopeo = median(took.map((one) => one.skopeo));
        const ours = median(took.map((one) => one.import));
        const image = `${LAYERS} layers, ${megabytes} MB`;
        report(`skopeo copy to a directory, ${image}`, rate(skopeo));
        report(`import, ${image}`, `${rate(ours)}, CPU ${median(took.map(({ cpu }) => cpu)).toFixed(1)} s`);
        report('import to skopeo, medians', (skopeo / ours).toFixed(2));
        report('  round by round', took.map((one) => (one.skopeo / one.import).toFixed(2)).join(' '));
        report('most memory of the server ever', `${memoryMiB(server.pid, 'VmHWM').toFixed(0)} MiB`);
    } finally {
        for (const cleanUp of cleanUps.reverse()) {
            await cleanUp();
        }
    }
}
