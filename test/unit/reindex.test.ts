import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { IMAGES } from '#lib/database/moray/bucket.js';
import { fsckCommand } from '#lib/cli/imgapiadm/fsck.js';
import { reindexCommand } from '#lib/cli/imgapiadm/reindex.js';
import type { MorayDouble } from '../doubles/moray/moray-double.js';
import { MorayClient } from '../doubles/moray/client.js';
import { AdminTool } from '../helpers/admin-tool.js';
import { damagedUuid, goodRecord, plantConfig, plantRecord } from '../helpers/damaged-records.js';
import { differences, treeOf } from '../helpers/data-tree.js';
import { GOLDEN, plantGolden } from '../helpers/golden-records.js';
import type { Place } from '../helpers/golden-forms.js';
import type { Document } from '../helpers/http-client.js';
import { startMoray } from '../helpers/moray-databases.js';
import { problemsOfWritten, storedRecord, unexpectedNames } from '../helpers/record-rules.js';
import { temporaryDirectory } from '../helpers/server-process.js';
import { runHere } from '../helpers/subcommand-run.js';

t.setTimeout(120_000);

const PLACES: readonly Place[] = [
    { mode: 'private', channels: false },
    { mode: 'public', channels: true },
];
const CHANNELS = ['dev', 'release'].map((name) => ({ name, description: name, default: name === 'dev' }));
/** What the oldest records have and no server needs. */
const DROPPED = new Set(['objectclass', 'dn', 'controls']);

function place(t: Test, config: Readonly<Record<string, unknown>> = {}) {
    const base = temporaryDirectory();
    t.teardown(() => rmSync(base, { recursive: true, force: true }));
    mkdirSync(join(base, 'manifests'));
    return { base, config: plantConfig(base, config) };
}

function summaryOf(stdout: readonly string[]): Document {
    return (JSON.parse(stdout.at(-1) ?? '') as { summary: Document }).summary;
}

for (const where of PLACES) {
    const channels = where.channels ? { channels: CHANNELS } : {};
    await t.test(
        `old forms become those of today: ${where.mode}, ${Object.keys(channels).join()}`,
        async (t) => {
            const { base, config } = place(t, { mode: where.mode, ...channels });
            plantGolden(base, where);
            const reindex = (...args: string[]) =>
                runHere(reindexCommand, ['-c', config, '-j', '-q', ...args]);
            const before = treeOf(base);
            const dry = await reindex('-n', '--archive');
            t.equal(dry.code, 0, dry.stderr.join('\n'));
            t.strictSame(differences(before, treeOf(base)), [], 'a dry run changes nothing');
            const { code, stdout, stderr } = await reindex('-y', '--archive');
            t.equal(code, 0, stderr.join('\n'));
            t.match(summaryOf(stdout), {
                rewritten: summaryOf(dry.stdout)['wouldRewrite'],
                archived: GOLDEN.length,
                records: GOLDEN.length,
                failed: 0,
            });
            const changed = differences(before, treeOf(base)).filter((one) => one.startsWith('~'));
            t.equal(changed.length, summaryOf(stdout)['rewritten'], 'only what differs is written');
            for (const golden of GOLDEN) {
                const { raw, text } = storedRecord(base, golden.uuid);
                const { requirements, ...others } = raw;
                const judged = typeof requirements === 'number' ? others : raw;
                const keeps = golden.keeps?.filter((key) => !DROPPED.has(key));
                t.strictSame(problemsOfWritten(judged, where, keeps), [], `${golden.name}: ${text}`);
                t.notOk(
                    Object.keys(raw).some((key) => DROPPED.has(key)),
                    golden.name,
                );
                t.ok(existsSync(join(base, 'archive', golden.uuid.slice(0, 3), `${golden.uuid}.json`)));
            }
            t.strictSame(unexpectedNames(base), []);
            const once = treeOf(base);
            const again = await reindex('-y', '--archive');
            t.match(summaryOf(again.stdout), { rewritten: 0, archived: 0, unchanged: GOLDEN.length });
            t.strictSame(differences(once, treeOf(base)), []);

            // What only fsck repairs, in the same records.
            const repaired = await runHere(fsckCommand, ['-c', config, '-q', '--fix-safe', '-y']);
            t.equal(repaired.code, 1, 'an origin is missing');
            for (const golden of GOLDEN) {
                if (existsSync(join(base, 'manifests', `${golden.uuid}.raw`))) {
                    const { requirements, ...others } = storedRecord(base, golden.uuid).raw;
                    const judged = typeof requirements === 'number' ? others : { ...others, requirements };
                    const clean = JSON.parse(JSON.stringify(judged)) as Document;
                    t.strictSame(
                        problemsOfWritten(
                            clean,
                            where,
                            golden.keeps?.filter((key) => !DROPPED.has(key)),
                        ),
                        [],
                    );
                }
            }
        },
    );
}

