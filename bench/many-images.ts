import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HttpClient } from '../test/helpers/http-client.js';
import { ServerProcess, temporaryDirectory } from '../test/helpers/server-process.js';
import { cpuMs, median, memoryMiB, percentile, report, timeEach } from './measure.js';

const REQUESTS = 200;

function uuidOf(n: number): string {
    return `${n.toString(16).padStart(8, '0')}-0000-4000-8000-${(n * 7919).toString(16).padStart(12, '0')}`;
}

/** A record of about the size of a real one; every field that has an index differs in its own way. */
function record(n: number): Record<string, unknown> {
    const published = new Date(Date.UTC(2013, 0, 1) + n * 3_600_000).toISOString();
    return {
        v: 2,
        owner: uuidOf(900_000 + (n % 500)),
        name: `image-${n % 1000}`,
        version: `${Math.floor(n / 1000)}.0.0`,
        type: n % 3 === 0 ? 'lx-dataset' : 'zone-dataset',
        os: n % 3 === 0 ? 'linux' : 'smartos',
        public: true,
        disabled: false,
        activated: true,
        state: 'active',
        acl: [],
        description:
            'An image as it might be published: with a description of a sentence or two, and some tags.',
        homepage: 'https://docs.example.com/images/',
        requirements: {
            min_platform: { '7.0': '20150101T000000Z' },
            networks: [{ name: 'net0', description: 'public' }],
        },
        tags: [`role=role${n % 800}`, 'kernel_version=4.3.0'],
        tagsObj: { role: `role${n % 800}`, kernel_version: '4.3.0' },
        uuid: uuidOf(n),
        published_at: published,
        files: [
            {
                sha1: n.toString(16).padStart(40, '0'),
                size: 100_000 + n,
                contentMD5: 'jH3ZIq1HSU/ALDiOEsAOrA==',
                mtime: published,
                stor: 'local',
                compression: 'gzip',
            },
        ],
    };
}

async function measure(client: HttpClient, pid: number, what: string, path: string): Promise<void> {
    for (let warm = 0; warm < 20; warm += 1) await client.get(path);
    const before = cpuMs(pid);
    let count = 0;
    const times = await timeEach(REQUESTS, async () => {
        const answer = await client.get(path);
        count = path.startsWith('/images?') ? answer.list.length : 1;
    });
    const cpu = (cpuMs(pid) - before) / REQUESTS;
    report(
        `${what} (${count} found)`,
        `median ${median(times).toFixed(2)} ms, p99 ${percentile(times, 0.99).toFixed(2)} ms, server CPU ${cpu.toFixed(2)} ms`,
    );
}

/** 100,000 images: start-up, memory, and what reading costs (`make bench BENCH=many-images`). */
export async function benchManyImages(total = Number(process.env['IMAGES'] ?? 100_000)): Promise<void> {
    const baseDir = temporaryDirectory();
    try {
        mkdirSync(join(baseDir, 'manifests'), { recursive: true });
        for (let n = 0; n < total; n += 1) {
            const raw = record(n);
            writeFileSync(
                join(baseDir, 'manifests', `${String(raw['uuid'])}.raw`),
                JSON.stringify(raw, null, 2),
            );
        }
        const start = Date.now();
        const server = await ServerProcess.start({ baseDir, config: { mode: 'public', authType: 'none' } });
        report(`${total} images: start until it listens`, `${Date.now() - start} ms`);
        report('memory after the start', `${memoryMiB(server.pid, 'VmRSS').toFixed(0)} MiB`);
        const client = new HttpClient(server.port);
        await measure(client, server.pid, 'list, limit=100', '/images?limit=100');
        await measure(client, server.pid, 'list, newest 100', '/images?limit=100&sort=published_at.desc');
        await measure(client, server.pid, 'list by name', '/images?name=image-77');
        await measure(
            client,
            server.pid,
            'list by part of a name, limit=100',
            '/images?name=~age-77&limit=100',
        );
        await measure(client, server.pid, 'list by owner', `/images?owner=${uuidOf(900_007)}`);
        await measure(client, server.pid, 'list by tag', '/images?tag.role=role5');
        await measure(client, server.pid, 'get', `/images/${uuidOf(4711)}`);
        await measure(client, server.pid, 'ping', '/ping');
        report('memory after the requests', `${memoryMiB(server.pid, 'VmRSS').toFixed(0)} MiB`);
        await server.stop();
    } finally {
        rmSync(baseDir, { recursive: true, force: true });
    }
}
