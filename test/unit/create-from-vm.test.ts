// The pure parts of CreateImageFromVm (jobs-and-imports 1.3, 1.7, 9.4).
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { imageErrorOf, nodeTaskError } from '#lib/jobs/from-vm/image-error.js';
import { isRecentEnough } from '#lib/jobs/from-vm/platform.js';
import { endOfTask } from '#lib/jobs/from-vm/poll-task.js';
import { prepareScript } from '#lib/jobs/from-vm/prepare-scripts.js';
import { NodeServiceError, type ComputeNodeDirectory, type NodeTask } from '#lib/remotes/compute-nodes.js';
import { refusal, refused } from '../helpers/image-bench.js';
import { temporaryDirectory } from '../helpers/server-process.js';

const STAMP = '20130917T001310Z';

void t.test('the platform rule', (t) => {
    const rows: readonly (readonly [
        version: string | undefined,
        stamp: string | undefined,
        fits: boolean,
    ])[] = [
        ['7.0', STAMP, true],
        ['7.0', '20130917T001311Z', true],
        ['7.0', '20130917T001309Z', false],
        ['7.0', '20200101T000000Z', true],
        ['7', STAMP, true],
        ['7.0.0', STAMP, true],
        ['7.0.1', '20000101T000000Z', true],
        ['7.1', undefined, true],
        ['8', '', true],
        ['10.0', '20000101T000000Z', true],
        ['6.9', '20200101T000000Z', false],
        ['6.5.10', '20200101T000000Z', false],
        [undefined, '20200101T000000Z', false],
        ['', '20200101T000000Z', false],
        ['seven', '20200101T000000Z', false],
        ['7.0', undefined, false],
        ['7.0', '', false],
        ['7.0', 'latest', false],
        ['7.0', '20200101', false],
        ['7.0', '20200101T000000', false],
    ];
    for (const [sdcVersion, platform, fits] of rows) {
        const node = {
            ...(sdcVersion === undefined ? {} : { sdcVersion }),
            ...(platform === undefined ? {} : { platform }),
        };
        t.equal(isRecentEnough(node, ['7.0', STAMP]), fits, JSON.stringify(node));
    }
    t.equal(isRecentEnough({ platform: '20200101T000000Z' }, ['6.5', STAMP]), true, 'no version is 6.5');
    t.equal(isRecentEnough({ sdcVersion: '9.0', platform: STAMP }, ['10.0', STAMP]), false);
    t.end();
});

const error = (event: unknown) => ({ name: 'error', event });
const finish = (...log: readonly unknown[]) => ({ name: 'finish', event: { log } });
const logged = (message: string) => ({ level: 'error', message });
const DID_NOT_RUN = { code: 'PrepareImageDidNotRun', message: 'not run' };

void t.test('what a failed task says of the image', (t) => {
    const long = 'a'.repeat(15_000) + 'b'.repeat(15_000);
    const rows: readonly (readonly [history: Parameters<typeof nodeTaskError>[0], is: unknown])[] = [
        [[], { message: 'Error: Unexpected error occured' }],
        [[error({})], { message: 'Error: Unexpected error occured' }],
        [[error(null)], { message: 'Error: Unexpected error occured' }],
        [[error({ error: 'boom' })], { message: 'Error: boom' }],
        [[error({ error: { message: 'boom' } })], { message: 'Error: boom' }],
        [[error({ error: { code: 5 } })], { message: 'Error: Unexpected error occured' }],
        [[error({ error: 'a' }), error({ error: 'b' })], { message: 'Error: b' }],
        [[error({ error: 'boom', details: { error: 'why' } })], { message: 'Error: boom, why' }],
        [
            [
                error({ error: 'boom' }),
                finish(logged('x'), { level: 'info', message: 'y' }, logged('z'), null),
            ],
            { message: 'Error: boom: x, z' },
        ],
        [
            [finish({ level: 'error', msg: 'x' })],
            { message: 'Error: Unexpected error occured: {"level":"error","msg":"x"}' },
        ],
        [
            [
                { name: 'finish', event: null },
                { name: 'finish', event: { log: 5 } },
            ],
            { message: 'Error: Unexpected error occured' },
        ],
        [[error({ error: JSON.stringify(DID_NOT_RUN) })], DID_NOT_RUN],
        [
            [
                error({ error: JSON.stringify(DID_NOT_RUN), details: { error: 'why' } }),
                finish(logged('x'), logged('y')),
            ],
            { ...DID_NOT_RUN, message: 'not run, why: x, y' },
        ],
        [
            [error({ error: JSON.stringify({ ...DID_NOT_RUN, stack: 's', secret: 'x' }) })],
            { ...DID_NOT_RUN, stack: 's' },
        ],
        [[error({ error: '{"code":"A"}' })], { code: 'A', message: 'Unexpected error occured' }],
        [[error({ error: '{no json' })], { message: 'Error: {no json' }],
        [
            [error({ error: JSON.stringify({ code: 'A', message: long }) })],
            {
                code: 'A',
                message: `${'a'.repeat(10_000)}\n... content elided (full message was 30000 characters) ...\n${'b'.repeat(10_000)}`,
            },
        ],
    ];
    for (const [history, is] of rows) {
        t.strictSame(imageErrorOf(nodeTaskError(history)), is, JSON.stringify(history).slice(0, 200));
    }
    const { message } = imageErrorOf(new Error(long));
    t.ok(
        message?.startsWith('Error: aaa') === true && message.includes('(full message was 30007 characters)'),
    );
    t.strictSame(
        imageErrorOf({ name: 'ResourceNotFoundError', message: 'x', restCode: 'ResourceNotFound' }),
        {
            message: 'ResourceNotFoundError: x',
            code: 'ResourceNotFound',
        },
    );
    t.end();
});

