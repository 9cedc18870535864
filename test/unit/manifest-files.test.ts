import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { IMAGES } from '#lib/database/moray/bucket.js';
import { exportManifests } from '#lib/cli/imgapiadm/export-manifests.js';
import { fsckCommand } from '#lib/cli/imgapiadm/fsck.js';
import { importManifests } from '#lib/cli/imgapiadm/import-manifests.js';
import { AdminTool, runTool } from '../helpers/admin-tool.js';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { MorayClient } from '../doubles/moray/client.js';
import { damagedUuid, goodRecord, plantConfig, plantRecord } from '../helpers/damaged-records.js';
import { differences, treeOf } from '../helpers/data-tree.js';
import { datacenterConfig } from '../helpers/datacenter.js';
import { GOLDEN, plantGolden } from '../helpers/golden-records.js';
import type { Document } from '../helpers/http-client.js';
import { USERS } from '../helpers/images.js';
import { startMoray } from '../helpers/moray-databases.js';
import { problemsForOthers, storedRecord } from '../helpers/record-rules.js';
import { eventually, temporaryDirectory } from '../helpers/server-process.js';
import { runHere } from '../helpers/subcommand-run.js';

t.setTimeout(120_000);

function place(t: Test, config: Readonly<Record<string, unknown>> = {}) {
    const base = temporaryDirectory();
    t.teardown(() => rmSync(base, { recursive: true, force: true }));
    mkdirSync(join(base, 'manifests'));
    return { base, config: plantConfig(base, config) };
}

function directory(t: Test): string {
    const path = temporaryDirectory();
    t.teardown(() => rmSync(path, { recursive: true, force: true }));
    return path;
}

/** A Moray with the bucket of images, and a data directory of a server that uses it. */
async function morayPlace(t: Test, config: Readonly<Record<string, unknown>> = {}) {
    const double = await startMoray(t);
    const client = await MorayClient.connect(double.port);
    t.teardown(() => client.close());
    await client.call('createBucket', IMAGES.name, { index: IMAGES.index });
    const moray = { host: '127.0.0.1', port: double.port };
    return { double, client, ...place(t, { databaseType: 'moray', ...config, moray }) };
}

function reported(lines: readonly string[]) {
    const documents = lines.map((line) => JSON.parse(line) as Document);
    return { summary: documents.pop()?.['summary'] as Document, documents };
}

const exporting = async (config: string, to: string, ...args: string[]) => {
    const run = await runHere(exportManifests, ['-c', config, '-d', to, '-j', '-q', ...args]);
    return { ...run, ...reported(run.stdout) };
};
const importing = async (config: string, from: string, ...args: string[]) => {
    const run = await runHere(importManifests, ['-c', config, '-d', from, '-j', '-q', '-y', ...args]);
    return { ...run, ...reported(run.stdout) };
};

await t.test('from a local database to Moray and back', async (t) => {
    const local = place(t);
    plantGolden(local.base, { mode: 'private', channels: false });
    const out = join(directory(t), 'a', 'b');
    const dry = await exporting(local.config, out, '-n');
    t.match(dry, { code: 0, summary: { wouldExport: GOLDEN.length, exported: 0 } });
    const first = await exporting(local.config, out);
    t.match(first, { code: 0, summary: { exported: GOLDEN.length } });
    const [given, written] = [join(local.base, 'manifests'), out].map((path) =>
        readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'utf8')]),
    );
    t.strictSame(written, given, 'byte for byte');
    rmSync(join(out, `${GOLDEN[3]?.uuid ?? ''}.raw`));
    t.match(await exporting(local.config, out), {
        code: 0,
        summary: { exported: 1, same: GOLDEN.length - 1 },
    });

    const moray = await morayPlace(t);
    const unknown = await importing(moray.config, out, '-n');
    t.match(unknown, { code: 1, summary: { unusable: 5, wouldImport: GOLDEN.length - 5 } });
    t.match(JSON.stringify(unknown.documents), /is not here to tell/, 'no guess becomes what is stored');
    plantGolden(moray.base, { mode: 'private', channels: false });
    writeFileSync(join(out, 'README'), 'not a record');
    t.match(await importing(moray.config, out, '-n'), {
        code: 0,
        summary: { wouldImport: GOLDEN.length, ignored: 1 },
    });
    t.equal((await moray.double.rows(IMAGES.name)).length, 0, 'a dry run stores nothing');
    const one = GOLDEN[5]?.uuid ?? '';
    t.match(await importing(moray.config, out, one), { code: 0, summary: { imported: 1, records: 1 } });
    t.match(await importing(moray.config, out), {
        code: 0,
        summary: { imported: GOLDEN.length - 1, same: 1 },
    });
    t.match(await importing(moray.config, out), { code: 0, summary: { imported: 0, same: GOLDEN.length } });

    const back = directory(t);
    t.match(await exporting(moray.config, back), { code: 0, summary: { exported: GOLDEN.length } });
    t.match(await importing(local.config, back), { code: 0, summary: { same: GOLDEN.length } });
    const empty = place(t);
    plantGolden(empty.base, { mode: 'private', channels: false });
    rmSync(join(empty.base, 'manifests'), { recursive: true });
    t.match(await importing(empty.config, back), { code: 0, summary: { imported: GOLDEN.length } });
    for (const { uuid, name } of GOLDEN) {
        const { raw } = storedRecord(empty.base, uuid);
        const { requirements, ...others } = raw;
        const judged = typeof requirements === 'number' ? others : raw;
        t.strictSame(problemsForOthers(judged, { mode: 'private', channels: false }), [], name);
    }
    t.equal(
        readdirSync(join(empty.base, 'archive'), { recursive: true }).filter((path) =>
            String(path).endsWith('.json'),
        ).length,
        GOLDEN.length,
    );
});

