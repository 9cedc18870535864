// How connections end whose clients may still be sending (http-api 3.8, D13): within which bounds.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { sendForEver } from '../helpers/stubborn-clients.js';
import { fake, ROUTES, UUID } from '../helpers/shell-routes.js';
import { eventually, startShell, type Shell } from '../helpers/shell-server.js';

const ICON = `PUT /images/${UUID}/icon HTTP/1.1\r\nHost: x\r\n`;
const HUGE = `${ICON}Content-Length: 900000000\r\n\r\n`;

/** A connection whose client closes its own side only when it wants to. */
interface Open {
    readonly socket: Socket;
    readonly received: () => string;
    /** Resolves when the server has closed its side, which the answer comes before. */
    readonly ended: Promise<unknown>;
    /** Resolves to how long the connection was there in all, ms. */
    readonly closed: Promise<number>;
}

async function open(t: Test, { port }: Shell, bytes: string): Promise<Open> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    t.teardown(() => socket.destroy());
    const begun = performance.now();
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    socket.on('error', () => undefined);
    const ended = once(socket, 'end');
    ended.catch(() => undefined);
    const closed = new Promise<number>((resolve) =>
        socket.once('close', () => resolve(performance.now() - begun)),
    );
    await once(socket, 'connect');
    socket.write(bytes);
    return { socket, received: () => received, ended, closed };
}

void t.test('the bounds', async (t) => {
    t.setTimeout(20_000);
    await t.test('a client that is silent', async (t) => {
        const shell = await startShell(t, ROUTES, { lingerSilenceMs: 200 });
        const { received, ended, closed, socket } = await open(t, shell, HUGE);
        await ended;
        t.match(received(), /^HTTP\/1\.1 401 [^]*\r\nConnection: close\r\n[^]*\}$/);
        await eventually(() => shell.audits().length === 1);
        t.strictSame(shell.server.inFlight(), [], 'the request is over, the connection is not');
        // Notices that nobody is there any more only when it sends.
        const probe = setInterval(() => socket.write('x'), 400);
        t.ok((await closed) >= 200);
        clearInterval(probe);
    });

    await t.test('one that never stops', async (t) => {
        const shell = await startShell(t, ROUTES, { lingerSilenceMs: 200, lingerMs: 600 });
        const { socket, closed, ended } = await open(t, shell, HUGE);
        const trickle = setInterval(() => socket.write('x'), 20);
        await ended;
        t.ok((await closed) >= 600);
        clearInterval(trickle);
    });

    await t.test('one that sends a lot', async (t) => {
        const shell = await startShell(t, ROUTES, { lingerBytes: 5_000_000 });
        const { socket, closed, received } = await open(t, shell, HUGE);
        sendForEver(socket);
        await closed;
        t.match(received(), /^HTTP\/1\.1 401 /);
        t.ok(socket.bytesWritten > 5_000_000 && socket.bytesWritten < 50_000_000);
    });

    await t.test('little that comes slowly, on a connection that would be kept', async (t) => {
        const shell = await startShell(t, ROUTES, { lingerSilenceMs: 150, lingerMs: 600 });
        const little = `${ICON}Content-Length: 100\r\n\r\n`;
        const slow = await open(t, shell, little);
        const trickle = setInterval(() => slow.socket.write('x'), 20);
        t.ok((await slow.closed) >= 600);
        clearInterval(trickle);
        const begun = performance.now();
        const silent = await open(t, shell, little);
        await silent.ended;
        t.ok(performance.now() - begun < 600);
        const quick = await open(t, shell, `${little}${'x'.repeat(100)}`);
        await eventually(() => quick.received().includes('Unauthorized'));
        await delay(400);
        quick.socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n');
        await eventually(() => quick.received().includes('pong'));
        t.pass('who has sent all of it may take his time');
    });
});

void t.test('a client that closes its side is not waited for', async (t) => {
    const shell = await startShell(t, ROUTES, { lingerMs: 3_600_000, lingerSilenceMs: 3_600_000 });
    for (const bytes of [HUGE, 'nonsense\r\n\r\n']) {
        const { socket, ended, received } = await open(t, shell, bytes);
        await ended;
        t.match(received(), /^HTTP\/1\.1 40[01] /);
        socket.end('the last of it');
    }
    // It would wait for connections that are still there.
    await shell.server.close();
    t.pass();
});

void t.test('what is behind the last answer is no request', async (t) => {
    const shell = await startShell(t, ROUTES, { lingerSilenceMs: 200 });
    const ping = 'GET /ping HTTP/1.1\r\nHost: x\r\n\r\n';
    const { received, closed, socket } = await open(t, shell, `${ICON}Transfer-Encoding: chunked\r\n\r\n`);
    await eventually(() => received().includes('401'));
    socket.write(`0\r\n\r\n${ping}${ping}%%%\r\n\r\n`);
    await eventually(() => shell.audits().length === 1);
    await delay(50);
    socket.end();
    await closed;
    t.equal(received().match(/HTTP\/1\.1 /g)?.length, 1);
    t.equal(shell.audits().length, 1);

    const bare = await open(
        t,
        shell,
        `PUT /images/${UUID}/icon HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
    );
    await bare.ended;
    t.match(bare.received(), /^HTTP\/1\.1 401 /, 'no leave to send');
    bare.socket.end('hello');
    await bare.closed;
    t.notMatch(bare.received(), /HTTP\/1\.1 100/);
});

void t.test('a body that turns out to be malformed', async (t) => {
    const shell = await startShell(t, ROUTES);
    const chunked = 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n';
    for (const request of ['POST /images', `PUT /images/${UUID}/file`]) {
        fake.started = undefined;
        const { received, socket, ended, closed } = await open(
            t,
            shell,
            `${request} HTTP/1.1\r\nHost: x\r\n${chunked}`,
        );
        await eventually(() => shell.server.inFlight().length === 1);
        socket.write(`zz\r\n${'x'.repeat(3_000_000)}`);
        await ended;
        t.match(received(), /^HTTP\/1\.1 400 [^]*"BadRequestError"/);
        await eventually(() => shell.server.inFlight().length === 0);
        const [audit] = shell.audits().slice(-1);
        t.match(audit, { res: { statusCode: 400 } }, request);
        socket.end();
        await closed;
    }
    t.equal(fake.started?.destroyed, true);
});

void t.test('the server ends', async (t) => {
    const shell = await startShell(t, ROUTES, { lingerMs: 3_600_000, lingerSilenceMs: 300 });
    const { socket, ended, received } = await open(t, shell, HUGE);
    const trickle = setInterval(() => socket.write('x'), 20);
    await ended;
    const little = await open(t, shell, `${ICON}Content-Length: 100\r\n\r\n`);
    await eventually(() => little.received().includes('Unauthorized'));
    const begun = performance.now();
    const closed = shell.server.close();
    await little.ended;
    t.pass('what was kept for the next request is closed, so that the answer can be read');
    await closed;
    clearInterval(trickle);
    t.ok(performance.now() - begun >= 300, 'who still sends gets a moment');
    t.match(received(), /^HTTP\/1\.1 401 /);
});

void t.test('the server ends, and has less time than that', async (t) => {
    const shell = await startShell(t, ROUTES, { lingerMs: 3_600_000, lingerSilenceMs: 3_600_000 });
    const { ended } = await open(t, shell, HUGE);
    await ended;
    await shell.server.close(50);
    t.pass('who still sends is cut off');
});