await t.test('records that nobody can use are left as they are', async (t) => {
    const { base, config } = place(t);
    plantRecord(base, `${damagedUuid(1)}.raw`, '{"cut": ');
    plantRecord(base, `${damagedUuid(2)}.raw`, goodRecord(2, { name: '\u0007' }));
    plantRecord(base, `${damagedUuid(3)}.raw`, goodRecord(3, { tags: ['a=b'] }));
    plantRecord(base, 'notes.txt', 'x');
    const before = treeOf(join(base, 'manifests'));
    const { code, stdout } = await runHere(reindexCommand, ['-c', config, '-q', '-y']);
    t.equal(code, 1);
    t.equal(stdout.at(-1), '3 records, 1 rewritten, 2 left, see "imgapiadm fsck"');
    t.strictSame(differences(before, treeOf(join(base, 'manifests'))), [`~ ${damagedUuid(3)}.raw`]);
    t.match(await runHere(reindexCommand, ['-c', config, '-q']), { code: 251 });
    t.match(await runHere(reindexCommand, ['-c', config, '-q', '-y', damagedUuid(1)]), { code: 251 });
});

/** Columns that were added to buckets of the first servers later (operations 5.5, rows 010 and 011). */
const LATE = ['billing_tags', 'published_at'];
const ROWS = 12;

function rowValue(n: number): Document {
    return goodRecord(n, {
        billing_tags: [`b${n}`, 'NULL'],
        acl: [damagedUuid(n)],
        tags: [`n=${n}`],
        tagsObj: { n },
        urn: `sdc:sdc:x:${n}`,
        name: `row ${n}`,
    });
}

/** A Moray whose bucket lacks columns, with rows. */
async function oldMoray(t: Test, late: readonly string[] = LATE) {
    const double = await startMoray(t);
    const client = await MorayClient.connect(double.port);
    t.teardown(() => client.close());
    const index = Object.fromEntries(Object.entries(IMAGES.index).filter(([name]) => !late.includes(name)));
    await client.call('createBucket', IMAGES.name, { index });
    for (let n = 0; n < ROWS; n += 1) await client.put(IMAGES.name, damagedUuid(n), rowValue(n));
    const moray = { host: '127.0.0.1', port: double.port };
    const { base, config } = place(t, { databaseType: 'moray', moray });
    return { double, client, base, config };
}

async function expectRows(t: Test, double: MorayDouble, name: string, changed: Document = {}): Promise<void> {
    const rows = await double.rows(IMAGES.name);
    t.equal(rows.length, ROWS, name);
    for (const [n, { key, value }] of rows.entries()) {
        const expected = { ...rowValue(n), ...(changed[key] as Document | undefined) };
        // The column makes null of it, as it always has.
        const seen = {
            ...value,
            billing_tags: (value['billing_tags'] as unknown[] | undefined)?.map((tag) => tag ?? 'NULL'),
        };
        t.strictSame(seen, expected, `${name}: row ${n}`);
    }
}

