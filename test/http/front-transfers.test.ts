// Transfers through Debian's front servers with the sample configurations (operations 4.5, 4.6, 4.8).
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { frontClient, type FrontClient, type HttpVersion } from '../helpers/front-client.js';
import { FrontServer, peakMemory, writePair } from '../helpers/front-server.js';
import { manifest } from '../helpers/images.js';
import { missingPrograms } from '../helpers/programs.js';
import { selfSigned } from '../helpers/self-signed.js';
import { freePort, LIMIT_MS, ServerProcess, type LogRecord } from '../helpers/server-process.js';

const MiB = 1_048_576;
/** Size of the files, in MiB; 1024 for the full size. */
const SIZE = Number(process.env['FRONT_MB'] ?? 64);
/** From where what a process may use tells of bodies that it keeps. */
const TELLING_SIZE = 512;
const MOST_MEMORY = 300 * MiB;

t.setTimeout(LIMIT_MS + SIZE * 1000);

const BLOCK = randomBytes(MiB);

/** A file that is nowhere kept as a whole: one block again and again, each with its number. */
function* blocks(): Generator<Buffer> {
    for (let number = 0; number < SIZE; number += 1) {
        const block = Buffer.from(BLOCK);
        block.writeUInt32BE(number);
        yield block;
    }
}

function sha1Of(parts: Iterable<Buffer>): string {
    const hash = createHash('sha1');
    for (const part of parts) hash.update(part);
    return hash.digest('hex');
}

const SHA1 = sha1Of(blocks());

async function received(body: Readable): Promise<{ readonly size: number; readonly sha1: string }> {
    const hash = createHash('sha1');
    let size = 0;
    for await (const part of body) {
        size += (part as Buffer).length;
        hash.update(part as Buffer);
    }
    return { size, sha1: hash.digest('hex') };
}

interface Chain {
    readonly port: number;
    readonly server: ServerProcess;
    readonly fronts: readonly FrontServer[];
}

const PAIR = selfSigned('localhost');
const PEM = join(t.testdir({}), 'cert.pem');
writePair(PEM, PAIR);

async function startServer(config: object = {}): Promise<ServerProcess> {
    const server = await ServerProcess.start({ config: { authType: 'none', ...config } });
    t.teardown(() => server.stop());
    return server;
}

function keep(front: FrontServer): FrontServer {
    t.teardown(() => front.stop());
    return front;
}

/** HAProxy with TLS, and hitch in front of the same HAProxy. */
async function startChains(): Promise<Readonly<Record<'haproxy' | 'hitch', Chain>>> {
    const server = await startServer();
    const [httpsPort, proxyPort, statsPort] = [await freePort(), await freePort(), await freePort()];
    const ports = { httpsPort, proxyPort, statsPort, serverPorts: [server.port] };
    const haproxy = keep(await FrontServer.haproxy({ pem: PEM, ...ports }));
    const hitch = keep(await FrontServer.hitch({ pem: PEM, proxyPort }));
    return {
        haproxy: { port: httpsPort, server, fronts: [haproxy] },
        hitch: { port: hitch.port, server, fronts: [haproxy, hitch] },
    };
}

/** hitch, and our server's own listener for the PROXY protocol behind it. */
async function startDirect(): Promise<Chain> {
    const server = await startServer({ proxyProtocol: true });
    const hitch = keep(await FrontServer.hitch({ pem: PEM, proxyPort: server.port, h2: false }));
    return { port: hitch.port, server, fronts: [hitch] };
}

/** An address of this machine that is in nobody's `trustedProxies`. */
const CLIENT = '127.0.0.9';
const SPOOFED = { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-proto': 'http' };

function clientOf({ port }: Chain, version: HttpVersion): FrontClient {
    const client = frontClient(version, { port, ca: PAIR.certificate, localAddress: CLIENT });
    t.teardown(() => client.close());
    return client;
}

function auditOf({ server }: Chain, requestId: string): Promise<LogRecord> {
    return server.waitForLog((record) => record['audit'] === true && record['req_id'] === requestId);
}

/** Everything that goes through a chain, with one version of HTTP. */
async function transfers(t: Test, chain: Chain, version: HttpVersion): Promise<void> {
    const id = randomUUID();
    const client = clientOf(chain, version);
    const created = await client.send('POST', '/images', {
        headers: { 'content-type': 'application/json' },
        body: Buffer.from(JSON.stringify(manifest())),
    });
    t.equal(created.status, 200);
    const { uuid } = (await json(created.body)) as { readonly uuid: string };
    const path = `/images/${uuid}/file`;
    const stored = await client.send('PUT', `${path}?compression=none&sha1=${SHA1}`, {
        headers: { 'content-length': String(SIZE * MiB), 'x-request-id': `up-${id}`, ...SPOOFED },
        body: Readable.from(blocks()),
    });
    t.match(await json(stored.body), { files: [{ size: SIZE * MiB, sha1: SHA1 }] });
    const read = await client.send('GET', path, { headers: { 'request-id': `down-${id}` } });
    t.match(read.headers, { server: /^IMGAPI/ }, 'our headers come through');
    t.strictSame(await received(read.body), { size: SIZE * MiB, sha1: SHA1 });

    const part = await client.send('GET', path, { headers: { range: `bytes=${MiB}-${MiB + 3}` } });
    t.equal(part.status, 206);
    t.strictSame(await received(part.body), { size: 4, sha1: sha1Of([Buffer.from([0, 0, 0, 1])]) });
    const same = await client.send('GET', path, { headers: { 'if-none-match': SHA1 } });
    t.equal(same.status, 304);
    await received(same.body);
    const refused = await client.send('PUT', `/images/${uuid}/file?compression=zip`, {
        body: Buffer.alloc(100),
    });
    t.equal(refused.status, 422, 'refused before the body');
    await received(refused.body);

    const facts = { clientAddress: CLIENT, remoteAddress: '127.0.0.1', secure: true };
    t.match(await auditOf(chain, `up-${id}`), { ...facts, route: 'addimagefile' });
    t.match(await auditOf(chain, `down-${id}`), { ...facts, route: 'getimagefile' });
    if (SIZE >= TELLING_SIZE) {
        t.ok(peakMemory(chain.server.pid) < MOST_MEMORY, `imgapi: ${peakMemory(chain.server.pid) / MiB} MiB`);
        for (const { peakMemory: used } of chain.fronts) t.ok(used < MOST_MEMORY, `${used / MiB} MiB`);
    }
}

const skip = missingPrograms('haproxy', 'hitch');

if (skip === false) {
    const { haproxy, hitch } = await startChains();
    const direct = await startDirect();
    await t.test('HAProxy, HTTP/1.1', (t) => transfers(t, haproxy, 'HTTP/1.1'));
    await t.test('HAProxy, h2', (t) => transfers(t, haproxy, 'h2'));
    await t.test('hitch and HAProxy, HTTP/1.1', (t) => transfers(t, hitch, 'HTTP/1.1'));
    await t.test('hitch and HAProxy, h2', (t) => transfers(t, hitch, 'h2'));
    await t.test('hitch and our listener', (t) => transfers(t, direct, 'HTTP/1.1'));
} else {
    void t.test('front servers', { skip }, () => undefined);
}
