import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import * as fc from 'fast-check';
import t from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { gzipFile, NOBODY } from '../helpers/images.js';
import { eventually, ServerProcess } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';
import { fuzzedRequests } from './fuzz-requests.js';

const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 6000);
const SEED = Number(process.env['FUZZ_SEED'] ?? 20240501);
const CONCURRENCY = 48;
/** A mutated request may never be complete; then silence is a right answer. */
const SILENCE_MS = 150;

/** Sends bytes and gives what comes back until the server closes or falls silent. */
function exchange(port: number, bytes: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
        const parts: Buffer[] = [];
        const socket = connect(port, '127.0.0.1');
        socket.setTimeout(SILENCE_MS, () => socket.destroy());
        socket.on('data', (part) => parts.push(part));
        socket.on('error', (error: NodeJS.ErrnoException) => {
            // A reset after an early answer is the server closing on unread bytes.
            if (error.code === 'ECONNREFUSED') reject(error);
        });
        socket.on('close', () => resolve(Buffer.concat(parts).toString('latin1')));
        socket.write(bytes);
    });
}

/** What is wrong with an answer; 501 `NotAvailable` is the only defined 5xx such requests can meet. */
function problemOf(answer: string): string | undefined {
    if (answer === '') return undefined;
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1];
    if (status === undefined) return 'no status line';
    const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
    if (status.startsWith('5') && !(status === '501' && body.includes('"code": "NotAvailable"'))) {
        return `status ${status}`;
    }
    if (status >= '400' && body.startsWith('{')) {
        const first = /^\{[\s\S]*?\n\}/.exec(body)?.[0] ?? body;
        if (!first.includes('"code": "') || !first.includes('"message": "'))
            return `body ${first.slice(0, 100)}`;
    }
    return undefined;
}

void t.test(
    `${REQUESTS} fuzzed requests (seed ${SEED}) leave the server well`,
    { timeout: 7_200_000 },
    async (t) => {
        const key = createKey('fuzzer');
        const server = await ServerProcess.start({
            config: {
                mode: 'public',
                authType: 'signature',
                authKeys: { fuzzer: [key.publicLine] },
                logLevel: 'info',
            },
        });
        t.teardown(() => server.kill());
        const client = new HttpClient(server.port, key);
        const created = await client.post('/images', {
            owner: NOBODY,
            name: 'f',
            version: '1',
            type: 'other',
            os: 'other',
            public: true,
        });
        t.equal(created.status, 200);
        const uuid = String(created.document['uuid']);
        await client.put(`/images/${uuid}/file?compression=gzip`, gzipFile('x'));

        const descriptors = () => readdirSync(`/proc/${server.pid}/fd`).length;
        const before = descriptors();
        const requests = fc.sample(fuzzedRequests(uuid, key), { numRuns: REQUESTS, seed: SEED });
        const problems: string[] = [];
        let next = 0;
        const worker = async () => {
            while (next < requests.length && problems.length < 5) {
                const bytes = requests[next++]!;
                const problem = problemOf(await exchange(server.port, bytes));
                if (problem !== undefined)
                    problems.push(`${problem}: ${JSON.stringify(bytes.toString('latin1').slice(0, 600))}`);
            }
        };
        await Promise.all(Array.from({ length: CONCURRENCY }, worker));

        t.same(problems, []);
        t.ok(server.alive, 'the process is alive');
        t.equal((await client.get('/ping')).status, 200);
        await eventually('file descriptors are given back', 20_000, () => descriptors() <= before + 5);
        t.pass('no file descriptor leaked');
        t.same(
            server.log.filter((record) => record.level >= 60),
            [],
            'nothing fatal was logged',
        );
    },
);
