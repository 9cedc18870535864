// The PROXY protocol on the plain listener (operations 4.8), without a real front server.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { systemClock } from '#lib/base/clock.js';
import { loadConfig } from '#lib/base/config.js';
import type { Config } from '#lib/base/config-types.js';
import { waitForPong } from '#lib/cli/imgapiadm/ask-ping.js';
import { addressOfConfig, connectToServer } from '#lib/cli/imgapiadm/server-access.js';
import { ProxyListener } from '#lib/http/proxy-listener.js';
import { rawExchange } from '../helpers/http-client.js';
import { manifest, sha1Hex } from '../helpers/images.js';
import { proxyV2, sslField } from '../helpers/proxy-headers.js';
import { recordingLog } from '../helpers/recording-log.js';
import { LIMIT_MS, ServerProcess, runToEnd, type LogRecord } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

async function start(t: Test, config: object = {}): Promise<ServerProcess> {
    const server = await ServerProcess.start({
        config: { authType: 'none', proxyProtocol: true, ...config },
    });
    t.teardown(() => server.stop());
    return server;
}

/** For all but what needs another configuration, or ends it. */
const server = await start(t);
const { port } = server;

function get(path: string, ...headers: string[]): string {
    return `GET ${path} HTTP/1.1\r\n${['Host: x', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`;
}

const V1 = 'PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n';

async function audited(target: string): Promise<LogRecord> {
    return server.waitForLog(
        ({ audit, req }) => audit === true && (req as { readonly url?: string }).url === target,
    );
}

void t.test('whom a front server names is the client in the audit record', async (t) => {
    const v2 = (more: object): Buffer => proxyV2({ from: ['2001:db8::9', 4711], ...more });
    for (const [name, header, facts] of [
        ['v1', V1, { clientAddress: '192.0.2.7', secure: false }],
        ['v2', v2({}), { clientAddress: '2001:db8::9', secure: false }],
        ['tls', v2({ fields: [[2, Buffer.from('host')], sslField(true)] }), { secure: true }],
        ['local', proxyV2({ command: 'LOCAL' }), { clientAddress: undefined, secure: false }],
        ['unknown', 'PROXY UNKNOWN\r\n', { clientAddress: undefined, secure: false }],
    ] as const) {
        const target = `/images?name=${name}`;
        const request = get(target, ...(name === 'local' ? [] : ['X-Forwarded-Proto: http']));
        const answer = await rawExchange(port, Buffer.concat([Buffer.from(header), Buffer.from(request)]));
        t.match(answer, /^HTTP\/1\.1 200 [^]*\r\n\r\n\[\]$/, name);
        const record = await audited(target);
        t.match(record, { remoteAddress: '127.0.0.1', secure: facts.secure }, name);
        t.equal(record['remotePort'] !== 4711, true, 'remotePort is of the connection');
        if ('clientAddress' in facts) t.equal(record['clientAddress'], facts.clientAddress, name);
    }
    const spoofed = get('/images?name=spoof', 'X-Forwarded-For: 6.6.6.6', 'X-Forwarded-Proto: https');
    await rawExchange(port, V1 + spoofed);
    t.match(await audited('/images?name=spoof'), { clientAddress: '192.0.2.7', secure: false });
});

/** Writes bytes one at a time, each a packet of its own as far as the system lets. */
async function trickle(socket: Socket, bytes: string): Promise<void> {
    for (const byte of bytes) {
        await new Promise<void>((resolve) => socket.write(byte, () => setImmediate(resolve)));
    }
}

async function open(port: number): Promise<Socket> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
}

void t.test('a header may come in pieces, and with all that follows it', async (t) => {
    const socket = await open(port);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await trickle(socket, V1 + get('/ping').slice(0, 10));
    socket.write(get('/ping').slice(10));
    await once(socket, 'close');
    t.match(text, /^HTTP\/1\.1 200 /);

    const pipelined = await rawExchange(
        port,
        V1 + get('/ping').replace('Connection: close\r\n', '') + get('/images'),
    );
    t.equal(pipelined.match(/HTTP\/1\.1 200 /g)?.length, 2, 'two requests at once');
});

/** A request on a connection that begins with a header, which goes out together with it. */
async function exchange(
    [method, path]: readonly [string, string],
    type: string,
    body: Buffer,
): Promise<IncomingMessage> {
    const outgoing = request({
        method,
        path,
        headers: { 'content-type': type, 'content-length': body.length },
        createConnection: () => {
            const socket = connect(port, '127.0.0.1');
            socket.write(V1);
            return socket;
        },
    });
    outgoing.end(body);
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    return answer;
}

