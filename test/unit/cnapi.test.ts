// CNAPI's client (jobs-and-imports 1.7, 10) and the double it is tried with.
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { CnapiDirectory } from '#lib/remotes/cnapi/cnapi.js';
import { NodeServiceError } from '#lib/remotes/compute-nodes.js';
import { CnapiDouble } from '../doubles/cnapi/cnapi-double.js';
import { sendJson } from '../doubles/http-service.js';
import { makeClient, serve } from '../helpers/outgoing.js';
import { eventually } from '../helpers/server-process.js';

const SERVER = '564d0000-0000-4000-8000-000000000001';
const VM = '564d0000-0000-4000-8000-000000000002';
const { signal } = new AbortController();
const CALL = { requestId: 'the-id', signal };
const PAYLOAD = { compression: 'gzip', imgapi_url: 'http://127.0.0.1:1', manifest: { uuid: 'u' } };

async function startDouble(t: Test): Promise<CnapiDouble> {
    const cnapi = await new CnapiDouble(() => 'an image').start();
    t.teardown(() => cnapi.stop());
    cnapi.nodes.push({
        uuid: SERVER,
        sysinfo: { 'SDC Version': '7.0' },
        current_platform: '20200101T000000Z',
    });
    return cnapi;
}

function directoryOf(t: Test, url: string): CnapiDirectory {
    const { client } = makeClient(t, {}, { timeouts: { headersMs: 100, stallMs: 100 } });
    return new CnapiDirectory({ http: async () => client, url });
}

/** Name, message, status and code of a failure. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
    try {
        return await promise;
    } catch (error) {
        if (!(error instanceof NodeServiceError)) throw error;
        return [error.name, error.message, error.status, error.code];
    }
}

void t.test('what is asked and answered', async (t) => {
    const cnapi = await startDouble(t);
    const directory = directoryOf(t, `${cnapi.url}/`);
    t.strictSame(await directory.node(SERVER, CALL), { sdcVersion: '7.0', platform: '20200101T000000Z' });
    cnapi.plan = { ...cnapi.plan, failsAt: 'start', event: { error: 'no', details: { error: 'why' } } };
    cnapi.log = [{ level: 'error', message: 'so' }];
    const id = await directory.createImage({ serverUuid: SERVER, vmUuid: VM }, PAYLOAD, CALL);
    const task = await eventually('the end of the task', 5000, async () => {
        const now = await directory.task(id, CALL);
        return now.status === 'active' ? undefined : now;
    });
    t.strictSame(task, {
        status: 'failure',
        history: [
            { name: 'start', event: {} },
            { name: 'error', event: { error: 'no', details: { error: 'why' } } },
            { name: 'finish', event: { log: [{ level: 'error', message: 'so' }] } },
        ],
    });
    t.strictSame(cnapi.tasks[0]?.payload, PAYLOAD);
    const [node, create, poll] = cnapi.requests;
    t.strictSame(
        [node, create, poll].map((one) => [one?.method, one?.target, one?.headers['x-request-id']]),
        [
            ['GET', `/servers/${SERVER}`, 'the-id'],
            ['POST', `/servers/${SERVER}/vms/${VM}/images`, 'the-id'],
            ['GET', `/tasks/${id}`, 'the-id'],
        ],
    );
    t.equal(create?.body, JSON.stringify(PAYLOAD));
});

void t.test('refusals in the words of CNAPI', async (t) => {
    const cnapi = await startDouble(t);
    const directory = directoryOf(t, cnapi.url);
    const elsewhere = { serverUuid: randomUUID(), vmUuid: VM };
    const missing = ['ResourceNotFoundError', 'Server not found', 404, 'ResourceNotFound'];
    t.strictSame(await failureOf(directory.node(elsewhere.serverUuid, CALL)), missing);
    t.strictSame(await failureOf(directory.createImage(elsewhere, PAYLOAD, CALL)), missing);
    const here = { serverUuid: SERVER, vmUuid: VM };
    for (const wrong of [{ compression: 5 }, { imgapi_url: undefined }, { manifest: 'text' }]) {
        t.strictSame(
            await failureOf(
                directory.createImage(here, { ...PAYLOAD, ...wrong } as unknown as typeof PAYLOAD, CALL),
            ),
            ['ValidationFailedError', 'Invalid Parameters', 409, 'ValidationFailed'],
            JSON.stringify(wrong),
        );
    }
    t.equal(cnapi.tasks.length, 0);
    t.strictSame(((await failureOf(directory.task('none', CALL))) as unknown[])[2], 404);
});

void t.test('no answer, or one that makes no sense', async (t) => {
    const cnapi = await startDouble(t);
    const directory = directoryOf(t, cnapi.url);
    for (const fault of ['hang', 'hang-body', 'hang-up', 'break-off', 'garbage', 'no-http'] as const) {
        cnapi.fault = fault;
        t.strictSame(
            await failureOf(directory.task('a', CALL)),
            ['ServiceUnavailableError', 'CNAPI is unavailable', undefined, undefined],
            fault,
        );
    }
    for (const body of [null, [], 'task', {}, { status: 5, id: 5 }, { id: '' }]) {
        const service = await serve(t, (_, response) => sendJson(response, 200, body));
        const odd = directoryOf(t, service.url);
        const nothing = ['ServiceUnavailableError', 'CNAPI is unavailable', undefined, undefined];
        t.strictSame(await failureOf(odd.task('a', CALL)), nothing, JSON.stringify(body));
        const made = odd.createImage({ serverUuid: SERVER, vmUuid: VM }, PAYLOAD, CALL);
        t.strictSame(await failureOf(made), nothing, JSON.stringify(body));
    }
    const service = await serve(t, (_, response) =>
        sendJson(response, 200, { status: 'active', history: [null, { name: 5 }, { event: 'x' }] }),
    );
    t.strictSame(await directoryOf(t, service.url).task('a', CALL), {
        status: 'active',
        history: [
            { name: '', event: undefined },
            { name: '', event: undefined },
            { name: '', event: 'x' },
        ],
    });

    cnapi.fault = 'hang';
    cnapi.requests.length = 0;
    const gone = new AbortController();
    const asked = directory.task('a', { requestId: 'id', signal: gone.signal });
    await eventually('the request', 5000, () => cnapi.requests.length === 1);
    gone.abort(new Error('the client has gone'));
    await t.rejects(asked, new Error('the client has gone'));
});