function copiesIn(base: string): string[] {
    const run = join(base, 'run');
    return existsSync(run) ? readdirSync(run).filter((name) => name.endsWith('.jsonl')) : [];
}

await t.test('Moray gets the columns it lacks, and keeps every field of every row', async (t) => {
    const { double, client, base, config } = await oldMoray(t);
    const found = await runHere(fsckCommand, ['-c', config, '-q']);
    t.equal(found.code, 1);
    t.match(
        found.stdout[0],
        /warning: structure: the bucket lacks index columns: billing_tags, published_at; "imgapiadm reindex" adds them/,
    );
    const dry = await runHere(reindexCommand, ['-c', config, '-q', '-n']);
    t.equal(dry.code, 0);
    t.match(dry.stderr.join('\n'), /the bucket lacks index columns: billing_tags, published_at/);
    await expectRows(t, double, 'a dry run changes nothing');
    const { code, stdout, stderr } = await runHere(reindexCommand, ['-c', config, '-q', '-y', '-j']);
    t.equal(code, 0, stderr.join('\n'));
    t.match(summaryOf(stdout), { restored: ROWS, records: ROWS, unchanged: ROWS, failed: 0 });
    await expectRows(t, double, 'put back');
    t.equal((await client.find(IMAGES.name, '(billing_tags=b3)')).length, 1, 'and can be searched');
    const bucket: { index: object } = await client.call('getBucket', IMAGES.name);
    t.strictSame(Object.keys(bucket.index).sort(), Object.keys(IMAGES.index).sort());
    t.strictSame(copiesIn(base), []);
    t.match(await runHere(fsckCommand, ['-c', config, '-q']), { code: 0 });
    double.resetRpcCounts();
    t.match(summaryOf((await runHere(reindexCommand, ['-c', config, '-q', '-y', '-j'])).stdout), {
        restored: 0,
    });
    t.notOk('putObject' in double.rpcCounts, 'nothing is written when nothing is to do');
});

/** Kills the tool when so many calls of a method, or of any, have come in; the last one is still done. */
async function runAndKill(double: MorayDouble, config: string, method: string, count: number): Promise<void> {
    const tool = new AdminTool(['reindex', '-q', '-y', '-c', config]);
    const watch = (): void => {
        if ((double.rpcCounts[method] ?? 0) >= count) tool.signal('SIGKILL');
        else double.atCall(1, watch);
    };
    double.resetRpcCounts();
    double.atCall(1, watch);
    await tool.exited;
}

await t.test('killed at any point and run again, it loses nothing', async (t) => {
    const all = Array.from({ length: 40 }, (_, index) => ['total', index + 1] as const);
    const some = [
        ['findObjects', 1],
        ['updateBucket', 1],
        ['putObject', 1],
        ['putObject', 9],
    ] as const;
    const states: string[] = [];
    for (const [method, count] of process.env['REINDEX_POINTS'] === 'all' ? all : some) {
        const { double, client, base, config } = await oldMoray(t);
        await runAndKill(double, config, method, count);
        const [copy] = copiesIn(base);
        if (copy !== undefined) {
            const lines = readFileSync(join(base, 'run', copy), 'utf8')
                .trimEnd()
                .split('\n');
            t.equal(lines.length, ROWS + 2, 'a copy is whole');
        }
        const bucket: { index: object } = await client.call('getBucket', IMAGES.name);
        const isAdded = LATE.every((column) => column in bucket.index);
        states.push(`${copy === undefined ? 'no copy' : 'copy'}, ${isAdded ? 'columns' : 'no columns'}`);
        const again = await runHere(reindexCommand, ['-c', config, '-q', '-y']);
        t.equal(again.code, 0, `${method} ${count}: ${again.stderr.join('\n')}`);
        t.equal(/going on from/.test(again.stderr.join()), isAdded && copy !== undefined);
        await expectRows(t, double, `killed at ${method} ${count}`);
        t.strictSame(copiesIn(base), []);
    }
    if (all.length !== states.length) {
        t.strictSame(states, ['no copy, no columns', ...Array<string>(3).fill('copy, columns')]);
    }
});

