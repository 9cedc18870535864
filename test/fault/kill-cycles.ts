import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HttpClient } from '../helpers/http-client.js';
import { eventually, ServerProcess } from '../helpers/server-process.js';
import { ImageUnderCrashes } from './crash-model.js';

/** What a run of kill cycles found. */
export interface KillReport {
    readonly cycles: number;
    readonly acknowledged: number;
    readonly problems: readonly string[];
}

const WRITERS = 8;
const DAY_MS = 24 * 3600 * 1000;

function filesBelow(directory: string): string[] {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
}

/** Writes with all clients at once until the server is killed; resolves to the number of answers. */
async function writeUntilKilled(
    server: ServerProcess,
    images: readonly ImageUnderCrashes[],
    problems: string[],
): Promise<number> {
    let acknowledged = 0;
    let killed = false;
    const writers = images.map(async (image) => {
        const client = new HttpClient(server.port);
        while (!killed) {
            try {
                await image.write(client);
                acknowledged += 1;
            } catch (error) {
                if (!killed && server.alive && !/ECONN|socket hang up|EPIPE/.test(String(error)))
                    problems.push(String(error));
                return;
            }
        }
    });
    await delay(randomInt(5, 400));
    killed = true;
    await server.kill();
    await Promise.all(writers);
    return acknowledged;
}

function unparsableRecords(baseDir: string): string[] {
    const directory = join(baseDir, 'manifests');
    return readdirSync(directory)
        .filter((name) => name.endsWith('.raw'))
        .flatMap((name) => {
            try {
                JSON.parse(readFileSync(join(directory, name), 'utf8'));
                return [];
            } catch (error) {
                return [`${name}: ${String(error)}`];
            }
        });
}

/** Files that a sweep should have left nothing of, once everything unfinished looks a day old. */
async function orphansAfterSweep(
    baseDir: string,
    images: readonly ImageUnderCrashes[],
    start: () => Promise<ServerProcess>,
): Promise<string[]> {
    const old = new Date(Date.now() - 2 * DAY_MS);
    for (const path of [...filesBelow(join(baseDir, 'images')), ...filesBelow(join(baseDir, 'run'))]) {
        if (!path.endsWith('.sock')) utimesSync(path, old, old);
    }
    const server = await start();
    const expected = new Set(
        images.flatMap((image) =>
            image.expectedFiles.map((name) =>
                join(baseDir, 'images', image.uuid.slice(0, 3), image.uuid, name),
            ),
        ),
    );
    const orphans = () => [
        ...filesBelow(join(baseDir, 'images')).filter((path) => !expected.has(path)),
        ...filesBelow(join(baseDir, 'manifests')).filter((path) => !path.endsWith('.raw')),
        ...filesBelow(join(baseDir, 'run', 'deletes')),
    ];
    try {
        await eventually('the sweep', 15_000, () => orphans().length === 0);
        return [];
    } catch {
        return orphans().map((path) => `left after the sweep: ${path}`);
    } finally {
        await server.stop();
    }
}

/**
 * Starts a server, writes to it from several clients, kills it in the middle with SIGKILL, starts it
 * again on the same directory and compares; `cycles` times.
 */
export async function runKillCycles(
    baseDir: string,
    cycles: number,
    progress: (done: number) => void,
): Promise<KillReport> {
    const images = Array.from({ length: WRITERS }, () => new ImageUnderCrashes());
    const problems: string[] = [];
    let acknowledged = 0;
    const start = () =>
        ServerProcess.start({ baseDir, config: { mode: 'public', authType: 'none', logLevel: 'info' } });
    for (let cycle = 0; cycle < cycles && problems.length === 0; cycle += 1) {
        const server = await start();
        const client = new HttpClient(server.port);
        for (const image of images) problems.push(...(await image.verify(client)));
        problems.push(...unparsableRecords(baseDir));
        acknowledged += await writeUntilKilled(server, images, problems);
        progress(cycle + 1);
    }
    const last = await start();
    const client = new HttpClient(last.port);
    for (const image of images) problems.push(...(await image.verify(client)));
    await last.stop();
    problems.push(...(await orphansAfterSweep(baseDir, images, start)));
    return { cycles, acknowledged, problems };
}