await t.test('what is there already is not replaced unless it is asked for', async (t) => {
    const { base, config } = place(t);
    const from = directory(t);
    plantRecord(base, `${damagedUuid(1)}.raw`, goodRecord(1));
    plantRecord(base, `${damagedUuid(2)}.raw`, goodRecord(2));
    plantRecord(base, `${damagedUuid(3)}.raw`, '{"cut"');
    const files: Readonly<Record<string, string>> = {
        [`${damagedUuid(1)}.raw`]: JSON.stringify(goodRecord(1, { acl: undefined })),
        [`${damagedUuid(2)}.raw`]: JSON.stringify(goodRecord(2, { description: 'another' })),
        [`${damagedUuid(3)}.raw`]: JSON.stringify(goodRecord(3)),
        [`${damagedUuid(4)}.raw`]: JSON.stringify(goodRecord(4, { os: 'plan9' })),
        [`${damagedUuid(5)}.raw`]: JSON.stringify(goodRecord(6)),
        [`${damagedUuid(7)}.raw`]: 'no record',
        [`${damagedUuid(8)}.raw`]: JSON.stringify(goodRecord(8)),
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(from, name), text);
    const before = treeOf(join(base, 'manifests'));
    const results = ({ documents }: { readonly documents: readonly Document[] }) =>
        Object.fromEntries(documents.map((one) => [one['uuid'] ?? one['file'], one['result']])) as Document;
    const refused = await importing(config, from);
    t.equal(refused.code, 1);
    t.match(results(refused), {
        [damagedUuid(2)]: 'differs',
        [damagedUuid(3)]: 'differs',
        [damagedUuid(4)]: 'unusable',
        [damagedUuid(5)]: 'unusable',
        [`${damagedUuid(7)}.raw`]: 'unusable',
        [damagedUuid(8)]: 'imported',
    });
    t.match(JSON.stringify(refused.documents), /invalid image os/);
    t.equal(refused.summary['same'], 1, 'the same in another form');
    t.strictSame(differences(before, treeOf(join(base, 'manifests'))), [`+ ${damagedUuid(8)}.raw`]);

    const intended = await importing(config, from, '--force', '-n');
    t.match(intended.summary, { wouldReplace: 2, replaced: 0 });
    const forced = await importing(config, from, '--force');
    t.equal(forced.code, 1, 'what is no record is still refused');
    t.match(results(forced), { [damagedUuid(2)]: 'replaced', [damagedUuid(3)]: 'replaced' });
    t.equal(storedRecord(base, damagedUuid(2)).raw['description'], 'another');
    t.equal(readdirSync(join(base, 'quarantine')).length, 1, 'what nobody could use is kept');

    plantRecord(base, `${damagedUuid(9)}.raw`, '{');
    const out = directory(t);
    writeFileSync(join(out, `${damagedUuid(1)}.raw`), 'older');
    const kept = await exporting(config, out);
    t.equal(kept.code, 1);
    t.match(results(kept), { [damagedUuid(1)]: 'differs', [`${damagedUuid(9)}.raw`]: 'unusable' });
    t.equal(readFileSync(join(out, `${damagedUuid(1)}.raw`), 'utf8'), 'older');
    t.match(results(await exporting(config, out, '--force', damagedUuid(1), damagedUuid(77))), {
        [damagedUuid(1)]: 'exported',
        [damagedUuid(77)]: 'absent',
    });
});

await t.test('command lines', async (t) => {
    const { base, config } = place(t);
    const status = async (...args: string[]) =>
        (await runHere(exportManifests, ['-c', config, '-q', ...args])).code;
    t.equal(await status(), 251);
    t.equal(await status('-d', ''), 251);
    t.equal(await status('-d', base, 'x'), 251);
    t.equal(await status('-d', join(base, 'manifests')), 251, 'the records of the server itself');
    t.equal(await status('-d', join(base, 'etc', 'imgapi.config.json')), 252);
    t.match(await runHere(importManifests, ['-c', config, '-d', base]), { code: 251 });
    t.match(await runHere(importManifests, ['-c', config, '-y', '-d', join(base, 'none')]), { code: 252 });
});