await t.test('a copy that was made before any column was added is made anew', async (t) => {
    const { double, client, base, config } = await oldMoray(t);
    double.hang('updateBucket', 1);
    await runAndKill(double, config, 'updateBucket', 1);
    t.equal(copiesIn(base).length, 1);
    const changed = damagedUuid(4);
    await client.put(IMAGES.name, changed, { ...rowValue(4), billing_tags: ['new'], description: 'new' });
    t.equal((await runHere(reindexCommand, ['-c', config, '-q', '-y'])).code, 0);
    await expectRows(t, double, 'afterwards', { [changed]: { billing_tags: ['new'], description: 'new' } });
    t.strictSame(copiesIn(base), []);
});

await t.test('what a server has written meanwhile is completed, not undone', async (t) => {
    const { double, client, base, config } = await oldMoray(t);
    // When the columns are there, and no row is back.
    await runAndKill(double, config, 'updateBucket', 1);
    t.equal(copiesIn(base).length, 1);
    const [, , , , , late] = await double.rows(IMAGES.name);
    if (late === undefined) throw new Error('no row');
    const { billing_tags: hidden, ...seen } = late.value;
    t.equal(hidden, undefined, 'nobody sees what is not back');
    await client.put(IMAGES.name, late.key, { ...seen, description: 'changed' });
    const gone = damagedUuid(7);
    await client.call('deleteObject', IMAGES.name, gone);
    const { code, stderr } = await runHere(reindexCommand, ['-c', config, '-q', '-y']);
    t.equal(code, 0, stderr.join('\n'));
    t.notOk(
        (await double.rows(IMAGES.name)).some(({ key }) => key === gone),
        'what was deleted stays so',
    );
    await client.put(IMAGES.name, gone, rowValue(7));
    await expectRows(t, double, 'afterwards', { [late.key]: { description: 'changed' } });
});

await t.test('a copy that is damaged, and rows that a column cannot take', async (t) => {
    const { double, client, base, config } = await oldMoray(t, ['urn']);
    const reindex = () => runHere(reindexCommand, ['-c', config, '-q', '-y']);
    await client.put(IMAGES.name, damagedUuid(3), { ...rowValue(3), urn: 'sdc:sdc:x:2' });
    const same = await reindex();
    t.equal(same.code, 252);
    t.match(same.stderr.join(), /have the same urn, which must be unique: nothing was changed/);
    t.strictSame(copiesIn(base), []);
    const twins = await runHere(fsckCommand, ['-c', config, '-q']);
    t.equal(twins.stdout.filter((line) => line.includes('error: duplicate-urn')).length, 2);
    await client.put(IMAGES.name, damagedUuid(3), rowValue(3));

    mkdirSync(join(base, 'run'), { recursive: true });
    const copy = join(base, 'run', 'reindex-20200101T000000Z.jsonl');
    const damaged = '{"bucket":"imgapi_images","columns":["urn"]}\n{"rows":7}\n';
    writeFileSync(copy, damaged);
    const fresh = await reindex();
    t.equal(fresh.code, 0, 'as long as no column is there, a copy of an earlier run is not needed');
    await expectRows(t, double, 'added anew');
    t.strictSame(copiesIn(base), []);

    for (const text of [damaged, 'nothing\n', '{"bucket":"imgapi_images","columns":["urn"]}\n']) {
        writeFileSync(copy, text);
        const refused = await reindex();
        t.equal(refused.code, 252, text);
        t.match(refused.stderr.join(), /reindex-20200101T000000Z.jsonl is (damaged|no copy of rows)/);
        t.equal(readFileSync(copy, 'utf8'), text, 'it is left for somebody to look at');
    }
    writeFileSync(join(base, 'run', 'reindex-20210101T000000Z.jsonl'), damaged);
    t.match((await reindex()).stderr.join(), /several copies of rows/);
    await expectRows(t, double, 'nothing was changed');
});
