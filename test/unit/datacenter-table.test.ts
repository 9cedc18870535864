// What is done about a wish to copy an image, by what is here of it already and by how far the request may go
// (jobs-and-imports 8.2, the table of states).
import { copyAction, type CopyMode, type LocalRecord } from '#lib/jobs/datacenter/copy-table.js';
import type { JsonObject } from '#lib/manifest/types.js';
import t, { type Test } from 'tap';
import type { CopyBench } from '../helpers/copy-bench.js';
import { refusal } from '../helpers/image-bench.js';
import { USERS } from '../helpers/images.js';
import {
    COPY,
    copy,
    DEAD_JOB,
    IMAGE,
    JOB,
    startCopyBench,
    stored,
    unfinished,
    WISHES,
} from '../helpers/wanted-copies.js';

const { luke } = USERS;

/** A row of the table of states: what is here, and the outcome by mode. */
interface Row {
    readonly name: string;
    readonly here?: Record<string, unknown>;
    readonly job?: JsonObject;
    readonly is: Readonly<Record<CopyMode, string>>;
}

const ROWS: readonly Row[] = [
    { name: 'nothing', is: { plain: 'started', sync: 'started', watch: '404' } },
    {
        name: 'nothing, its copy runs',
        job: COPY,
        is: { plain: 'attached', sync: 'attached', watch: 'attached' },
    },
    {
        name: 'nothing, a copy for somebody else runs',
        job: { ...COPY, account: luke },
        is: { plain: '409', sync: '409', watch: '404' },
    },
    {
        name: 'a placeholder whose job runs',
        here: unfinished('creating', JOB),
        job: COPY,
        is: { plain: 'attached', sync: 'attached', watch: 'attached' },
    },
    {
        name: 'a record whose job runs',
        here: unfinished('unactivated', JOB),
        job: COPY,
        is: { plain: 'attached', sync: 'attached', watch: 'attached' },
    },
    {
        name: 'a record whose job runs, from another datacenter',
        here: unfinished('unactivated', JOB),
        job: { ...COPY, datacenter: 'west' },
        is: { plain: '409', sync: '409', watch: '409' },
    },
    {
        name: 'a placeholder of a dead job',
        here: unfinished('creating', DEAD_JOB),
        is: { plain: '409', sync: 'started', watch: '404' },
    },
    {
        name: 'a record of a dead job',
        here: unfinished('unactivated', DEAD_JOB),
        is: { plain: '409', sync: 'started', watch: '404' },
    },
    {
        name: 'a record made by hand',
        here: unfinished('unactivated'),
        is: { plain: '409', sync: '409', watch: '409' },
    },
    {
        name: 'a placeholder of another kind',
        here: unfinished('creating'),
        is: { plain: '409', sync: '409', watch: '409' },
    },
    {
        name: 'a failed image',
        here: unfinished('failed', undefined, { error: { code: 'X', message: 'no room' } }),
        is: { plain: '409', sync: 'started', watch: '422' },
    },
    {
        name: 'a failed copy',
        here: unfinished('failed', DEAD_JOB, { error: { code: 'X', message: 'no room' } }),
        is: { plain: 'started', sync: 'started', watch: '422' },
    },
    {
        name: 'the image',
        here: stored(),
        is: { plain: '409', sync: 'unchanged', watch: 'current' },
    },
    {
        name: 'the image, disabled and different',
        here: stored({ disabled: true, state: 'disabled', description: 'old' }),
        is: { plain: '409', sync: 'updated', watch: 'current' },
    },
    {
        name: 'an image of somebody else',
        here: stored({ owner: luke }),
        is: { plain: '409', sync: '409', watch: '409' },
    },
    {
        name: 'a failed image of somebody else',
        here: unfinished('failed', DEAD_JOB, { owner: luke }),
        is: { plain: '409', sync: '409', watch: '409' },
    },
];

const MODES = ['plain', 'sync', 'watch'] as const;

/** What came of a request, and that the right things were done about it. */
async function outcomeOf(t: Test, b: CopyBench, mode: CopyMode): Promise<string> {
    const before = await b.bench.database.search({ anyOf: [{}], order: 'asc' });
    const asked = copy(b, WISHES[mode]);
    const done = await asked.catch(() => undefined);
    if (done === undefined) {
        const after = await b.bench.database.search({ anyOf: [{}], order: 'asc' });
        t.strictSame(after, before, `${mode}: nothing was changed`);
        t.equal(b.engine.started.length, 0);
        return String((await refusal(asked)).status);
    }
    t.equal(done.imageUuid, IMAGE);
    t.equal(done.oldForm, mode === 'plain');
    t.equal(b.engine.started.length, done.result === 'started' ? 1 : 0);
    if (done.result === 'started') {
        const [job] = b.engine.started;
        t.equal(done.jobUuid, job?.uuid);
        t.equal(await b.bench.exists(IMAGE), mode !== 'plain', 'a placeholder, if one is wanted');
    }
    if (done.result === 'attached') t.equal(done.jobUuid, JOB);
    return done.result;
}

for (const { name, here, job, is } of ROWS) {
    void t.test(`here: ${name}`, async (t) => {
        for (const mode of MODES) {
            const b = await startCopyBench(t);
            if (here !== undefined) await b.bench.plant(here);
            if (job !== undefined) {
                b.engine.set({ uuid: JOB, imageUuid: IMAGE, execution: 'running', params: job });
            }
            t.equal(await outcomeOf(t, b, mode), is[mode], mode);
        }
    });
}

void t.test('the table answers every case', (t) => {
    const records: readonly LocalRecord[] = [
        'none',
        'taken',
        'left',
        'unfinished',
        'failedCopy',
        'failed',
        'activated',
        'foreign',
    ];
    for (const one of records) {
        for (const mode of MODES) {
            if (one !== 'none' && one !== 'taken' && one !== 'left' && one !== 'unfinished') {
                t.equal(copyAction(one, true, mode), copyAction(one, false, mode), `${one} ${mode}`);
            }
        }
    }
    t.end();
});