await t.test('records in Moray are checked and repaired, owners looked up', async (t) => {
    const ufds = await UfdsDouble.start();
    t.teardown(() => ufds.stop());
    const { double, client, config } = await morayPlace(t, {
        ...datacenterConfig(ufds.config),
        databaseType: 'moray',
    });
    const known = { owner: USERS.vader };
    const put = (n: number, changes: Document, key = damagedUuid(n)) =>
        client.put(IMAGES.name, key, goodRecord(n, { ...known, ...changes }));
    await put(1, {});
    await put(2, { owner: damagedUuid(99) });
    await put(3, { state: 'disabled' });
    await put(4, { tags: ['a=b'] });
    await put(5, { published_at: undefined });
    await put(6, {}, damagedUuid(7));
    await put(8, { public: 'false', disabled: 'false', objectclass: 'sdcimage', owner: USERS.luke });
    await put(9, {
        state: 'failed',
        activated: false,
        type: 'null',
        os: 'null',
        files: undefined,
        published_at: undefined,
        expires_at: '2020-01-01T00:00:00.000Z',
    });
    await client.put(IMAGES.name, 'no-uuid', { name: 'x' });
    const fsck = async (...args: string[]) => {
        const run = await runHere(fsckCommand, ['-c', config, '-j', '-q', ...args]);
        const { documents, summary } = reported(run.stdout);
        const found = documents.map((one) => {
            const place = (one['uuid'] ?? one['file'] ?? '') as string;
            return [place.slice(-2), one['check'], one['severity'], one['result']].join(' ');
        });
        return { ...run, documents, summary, found };
    };
    const all = await fsck();
    t.equal(all.code, 1, all.stderr.join());
    t.strictSame(all.found, [
        '02 owner warn found',
        '03 state error found',
        '04 tags warn found',
        '05 published-at warn found',
        '07 uuid error found',
        '08 old-form info found',
        '09 expired warn found',
        'id foreign warn found',
    ]);
    const before = await double.rows(IMAGES.name);
    double.resetRpcCounts();
    t.equal((await fsck('--fix-safe', '-n')).code, 1);
    t.notOk('putObject' in double.rpcCounts || 'delObject' in double.rpcCounts, 'a dry run writes nothing');
    const repaired = await fsck('--fix-safe', '-y');
    t.strictSame(
        repaired.found.filter((one) => one.endsWith('fixed')).map((one) => one.slice(0, 2)),
        ['03', '04', '05', '08', '09'],
        JSON.stringify(repaired.documents),
    );
    const after = await double.rows(IMAGES.name);
    const changed = before.flatMap(({ key, _etag: etag }) => {
        const now = after.find((row) => row.key === key);
        return now?._etag === etag ? [] : [`${key.slice(-2)}${now === undefined ? ' gone' : ''}`];
    });
    t.strictSame(changed, ['03', '04', '05', '08', '09 gone']);
    const value = (n: number) => after.find(({ key }) => key === damagedUuid(n))?.value;
    t.match(value(3), { state: 'active' });
    t.match(value(4), { tags: ['a=b'], tagsObj: { a: 'b' } });
    t.match(value(5), { published_at: '2020-01-01T00:00:01.000Z' });
    t.notOk('objectclass' in (value(8) ?? {}));
    t.strictSame((await fsck()).found, [
        '02 owner warn found',
        '07 uuid error found',
        'id foreign warn found',
    ]);

    double.resetRpcCounts();
    const gate = double.pauseMethod('findObjects');
    const stopped = new AdminTool(['fsck', '-c', config, '-j', '-q']);
    await eventually('a search', 20_000, () => 'findObjects' in double.rpcCounts);
    stopped.signal('SIGINT');
    const { code, stdout, stderr } = await stopped.exited;
    gate.resume();
    t.equal(code, 130, stderr);
    t.match(reported(stdout).summary, { records: 0, interrupted: true }, 'what there is of a summary');

    await client.call('deleteObject', IMAGES.name, 'no-uuid');
    await client.call('deleteObject', IMAGES.name, damagedUuid(7));
    ufds.fault = 'hang-up';
    const blind = await fsck(damagedUuid(1));
    t.equal(blind.code, 1, 'nobody can say that all is well');
    t.match(blind.documents, [{ check: 'unchecked', severity: 'warn', message: /^owners: .*unavailable/ }]);
    await double.stop();
    const started = Date.now();
    const away = await runTool(['fsck', '-c', config, '-q']);
    t.equal(away.code, 252, away.stdout.join());
    t.ok(Date.now() - started < 15_000, 'it does not try for ever');
});