void t.test('asking for a task', async (t) => {
    const active: NodeTask = { status: 'active', history: [] };
    const complete: NodeTask = { status: 'complete', history: [] };
    const down = new NodeServiceError('down', { status: 503, cause: undefined });
    const unknown = new NodeServiceError('unknown', { status: 404, cause: undefined });
    /** What comes of these answers, a second apart, and how many of them were asked for. */
    const ask = async (answers: readonly (NodeTask | Error)[]): Promise<unknown> => {
        let asked = 0;
        const task = async (): Promise<NodeTask> => {
            const answer = answers[asked++];
            if (answer === undefined || answer instanceof Error) throw answer ?? new Error('asked too often');
            return answer;
        };
        const nodes = { task } as Partial<ComputeNodeDirectory> as ComputeNodeDirectory;
        const { signal } = new AbortController();
        const times = { now: () => asked * 1000, pauseMs: 1 };
        const end = endOfTask(nodes, 'id', { requestId: 'id', signal }, times);
        return [
            await end.then(
                ({ status }) => status,
                (reason: unknown) => reason,
            ),
            asked,
        ];
    };
    const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);
    t.strictSame(await ask([complete]), ['complete', 1]);
    t.strictSame(await ask([active, active, { ...active, status: 'failure' }]), ['failure', 3]);
    t.strictSame(await ask([...times(5, down), complete]), ['complete', 6], 'five errors are borne with');
    t.strictSame(await ask([...times(5, down), active, ...times(5, down), complete]), ['complete', 12]);
    t.strictSame(await ask([active, ...times(6, down), complete]), [down, 7], 'six are too many');
    t.strictSame(await ask([...times(9, unknown), complete]), ['complete', 10], 'not yet known');
    t.strictSame(await ask([...times(10, active), ...times(5, unknown), complete]), ['complete', 16]);
    t.strictSame(await ask([...times(10, active), ...times(6, unknown)]), [unknown, 16], 'known no more');

    const gone = new AbortController();
    const nodes = { task: async () => active } as Partial<ComputeNodeDirectory> as ComputeNodeDirectory;
    const asked = endOfTask(nodes, 'id', { requestId: 'id', signal: gone.signal }, { now: () => 0 });
    gone.abort();
    await t.rejects(asked, { name: 'AbortError' });
});

void t.test('scripts', async (t) => {
    const directory = temporaryDirectory();
    t.teardown(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, 'linux-prepare-image'), 'text');
    mkdirSync(join(directory, 'bsd-prepare-image'));
    t.equal(await prepareScript('linux', directory), 'text');
    for (const os of ['illumos', 'other', 'null', '../linux'])
        t.equal(await prepareScript(os, directory), undefined, os);
    for (const os of ['windows', 'bsd']) {
        t.strictSame(
            await refusal(prepareScript(os, directory)),
            refused(500, 'InternalError', `error loading prepare-image script for OS ${os}`),
            os,
        );
    }
});
