import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { storageIsDown } from '#lib/base/errors.js';
import { forEachParallel } from '#lib/base/parallel.js';
import { DURABLE_STEPS, type DurableSteps } from '#lib/database/local/durable-steps.js';
import { LocalDatabase } from '#lib/database/local/local-database.js';
import { MemoryDatabase } from '#lib/database/memory/memory-database.js';
import type { RawImage } from '#lib/manifest/types.js';
import type { MorayDouble } from '../doubles/moray/moray-double.js';
import { PostgresStore } from '../doubles/moray/postgres-store.js';
import { openMoray as openMorayDatabase, startMoray } from '../helpers/moray-databases.js';
import { PostgresCluster, postgresMissing } from '../helpers/postgres.js';
import { configSource } from '../helpers/records.js';
import { recordingLog } from '../helpers/recording-log.js';
import { databaseSearchSuite } from './database-search-suite.js';
import { databaseSuite, type DatabaseUnderTest, type OpenDatabase } from './database-suite.js';

const openMemory: OpenDatabase = async (t, records = []) => {
    const database = new MemoryDatabase();
    await database.setup();
    for (const raw of records) {
        await database.create(raw);
    }
    t.teardown(() => database.close());
    return { database, failNext: (operation) => database.failNext(operation, storageIsDown()) };
};

const openLocal: OpenDatabase = async (t, records = []) => {
    const directories = baseDirectories(t.testdir());
    mkdirSync(directories.manifests);
    for (const raw of records) {
        writeFileSync(join(directories.manifests, `${raw.uuid}.raw`), JSON.stringify(raw, null, 2));
    }
    let failing: keyof DurableSteps | undefined;
    const step =
        (name: keyof DurableSteps) =>
        async (path: string, data = ''): Promise<void> => {
            if (name === failing) {
                failing = undefined;
                throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
            }
            await DURABLE_STEPS[name](path, data);
        };
    const database = new LocalDatabase({
        directories,
        config: configSource(),
        log: recordingLog().log,
        steps: { write: step('write'), remove: step('remove') },
    });
    await database.becomeWriter();
    await database.setup();
    t.teardown(() => database.close());
    return {
        database,
        failNext: (operation) => {
            failing = operation === 'del' ? 'remove' : 'write';
        },
    };
};

async function openOn(
    t: Test,
    moray: MorayDouble,
    records: readonly RawImage[] = [],
): Promise<DatabaseUnderTest> {
    const { database } = await openMorayDatabase(t, moray.port);
    await forEachParallel(records, 50, async (raw) => {
        await database.create(raw);
    });
    const methods = { create: 'putObject', update: 'putObject', move: 'batch', del: 'delObject' };
    return {
        database,
        failNext: (operation) => moray.refuse('InternalError', 1, methods[operation]),
        refusal: { code: 'InternalError', status: 500 },
        trimsEntries: true,
    };
}

const openMoray: OpenDatabase = async (t, records) => openOn(t, await startMoray(t), records);

void t.test('memory', (t) => {
    databaseSuite(t, openMemory);
    databaseSearchSuite(t, openMemory);
    void t.test('can be made to fail', async (t) => {
        const database = new MemoryDatabase();
        const reason = new Error('once');
        database.failNext('search', reason);
        await t.rejects(database.search({ anyOf: [{}], order: 'asc' }), reason);
        t.same(await database.search({ anyOf: [{}], order: 'asc' }), []);
        database.unreachable = true;
        const down = { status: 503, message: 'service unavailable', headers: { 'Retry-After': '5' } };
        await t.rejects(database.get('x'), down);
        await t.rejects(database.search({ anyOf: [{}], order: 'asc' }), down);
        await t.rejects(database.ping(), down);
    });
    t.end();
});

void t.test('local', (t) => {
    databaseSuite(t, openLocal);
    databaseSearchSuite(t, openLocal);
    t.end();
});

void t.test('moray', (t) => {
    databaseSuite(t, openMoray);
    databaseSearchSuite(t, openMoray);
    t.end();
});

void t.test('moray on PostgreSQL', { skip: postgresMissing() }, async (t) => {
    const cluster = await PostgresCluster.start();
    t.teardown(() => cluster.stop());
    const open: OpenDatabase = async (t, records) => {
        const store = new PostgresStore(await cluster.createDatabase());
        return openOn(t, await startMoray(t, { store }), records);
    };
    databaseSuite(t, open);
    databaseSearchSuite(t, open);
});
