// The routes of jobs over the wire, on jobs that are made up: who finds which, filters, pages, errors, and
// where jobs are looked for when a workflow service runs them (jobs-and-imports 2.7, 8.3, 9.5; README table B).
import { serviceUnavailable } from '#lib/base/errors.js';
import t from 'tap';
import { FATHER, JOIN_US, UNKNOWN, USERS } from '../helpers/images.js';
import { startJobShell } from '../helpers/job-shell.js';
import { record } from '../helpers/records.js';
import {
    badAccount,
    expectError,
    invalidParameter,
    notBoolean,
    notFound,
    repeated,
} from '../helpers/rows.js';

const { vader, luke } = USERS;
const A = '11111111-0000-4000-8000-00000000000a';
const B = '11111111-0000-4000-8000-00000000000b';
const C = '11111111-0000-4000-8000-00000000000c';
const D = '11111111-0000-4000-8000-00000000000d';

const VADERS = {
    uuid: A,
    execution: 'succeeded',
    imageUuid: FATHER,
    params: { account: vader },
    createdAt: '2026-01-01T00:00:00.000Z',
    more: { info: [{ data: 'a', date: 'b' }], engine: 'embedded' },
};
const LUKES = {
    uuid: B,
    execution: 'failed',
    imageUuid: JOIN_US,
    task: 'create-from-vm',
    params: { owner_uuid: luke },
    createdAt: '2026-01-02T00:00:00.000Z',
    more: { vm_uuid: UNKNOWN },
};
const OPERATORS = {
    uuid: C,
    execution: 'running',
    imageUuid: JOIN_US,
    origins: [FATHER],
    createdAt: '2026-01-03T00:00:00.000Z',
};

const BAD_EXECUTION = {
    status: 409,
    code: 'ConflictError',
    message: 'Execution must be one of queued, failed, succeeded, canceled or running',
};
const FINISHED = { status: 409, code: 'ConflictError', message: 'Finished jobs cannot be canceled' };
const WORKFLOW_DOWN = { status: 503, code: 'ServiceUnavailableError', message: 'Workflow API is down.' };

function noJob(uuid: string): ReturnType<typeof notFound> {
    return notFound(`Job with uuid '${uuid}' does not exist`);
}