void t.test('transfers behind a header', async (t) => {
    const file = Buffer.alloc(5_000_000, 'behind a header ');
    const json = Buffer.from(JSON.stringify(manifest()));
    const created = await exchange(['POST', '/images'], 'application/json', json);
    const { uuid } = JSON.parse(await text(created)) as { uuid: string };
    const path = `/images/${uuid}/file`;
    const stored = await exchange(['PUT', `${path}?compression=none`], 'text/plain', file);
    t.match(JSON.parse(await text(stored)), { files: [{ size: file.length, sha1: sha1Hex(file) }] });
    const read = await exchange(['GET', path], 'text/plain', Buffer.alloc(0));
    t.ok((await buffer(read)).equals(file));
});

void t.test('without a header there is no answer, nor for those who are not trusted', async (t) => {
    const refused = async (bytes: string, on = port): Promise<string> =>
        rawExchange(on, bytes).catch((error: unknown) => String((error as NodeJS.ErrnoException).code));
    t.match(await refused(get('/ping')), /^(|ECONNRESET|EPIPE)$/);
    t.match(await server.waitForLog(({ msg }) => msg.endsWith('does not begin with a PROXY header')), {
        level: 40,
        component: 'proxy',
        remoteAddress: '127.0.0.1',
    });
    t.match(await refused('PROXY TCP4 192.0.2.7\r\n'), /^(|ECONNRESET|EPIPE)$/);
    t.match(await rawExchange(port, V1 + get('/ping')), /^HTTP\/1\.1 200 /);

    const closed = await start(t, { trustedProxies: ['10.0.0.0/8'] });
    t.match(await refused(V1 + get('/ping'), closed.port), /^(|ECONNRESET|EPIPE)$/);
    await closed.waitForLog(({ msg }) => msg === 'connection refused: its peer is not in trustedProxies');
    closed.writeConfig({ trustedProxies: ['127.0.0.0/8'] });
    closed.signal('SIGHUP');
    await closed.waitForLog(({ msg }) => msg === 'configuration reloaded');
    t.match(await rawExchange(closed.port, V1 + get('/ping')), /^HTTP\/1\.1 200 /, 'live');
});

void t.test('who says nothing, or too little, does not keep a place or the server', async (t) => {
    const { log, records } = recordingLog();
    const listener = new ProxyListener({
        config: { current: { trustedProxies: ['127.0.0.1'] } as unknown as Config },
        log,
        clock: systemClock,
        headerMs: 50,
        onConnection: () => t.fail('there is no header'),
    });
    const taken = await listener.listen(0, '127.0.0.1');
    const silent = await open(taken);
    await once(silent, 'close');
    t.match(records, [{ msg: 'connection refused: no PROXY header came in time' }]);
    const short = await open(taken);
    short.end('PROXY TCP4');
    await once(short.resume(), 'close');
    listener.stopAccepting();
    t.equal(records.length, 1, 'who goes by himself is no news');

    const ending = await start(t);
    const [waiting, idle] = [await open(ending.port), await open(ending.port)];
    waiting.write('PROXY ');
    idle.write(V1);
    const kept = await open(ending.port);
    kept.write(V1 + get('/ping').replace('Connection: close\r\n', ''));
    await once(kept, 'data');
    t.equal((await ending.stop()).code, 0);
    [waiting, idle, kept].forEach((socket) => socket.destroy());
});

void t.test('programs beside the server ask it as its front server does', async (t) => {
    const address = addressOfConfig(loadConfig(server.configPath));
    t.equal(await waitForPong(address, 1), true);
    t.equal(await waitForPong({ url: address.url }, 1), false, 'without a header it does not answer');
    const connection = await connectToServer({ ...address, insecure: false }, 1);
    t.ok(await connection.client.state(AbortSignal.timeout(LIMIT_MS)));
    await connection.close();
});

void t.test('the place is taken', async (t) => {
    const file = join(t.testdir({}), 'imgapi.json');
    writeFileSync(file, JSON.stringify({ port, authType: 'none', proxyProtocol: true }));
    const { code, stdout } = await runToEnd(['-f', file], t.testdirName);
    t.equal(code, 2);
    t.match(stdout, /EADDRINUSE/);
});
