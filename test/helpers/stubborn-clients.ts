import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { truncateSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { Agent, request as undiciRequest } from 'undici';

const LIMIT_MS = 20_000;
const CHUNK = Buffer.alloc(65_536, 'never read ');

/** Where a request goes. */
export interface Target {
    readonly port: number;
    readonly method: string;
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    /** PEM text of the certificate to trust; absent: no TLS. */
    readonly ca?: string;
    /** The newest version of TLS to speak. */
    readonly maxVersion?: 'TLSv1.2';
    /** What is said before anything else, e.g. in the PROXY protocol. */
    readonly preface?: string;
}

/** What a client got to read. */
export interface Heard {
    readonly status: number;
    readonly body: string;
    /** Lower case names. */
    readonly headers: Readonly<Record<string, unknown>>;
}

/** Sends a body of so many bytes, however early the answer comes. @throws unless it reads a whole answer */
export type StubbornClient = (target: Target, bytes: number) => Promise<Heard>;

/** As many bytes as wanted, which nobody has to keep. */
function* bytesOf(size: number): Generator<Buffer> {
    for (let left = size; left > 0; left -= CHUNK.length) {
        yield left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
    }
}

function origin({ ca, port }: Target): string {
    return `${ca === undefined ? 'http' : 'https'}://localhost:${port}`;
}

/** Node's own client, on a connection of its own that it would keep. */
export const nodeClient: StubbornClient = async (target, bytes) => {
    const { method, path, ca, port, headers } = target;
    const options = { host: '127.0.0.1', port, method, path, agent: false as const };
    const all = { ...options, headers: { ...headers, 'content-length': bytes, connection: 'keep-alive' } };
    const outgoing =
        ca === undefined ? httpRequest(all) : httpsRequest({ ...all, ca, servername: 'localhost' });
    outgoing.setTimeout(LIMIT_MS, () => outgoing.destroy(new Error('no answer')));
    const heard = new Promise<Heard>((resolve, reject) => {
        outgoing.on('error', reject).once('response', (message: IncomingMessage) => {
            text(message).then(
                (body) => resolve({ status: message.statusCode ?? 0, body, headers: message.headers }),
                reject,
            );
        });
    });
    Readable.from(bytesOf(bytes)).pipe(outgoing);
    return heard.finally(() => outgoing.destroy());
};

/** undici, as tools of this project use it. */
export const undiciClient: StubbornClient = async (target, bytes) => {
    const { ca, headers, method, path } = target;
    const agent = new Agent({ connect: { ...(ca === undefined ? {} : { ca }) }, bodyTimeout: LIMIT_MS });
    try {
        const answer = await undiciRequest(`${origin(target)}${path}`, {
            method: method as 'PUT',
            headers: { ...headers, 'content-length': String(bytes) },
            body: Readable.from(bytesOf(bytes)),
            dispatcher: agent,
        });
        return { status: answer.statusCode, body: await answer.body.text(), headers: answer.headers };
    } finally {
        await agent.destroy();
    }
};

/** The answer in what a socket has received: complete, or there is none. */
export function heardIn(received: string): Heard {
    const [head = '', body = ''] = received.split(/\r\n\r\n([^]*)/);
    const status = Number(/^HTTP\/[12.]+ (\d{3}) /.exec(head)?.[1] ?? 0);
    const lines = head
        .split('\r\n')
        .slice(1)
        .map((line) => /^([^:]+): (.*)$/.exec(line) ?? []);
    const headers = Object.fromEntries(lines.map(([, name = '', value]) => [name.toLowerCase(), value]));
    if (status === 0 || Buffer.byteLength(body) !== Number(headers['content-length'])) {
        throw new Error(`no whole answer: ${received}`);
    }
    return { status, body, headers };
}

/** A connection on which nothing is read before somebody wants to. */
export async function openSocket({ port, ca, maxVersion, preface }: Target): Promise<Socket> {
    const place = { port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true };
    const version = maxVersion === undefined ? {} : { maxVersion };
    const socket =
        ca === undefined ? connect(place) : connectTls({ ...place, ...version, ca, servername: 'localhost' });
    await once(socket, ca === undefined ? 'connect' : 'secureConnect');
    socket.pause();
    if (preface !== undefined) socket.write(preface);
    return socket;
}

/** The head of a request. */
export function headOf(
    { method, path, headers = {} }: Target,
    more: Readonly<Record<string, string>>,
): string {
    const all = Object.entries({ Host: 'localhost', ...headers, ...more });
    return `${method} ${path} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

/** Sends what is no end of a body, as fast as it is taken, until the connection is over. */
export function sendForEver(socket: Socket): void {
    const block = Buffer.alloc(1_000_000, 'again and again ');
    const pump = (): void => {
        socket.write(block, (error) => {
            if (error == null) setImmediate(pump);
        });
    };
    socket.on('error', () => undefined);
    pump();
}

/** Reads what has come, and what still comes until the server closes its side. Then the connection is over. */
export async function answerOn(socket: Socket): Promise<Heard> {
    try {
        return heardIn(await text(socket));
    } finally {
        socket.destroy();
    }
}

/** Sends everything before it looks whether there is an answer. */
export const blindClient: StubbornClient = async (target, bytes) => {
    const socket = await openSocket(target);
    const failed = once(socket, 'error').then(([error]) => Promise.reject(error as Error));
    // Whoever waits for it is told.
    failed.catch(() => undefined);
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error('no answer')));
    socket.write(headOf(target, { 'Content-Length': String(bytes), Connection: 'close' }));
    for (const chunk of bytesOf(bytes)) {
        if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), failed]);
    }
    return answerOn(socket);
};

/** The program curl, which sends a file. */
export function curlClient(directory: string): StubbornClient {
    return async (target, bytes) => {
        const { ca, method, path, headers } = target;
        const [file, pem] = [join(directory, 'body'), join(directory, 'ca.pem')];
        writeFileSync(file, '');
        truncateSync(file, bytes);
        if (ca !== undefined) writeFileSync(pem, ca);
        const names = Object.entries({ Expect: '', ...headers }).map(([name, value]) => `${name}: ${value}`);
        const output = await new Promise<string>((resolve, reject) => {
            execFile(
                'curl',
                [
                    ...['-q', '-sS', '-i', '--max-time', String(LIMIT_MS / 1000), '-X', method, '-T', file],
                    ...(ca === undefined ? [] : ['--cacert', pem]),
                    ...names.flatMap((header) => ['-H', header]),
                    `${origin(target)}${path}`,
                ],
                { encoding: 'latin1' },
                (error, stdout, stderr) =>
                    error === null
                        ? resolve(stdout)
                        : reject(new Error(`${stderr}${stdout}`, { cause: error })),
            );
        });
        return heardIn(output);
    };
}