void t.test('jobs of the embedded engine', async (t) => {
    const shell = await startJobShell(t);
    const { client, engine, role } = shell;
    [VADERS, LUKES, OPERATORS].forEach((job) => engine.set(job));

    await t.test('a list, newest first', async (t) => {
        const all = await client.get('/jobs');
        t.strictSame([all.uuids, all.header('x-count')], [[C, B, A], '3']);
        t.match(all.list.at(-1), { uuid: A, engine: 'embedded', info: [{}] }, 'documents as they are');
        const rows: readonly [string, readonly string[], number?][] = [
            ['execution=failed', [B]],
            ['task=import-remote-image', [C, A]],
            ['task=unheard-of', []],
            [`image_uuid=${JOIN_US}`, [C, B]],
            [`vm_uuid=${UNKNOWN}`, [B]],
            [`account=${vader}`, [A]],
            [`image_uuid=${JOIN_US}&execution=running`, [C]],
            ['limit=2', [C, B], 3],
            ['limit=2&offset=2', [A], 3],
            ['offset=5', [], 3],
            ['limit=5000', [C, B, A]],
            ['limit=&offset=&execution=', [C, B, A]],
            ['engine=embedded', [C, B, A]],
        ];
        for (const [query, uuids, total = uuids.length] of rows) {
            const answer = await client.get(`/jobs?${query}`);
            t.strictSame([answer.uuids, answer.header('x-count')], [uuids, String(total)], query);
        }
        const head = await client.request('HEAD', '/jobs');
        t.strictSame([head.status, head.header('x-count'), head.body.length], [200, '3', 0]);
    });

    await t.test('a list that cannot be given', async (t) => {
        for (const [query, expected] of [
            ['execution=bogus', BAD_EXECUTION],
            ['account=x', badAccount('x')],
            ['limit=5&limit=6', repeated('limit')],
            ['engine=wfapi', invalidParameter('invalid engine: "wfapi"', ['engine', 'Invalid'])],
            ...['0', '-1', 'x', '1.5', '99999999999999999999'].map(
                (bad) =>
                    [
                        `limit=${bad}`,
                        invalidParameter(`invalid limit: "${bad}"`, ['limit', 'Invalid']),
                    ] as const,
            ),
            ...['-1', 'x', '1e3'].map(
                (bad) =>
                    [
                        `offset=${bad}`,
                        invalidParameter(`invalid offset: "${bad}"`, ['offset', 'Invalid']),
                    ] as const,
            ),
        ] as const) {
            expectError(t, await client.get(`/jobs?${query}`), expected, query);
        }
    });

    await t.test('one job', async (t) => {
        const answer = await client.get(`/jobs/${A}`);
        t.equal(answer.status, 200);
        t.match(answer.document, { uuid: A, execution: 'succeeded', params: { account: vader } });
        t.strictSame((await client.get(`/jobs/${A}/info`)).json, [{ data: 'a', date: 'b' }]);
        t.strictSame((await client.get(`/jobs/${B}/info`)).json, [], 'none was added');
        const progress = await client.get(`/jobs/${A}/progress`);
        t.match(progress.document, { job_uuid: A, image_uuid: FATHER, execution: 'succeeded' });
        t.equal(progress.header('workflow-api'), undefined);
        t.equal((await client.request('HEAD', `/jobs/${A}/progress`)).status, 200);
    });

    await t.test('versions of another service', async (t) => {
        const headers = { 'accept-version': '~0' };
        t.equal((await client.get(`/jobs/${A}`, { headers })).status, 200);
        t.equal((await client.get(`/jobs/${A}/info`, { headers })).status, 200);
        t.equal((await client.get('/jobs', { headers })).error.code, 'InvalidVersion');
    });

    await t.test('jobs there are not, or not for this account', async (t) => {
        for (const path of ['', '/info', '/progress', '/progress?stream=true']) {
            const mark = path.includes('?') ? '&' : '?';
            const get = async (uuid: string, account = ''): Promise<unknown> =>
                client.get(`/jobs/${uuid}${path}${account === '' ? '' : `${mark}account=${account}`}`);
            const expect = async (expected: ReturnType<typeof notFound>, uuid: string, account?: string) =>
                expectError(
                    t,
                    (await get(uuid, account)) as never,
                    expected,
                    `${uuid}${path} ${account ?? ''}`,
                );
            await expect(noJob(UNKNOWN), UNKNOWN);
            await expect(noJob('nonsense'), 'nonsense');
            await expect(noJob(A.toUpperCase()), A.toUpperCase());
            await expect(noJob(A), A, luke);
            await expect(noJob(C), C, vader);
            await expect(badAccount('x'), A, 'x');
        }
        t.equal((await client.get(`/jobs/${A}?account=${vader}`)).status, 200);
        t.equal((await client.get(`/jobs/${B}?account=${luke}`)).status, 200, 'the owner of what is made');
        expectError(
            t,
            await client.get(`/jobs/${A}/progress?stream=yes`),
            notBoolean('stream', 'yes'),
            'stream',
        );
    });

    await t.test('cancel', async (t) => {
        const cancel = async (uuid: string, query = ''): ReturnType<typeof client.post> =>
            client.post(`/jobs/${uuid}/cancel${query}`);
        expectError(t, await cancel(UNKNOWN), noJob(UNKNOWN), 'unknown');
        expectError(t, await cancel(A), FINISHED, 'finished');
        expectError(t, await cancel(C, `?account=${vader}`), noJob(C), 'of another account');
        expectError(t, await cancel(C, '?account=x'), badAccount('x'), 'account');
        engine.keeps = false;
        const refused = await cancel(C, '?account=x');
        expectError(
            t,
            refused,
            {
                status: 503,
                code: 'ServiceUnavailableError',
                message: 'job engine is owned by another process',
            },
            'by a process that does not run jobs, before anything else is looked at',
        );
        t.equal(refused.header('retry-after'), '1');
        role.writer = false;
        t.match((await cancel(C)).error, { message: 'this process is a reader' });
        engine.keeps = true;
        role.writer = true;
        t.equal((await client.get(`/jobs/${C}`)).document['execution'], 'running', 'nothing was changed');
        const done = await cancel(C);
        t.strictSame([done.status, done.document['execution']], [200, 'canceled']);
        expectError(t, await cancel(C), FINISHED, 'a second time');
        t.equal((await client.get(`/jobs/${C}/cancel`)).status, 405);
        engine.set(OPERATORS);
    });

    await t.test('the newest job of an image that need not exist', async (t) => {
        const progress = async (uuid: string, query = ''): ReturnType<typeof client.get> =>
            client.get(`/images/${uuid}/progress${query}`);
        const none = (uuid: string): ReturnType<typeof notFound> =>
            notFound(`no job found for image ${uuid}`);
        t.equal((await progress(JOIN_US)).document['job_uuid'], C);
        t.equal((await progress(FATHER)).document['job_uuid'], C, 'as an origin of another');
        expectError(t, await progress(UNKNOWN), none(UNKNOWN), 'no job');
        t.equal((await progress('nonsense')).error.message, '/images/nonsense/progress does not exist');
        expectError(t, await progress(JOIN_US, '?account=x'), badAccount('x'), 'account');
        expectError(t, await progress(JOIN_US, `?account=${luke}`), none(JOIN_US), 'of an operator');
        engine.set({ ...OPERATORS, uuid: D, params: { account: luke }, createdAt: '2026-02-01' });
        t.equal((await progress(JOIN_US, `?account=${luke}`)).document['job_uuid'], D, 'its own');
        expectError(t, await progress(JOIN_US, `?account=${vader}`), none(JOIN_US), 'of another account');
        await shell.bench.plant({
            ...record({ uuid: JOIN_US, owner: luke, acl: [vader], channels: undefined }),
        });
        t.equal((await progress(JOIN_US, `?account=${vader}`)).document['job_uuid'], D, 'an image it sees');
        engine.remove(D);
    });

    await t.test('jobs of an image', async (t) => {
        const jobs = async (query = '', uuid = JOIN_US): ReturnType<typeof client.get> =>
            client.get(`/images/${uuid}/jobs${query}`);
        t.strictSame((await jobs()).uuids, [C, B], 'newest first');
        t.strictSame((await jobs('?task=create-from-vm')).uuids, [B]);
        t.strictSame((await jobs('?execution=running')).uuids, [C]);
        t.strictSame((await jobs('?task=other')).list, []);
        expectError(t, await jobs('?execution=bogus'), BAD_EXECUTION, 'execution');
        t.equal((await jobs('', UNKNOWN)).status, 404);
        t.equal((await jobs(`?account=${USERS.emperor}`)).status, 404, 'an image it does not see');
        t.strictSame((await jobs(`?account=${vader}`)).uuids, [C, B]);
    });
});

