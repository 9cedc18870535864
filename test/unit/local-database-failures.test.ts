import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { DURABLE_STEPS, type DurableSteps } from '#lib/database/local/durable-steps.js';
import { newBase, openWriter, fileOf, textOf, put, nameOf, allNames } from '../helpers/local-databases.js';
import { move } from '../contract/database-suite.js';
import { record } from '../helpers/records.js';

/** Steps of which one, chosen by the name of its file, fails: before it does anything, or after. */
function failingSteps(plan: {
    step?: keyof DurableSteps;
    file?: RegExp;
    after?: boolean;
    code?: string;
}): DurableSteps {
    const step =
        (name: keyof DurableSteps) =>
        async (path: string, data = ''): Promise<void> => {
            const fails = name === plan.step && plan.file?.test(path) === true;
            if (!fails || plan.after === true) {
                await DURABLE_STEPS[name](path, data);
            }
            if (fails) {
                delete plan.step;
                throw Object.assign(new Error('injected'), { code: plan.code ?? 'EIO' });
            }
        };
    return { write: step('write'), remove: step('remove') };
}

void t.test('failures of the disk', async (t) => {
    const directories = newBase(t);
    const raw = record({ name: 'old' });
    put(directories, raw);
    const plan: Parameters<typeof failingSteps>[0] = {};
    const { database } = await openWriter(t, directories, { steps: failingSteps(plan) });
    const other = record();
    const operations = {
        create: {
            run: (): Promise<unknown> => database.create(other),
            what: `error saving image ${other.uuid}`,
            steps: ['write'],
        },
        update: {
            run: (): Promise<unknown> => database.update(raw.uuid, (old) => ({ ...old, name: 'new' })),
            what: `error modifying image ${raw.uuid}`,
            steps: ['write'],
        },
        move: {
            run: (): Promise<unknown> => move(database, raw.uuid, { ...raw, uuid: other.uuid }),
            what: `error modifying image ${raw.uuid}`,
            steps: ['write', 'remove'],
        },
        del: {
            run: (): Promise<unknown> => database.del(raw.uuid),
            what: `could not delete image ${raw.uuid}`,
            steps: ['remove'],
        },
    } as const;
    const codes = { ENOSPC: 503, EDQUOT: 503, EROFS: 503, EIO: 500, EACCES: 500 };
    for (const [name, { run, what, steps }] of Object.entries(operations)) {
        for (const [code, status] of Object.entries(codes)) {
            for (const step of steps) {
                for (const after of [false, true]) {
                    Object.assign(plan, { step, file: /\.raw$/, after, code });
                    const expected =
                        status === 503 ? { status, code: 'StorageIsDown' } : { status, message: what };
                    await t.rejects(
                        run(),
                        expected,
                        `${name}, ${step} fails ${after ? 'late' : 'early'}: ${code}`,
                    );
                    t.same(await allNames(database), ['old']);
                    t.same(readdirSync(directories.manifests), [`${raw.uuid}.raw`]);
                    t.equal(readFileSync(fileOf(directories, raw.uuid), 'utf8'), textOf(raw));
                    t.same(readdirSync(directories.run), []);
                }
            }
        }
    }
    Object.assign(plan, { step: 'write', file: /move-/, after: false, code: 'ENOSPC' });
    await t.rejects(operations.move.run(), { code: 'StorageIsDown' });
    t.same(await allNames(database), ['old']);
});

void t.test('an intent that could not be removed does no harm later', async (t) => {
    const directories = newBase(t);
    const raw = record({ name: 'first' });
    put(directories, raw);
    const plan = { step: 'remove', file: /move-/ } as const;
    const { database } = await openWriter(t, directories, { steps: failingSteps({ ...plan }) });
    const to = randomUUID();
    await move(database, raw.uuid, { ...raw, uuid: to });
    t.equal(readdirSync(directories.run).length, 1);
    await database.create({ ...raw, name: 'second' });
    t.same(readdirSync(directories.run), []);
    await database.close();
    const again = await openWriter(t, directories);
    t.same(await allNames(again.database), ['first', 'second']);
});

void t.test('the intent of a move that failed does not make the next start finish it', async (t) => {
    const directories = newBase(t);
    const raw = record({ name: 'first' });
    put(directories, raw);
    const failing = { steps: true };
    const steps: DurableSteps = {
        write: async (path, data) => {
            await DURABLE_STEPS.write(path, data);
            if (failing.steps && path.includes('move-'))
                throw Object.assign(new Error('injected'), { code: 'EIO' });
        },
        remove: async (path) => {
            if (failing.steps) throw Object.assign(new Error('injected'), { code: 'EIO' });
            await DURABLE_STEPS.remove(path);
        },
    };
    const { database } = await openWriter(t, directories, { steps });
    const to = randomUUID();
    await t.rejects(move(database, raw.uuid, { ...raw, uuid: to }), { code: 'InternalError' });
    t.equal(readdirSync(directories.run).length, 1, 'neither made durable nor removed');
    const target = { ...raw, uuid: to, name: 'second' };
    await t.rejects(
        database.create(target),
        { code: 'InternalError' },
        'while it is there, its target is not made',
    );
    failing.steps = false;
    await database.create(target);
    t.same(readdirSync(directories.run), []);
    await database.close();
    const again = await openWriter(t, directories);
    t.same(await allNames(again.database), ['first', 'second']);
});

void t.test('what could not be undone at once is undone before the next change', async (t) => {
    const directories = newBase(t);
    const raw = record({ name: 'old' });
    put(directories, raw);
    let fails = true;
    const gone = `${directories.manifests}.gone`;
    const steps: DurableSteps = {
        ...DURABLE_STEPS,
        write: async (path, data) => {
            await DURABLE_STEPS.write(path, data);
            if (!fails) return;
            fails = false;
            // From here on nothing can be read or written there.
            renameSync(directories.manifests, gone);
            writeFileSync(directories.manifests, 'a file in its place');
            throw Object.assign(new Error('injected'), { code: 'EIO' });
        },
    };
    const { database } = await openWriter(t, directories, { steps });
    const other = record({ name: 'other' });
    await t.rejects(database.create(other), { status: 500, message: `error saving image ${other.uuid}` });
    await t.rejects(database.create(other), { code: 'InternalError' }, 'nothing is changed before that');
    rmSync(directories.manifests);
    renameSync(gone, directories.manifests);
    t.same(await allNames(database), ['old']);
    await database.create({ ...other, name: 'again' });
    t.same(await allNames(database), ['again', 'old']);
    t.match(readFileSync(fileOf(directories, other.uuid), 'utf8'), '"again"');
});

void t.test('a manifests directory that has gone', async (t) => {
    const directories = newBase(t);
    const raw = record();
    put(directories, raw);
    const { database } = await openWriter(t, directories);
    rmSync(directories.manifests, { recursive: true });
    writeFileSync(directories.manifests, 'a file in its place');
    await t.rejects(database.ping(), { code: /ENOTDIR|EACCES/ });
    await t.rejects(
        database.update(raw.uuid, (old) => ({ ...old, name: 'new' })),
        { status: 500, message: `error modifying image ${raw.uuid}` },
    );
    t.equal(await nameOf(database, raw.uuid), 'base');
});
