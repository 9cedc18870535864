import { once } from 'node:events';
import { createServer, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { MantaAgent } from '#lib/remotes/manta/manta-agent.js';
import type { MantaCall } from '#lib/remotes/manta/manta-call.js';

void t.test('a call that is over waits for no connection', async (t) => {
    const answers: ServerResponse[] = [];
    const server = createServer((_request, response) => void answers.push(response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    const agent = new MantaAgent({ isTls: false, insecure: false, maxSockets: 1, userAgent: 'test' });
    t.teardown(() => agent.close());
    const send = (): { readonly call: MantaCall; readonly answer: Promise<unknown[]> } => {
        const call = agent.start();
        const sent = request({ agent: agent.agent, host: '127.0.0.1', port, headers: call.headers });
        sent.on('error', () => undefined).end();
        return { call, answer: once(sent, 'response') };
    };
    const waiting = (): number => Object.values(agent.agent.requests).flat().length;

    const first = send();
    await once(server, 'request');
    const [second, third] = [send(), send()];
    second.answer.catch(() => undefined);
    t.equal(waiting(), 2, 'there is one connection');
    second.call.end();
    agent.forget(second.call);
    t.equal(waiting(), 1, 'what was ended is not kept');

    const next = once(server, 'request');
    for (const { answer } of [first, third]) {
        answers.shift()?.end('done');
        const [response] = (await answer) as [NodeJS.ReadableStream];
        response.resume();
        await next;
    }
    t.equal(waiting(), 0, 'the others have their turn');
});