void t.test('jobs of a workflow service', async (t) => {
    const { client, engine, local, bench } = await startJobShell(t, { workflowApi: 'http://wf.example' });
    engine.set(OPERATORS);
    engine.set(LUKES);
    local.set(VADERS);
    await bench.plant({ ...record({ uuid: JOIN_US, channels: undefined }) });

    t.strictSame((await client.get('/jobs')).uuids, [C, B], 'lists are those of the service');
    t.strictSame((await client.get('/jobs?engine=embedded')).uuids, [A], 'but for the jobs kept here');
    t.equal((await client.get(`/jobs/${A}`)).document['uuid'], A);
    t.equal((await client.get(`/jobs/${C}`)).document['uuid'], C);
    expectError(t, await client.get(`/jobs/${UNKNOWN}`), noJob(UNKNOWN), 'in neither');
    t.strictSame((await client.get(`/images/${JOIN_US}/jobs`)).uuids, [C, B]);
    t.equal((await client.get(`/images/${FATHER}/progress`)).document['job_uuid'], C, 'the newer one');
    local.change(A, { createdAt: '2026-03-01T00:00:00.000Z' });
    t.equal((await client.get(`/images/${FATHER}/progress`)).document['job_uuid'], A);

    local.keeps = false;
    t.equal((await client.post(`/jobs/${C}/cancel`)).document['execution'], 'canceled', 'any process can');
    expectError(t, await client.post(`/jobs/${A}/cancel`), FINISHED, 'kept here');

    engine.failure = serviceUnavailable('Workflow API is down.');
    for (const path of [
        '/jobs',
        `/jobs/${C}`,
        `/jobs/${C}/info`,
        `/jobs/${C}/progress`,
        `/jobs/${C}/progress?stream=true`,
        `/images/${JOIN_US}/jobs`,
        `/images/${JOIN_US}/progress`,
    ]) {
        expectError(t, await client.get(path), WORKFLOW_DOWN, path);
    }
    t.equal((await client.get(`/jobs/${A}`)).status, 200, 'what is kept here is there');
    t.strictSame((await client.get('/jobs?engine=embedded')).uuids, [A]);
});
