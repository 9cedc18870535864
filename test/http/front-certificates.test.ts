// A new certificate while clients are being served: HAProxy, hitch, and our own listener (operations 4.5, 4.6).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import {
    frontClient,
    type FrontAnswer,
    type FrontClient,
    type HttpVersion,
} from '../helpers/front-client.js';
import { Load } from '../helpers/front-load.js';
import { FrontServer, writePair, type Pair } from '../helpers/front-server.js';
import { missingPrograms } from '../helpers/programs.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually, freePort, LIMIT_MS, ServerProcess } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

/** How long a connection may say nothing. */
const SILENCE_MS = 10_000;
/** How long hitch may take no connections. */
const LOST_MS = 1000;
/** Whether the system gives connections that a process has not taken yet to the next one. */
const MIGRATES = readFileSync('/proc/sys/net/ipv4/tcp_migrate_req', 'utf8').trim() === '1';

const [FIRST, SECOND] = [selfSigned('localhost'), selfSigned('localhost')];

/** Waits for a connection on which requests can be sent. */
async function connected(port: number): Promise<TLSSocket> {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error('no answer')));
    await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve).once('error', reject);
    });
    return socket;
}

/** The certificate that is shown to a new connection. */
async function shown(port: number): Promise<string> {
    const socket = await connected(port);
    const { raw } = socket.getPeerCertificate();
    socket.destroy();
    return raw.toString('base64');
}

function bodyOf({ certificate }: Pair): string {
    return certificate.replace(/-----[^-]+-----|\s/g, '');
}

/** Opens a connection for each request. */
class HastyClient implements FrontClient {
    readonly #port: number;
    readonly #mayLose: boolean;
    /** Connections that came to nothing before a request was sent. */
    lost = 0;

    /** @param mayLose connect once more when a connection comes to nothing */
    constructor(port: number, mayLose: boolean) {
        this.#port = port;
        this.#mayLose = mayLose;
    }

    async send(method: string, path: string): Promise<FrontAnswer> {
        const socket = await this.#connect();
        socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
        return { status: Number(head.split(' ')[1]), headers: {}, body: Readable.from([body]) };
    }

    close(): void {
        // There is nothing that is kept.
    }

    async #connect(): Promise<TLSSocket> {
        return connected(this.#port).catch(async (error: unknown) => {
            if (!this.#mayLose) throw error;
            this.lost += 1;
            return eventually('a connection', LOST_MS, () => connected(this.#port).catch(() => undefined));
        });
    }
}

interface Renewal {
    readonly port: number;
    readonly pem: string;
    readonly versions: readonly HttpVersion[];
    readonly reload: () => void;
    readonly renewals?: readonly Pair[];
    /** Whether connections that are just being made may be lost. */
    readonly mayLose?: boolean;
}

/** Renews a certificate, while clients of all kinds ask as fast as they can. */
async function renewUnderLoad(
    t: Test,
    { port, pem, versions, reload, renewals = [SECOND, FIRST], mayLose = false }: Renewal,
): Promise<void> {
    const place = { port, ca: [FIRST.certificate, SECOND.certificate] };
    const kept = versions.map((version) => frontClient(version, place));
    const hasty = [new HastyClient(port, mayLose), new HastyClient(port, mayLose)];
    const load = new Load([...kept, ...hasty], '/images');
    const goesOn = async (what: string): Promise<void> => {
        const before = load.served;
        await eventually(what, 20_000, () => load.served > before + 40 || load.failures.length > 0);
    };
    await goesOn('the load has begun');
    t.equal(await shown(port), bodyOf(FIRST));
    for (const pair of renewals) {
        writePair(pem, pair);
        reload();
        await eventually(
            'the new certificate',
            20_000,
            async () => (await shown(port).catch(() => '')) === bodyOf(pair),
        );
        await goesOn('the load goes on');
    }
    await load.stop();
    t.strictSame(load.failures, [], `${load.served} requests`);
    t.comment(`${load.served} requests, ${hasty.reduce((sum, { lost }) => sum + lost, 0)} connections lost`);
}

function pemOf(t: Test): string {
    const pem = join(t.testdir({}), 'cert.pem');
    writePair(pem, FIRST);
    return pem;
}

async function serverOf(t: Test, config: object = {}): Promise<ServerProcess> {
    const server = await ServerProcess.start({ config: { authType: 'none', ...config } });
    t.teardown(() => server.stop());
    return server;
}

const BOTH = ['HTTP/1.1', 'HTTP/1.1', 'h2', 'h2'] as const;

await t.test(
    'HAProxy, and hitch in front of it',
    { skip: missingPrograms('haproxy', 'hitch') },
    async (t) => {
        const pem = pemOf(t);
        const server = await serverOf(t);
        const [httpsPort, proxyPort, statsPort] = [await freePort(), await freePort(), await freePort()];
        const ports = { httpsPort, proxyPort, statsPort, serverPorts: [server.port] };
        const haproxy = await FrontServer.haproxy({ pem, ...ports });
        t.teardown(() => haproxy.stop());
        const hitch = await FrontServer.hitch({ pem, proxyPort });
        t.teardown(() => hitch.stop());
        await t.test('HAProxy', (t) =>
            renewUnderLoad(t, { port: httpsPort, pem, versions: BOTH, reload: () => haproxy.reload() }),
        );
        await t.test('hitch', (t) =>
            renewUnderLoad(t, {
                port: hitch.port,
                pem,
                versions: BOTH,
                reload: () => hitch.reload(),
                // A second time within a second it cuts connections that have outlived the first.
                renewals: [SECOND],
                // Its workers listen for themselves: what one has not taken when it ends is lost.
                mayLose: !MIGRATES,
            }),
        );
    },
);

await t.test('our own listener', async (t) => {
    const pem = pemOf(t);
    const port = await freePort();
    const server = await serverOf(t, { tls: { cert: pem, port } });
    const versions = ['HTTP/1.1', 'HTTP/1.1'] as const;
    await renewUnderLoad(t, { port, pem, versions, reload: () => server.signal('SIGHUP') });
});
