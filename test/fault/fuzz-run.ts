import { connect } from 'node:net';
import { readdirSync } from 'node:fs';
import type { Test } from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { eventually, type ServerProcess } from '../helpers/server-process.js';

const CONCURRENCY = 48;
/** A mutated request may never be complete; then silence is a right answer. */
const SILENCE_MS = 150;
/** Silence after which a complete request counts as not answered. */
const LONG_SILENCE_MS = 20_000;
/** What one connection after another may leave open for a moment. */
const SPARE_DESCRIPTORS = 5;
const MAX_PROBLEMS = 5;

/** Bytes to send. */
export interface FuzzedRequest {
    readonly bytes: Buffer;
    /** Whether they are a whole request, which must be answered. */
    readonly isComplete: boolean;
}

/** Sends bytes and gives what comes back until the server closes or falls silent. */
function exchange(port: number, { bytes, isComplete }: FuzzedRequest): Promise<string> {
    return new Promise((resolve, reject) => {
        const parts: Buffer[] = [];
        const socket = connect(port, '127.0.0.1');
        socket.setTimeout(isComplete ? LONG_SILENCE_MS : SILENCE_MS, () => socket.destroy());
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
function problemOf(answer: string, isComplete: boolean): string | undefined {
    if (answer === '') return isComplete ? 'no answer' : undefined;
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1];
    if (status === undefined) return 'no status line';
    const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
    if (status.startsWith('5') && !(status === '501' && body.includes('"code": "NotAvailable"'))) {
        return `status ${status}, ${body.slice(0, 300)}`;
    }
    if (status >= '400' && body.startsWith('{')) {
        const first = /^\{[\s\S]*?\n\}/.exec(body)?.[0] ?? body;
        if (!first.includes('"code": "') || !first.includes('"message": "'))
            return `body ${first.slice(0, 100)}`;
    }
    return undefined;
}

/**
 * Sends requests to a server, many at a time, and expects a proper answer to each, or none, and that
 * they leave the server well. Resolves to the number of answers by their first digit.
 */
export async function fuzz(
    t: Test,
    server: ServerProcess,
    requests: readonly FuzzedRequest[],
): Promise<Readonly<Record<string, number>>> {
    const descriptors = () => readdirSync(`/proc/${server.pid}/fd`).length;
    const before = descriptors();
    const problems: string[] = [];
    const counts: Record<string, number> = {};
    let next = 0;
    const worker = async () => {
        while (problems.length < MAX_PROBLEMS) {
            const request = requests[next++];
            if (request === undefined) return;
            const { bytes, isComplete } = request;
            const answer = await exchange(server.port, request);
            const kind = answer.charAt('HTTP/1.1 '.length);
            counts[kind] = (counts[kind] ?? 0) + 1;
            const problem = problemOf(answer, isComplete);
            if (problem !== undefined)
                problems.push(`${problem}: ${JSON.stringify(bytes.toString('latin1').slice(0, 600))}`);
        }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));

    t.same(problems, []);
    t.ok(server.alive, 'the process is alive');
    t.equal((await new HttpClient(server.port).get('/ping')).status, 200);
    await eventually(
        'file descriptors are given back',
        20_000,
        () => descriptors() <= before + SPARE_DESCRIPTORS,
    );
    t.pass('no file descriptor leaked');
    t.same(
        server.log.filter((record) => record.level >= 60),
        [],
        'nothing fatal was logged',
    );
    return counts;
}
