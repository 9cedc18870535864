import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { UsageError } from '#lib/cli/imgapiadm/command.js';
import { minAgeOf } from '#lib/cli/imgapiadm/files/file-options.js';
import { MemoryDatabase } from '#lib/database/memory/memory-database.js';
import { surveyRecords } from '#lib/maintenance/files/survey-records.js';
import { AdminTool } from '../helpers/admin-tool.js';
import { changes, DamagedTree, goneDirectories, kindsOf, parseFindings } from '../helpers/damaged-tree.js';
import { gzipFile, PNG } from '../helpers/images.js';
import { record } from '../helpers/records.js';

t.setTimeout(120_000);

const FILE = gzipFile('the file of an image');
const OTHER = Buffer.from('x'.repeat(FILE.length));

/** Rows of operations 2.4 that `gc` is for, one image each, and what must stay. */
function damaged(t: Test): { tree: DamagedTree; garbage: readonly string[]; listed: readonly string[] } {
    const tree = new DamagedTree(t);
    tree.many(8);
    const upload = (): string => `file0.${newUuid()}`;
    const abandoned = tree.record({ activated: false });
    const left = tree.good();
    const sameSize = tree.record({ file: FILE });
    tree.put(tree.path(sameSize, 'file0'), FILE);
    const lost = newUuid();
    const behind = tree.good();
    const older = tree.record({ file: FILE });
    tree.put(tree.path(older, 'file0'), FILE);
    const garbage = [
        `abandoned ${tree.put(tree.path(abandoned, upload()), FILE)}`,
        `leftover ${tree.put(tree.path(left, upload()), FILE)}`,
        // Only the digests of both tell which one is the file.
        `leftover ${tree.put(tree.path(sameSize, 'file0.e2b0e2f4'), OTHER)}`,
        `orphan ${tree.put(tree.path(lost, 'file0'), FILE)}`,
        `orphan ${tree.put(tree.path(lost, 'icon'), PNG)}`,
        `orphan-file ${tree.put(tree.path(behind, 'file1'), FILE)}`,
        `orphan-file ${tree.put(tree.path(behind, 'icon'), PNG)}`,
        `leftover ${tree.put(`images/${older}/file0`, FILE)}`,
    ];
    const empty = `images/fff/${newUuid().replace(/^.../, 'fff')}`;
    for (const path of [empty, 'images/eee']) {
        mkdirSync(join(tree.base, path), { recursive: true });
        tree.age(path);
    }
    const recoverable = tree.record({ file: FILE });
    const legacy = tree.record({ file: FILE });
    const stray = tree.good();
    // Nothing of these is garbage, or old enough.
    tree.put(tree.path(left, upload()), FILE, 1);
    const missing = tree.record({ file: FILE });
    tree.put(tree.path(missing, upload()), OTHER);
    return {
        tree,
        garbage: [...garbage, `empty ${empty}`, 'empty images/eee'].sort(),
        listed: [
            `recoverable ${tree.put(tree.path(recoverable, 'file0.req-1'), FILE)}`,
            `legacy ${tree.put(`images/${legacy}/file0`, FILE)}`,
            `foreign ${tree.put(tree.path(stray, 'README'), 'stray')}`,
            `foreign ${tree.put('images/lost+found', 'stray')}`,
        ].sort(),
    };
}

function pathsOf(lines: readonly string[], ...kinds: readonly string[]): string[] {
    return lines
        .filter((line) => kinds.includes(line.slice(0, line.indexOf(' '))))
        .map((line) => line.slice(line.indexOf(' ') + 1));
}

void t.test('orphans lists, gc moves just the garbage to the trash', async (t) => {
    const { tree, garbage, listed } = damaged(t);
    const before = tree.snapshot();
    const list = await tree.run('orphans', '--json');
    t.equal(list.code, 1, list.stderr);
    t.same(kindsOf(tree.base, parseFindings(list.stdout).findings), [...garbage, ...listed].sort());
    const rehearsal = await tree.run('gc', '-n', '-j');
    t.equal(rehearsal.code, 1, rehearsal.stderr);
    t.same(kindsOf(tree.base, parseFindings(rehearsal.stdout).findings), garbage);
    t.same(changes(before, tree.snapshot()), [], 'looking changes nothing');

    const run = await tree.run('gc', '-y', '-j');
    t.equal(run.code, 0, run.stderr);
    const { findings, summary } = parseFindings(run.stdout);
    t.same(kindsOf(tree.base, findings), garbage);
    t.match(summary, { results: { moved: 8, removed: 2 }, dryRun: false, interrupted: false });
    const after = tree.snapshot();
    const [stamp = '', ...others] = readdirSync(join(tree.base, 'trash'));
    t.match(stamp, /^\d{8}T\d{6}Z$/);
    t.same(others, []);
    const files = garbage.filter((line) => !line.startsWith('empty '));
    const moved = pathsOf(files, ...new Set(files.map((line) => line.slice(0, line.indexOf(' ')))));
    t.same(
        changes(before, after),
        [...moved.sort().map((path) => `-${path}`), ...moved.map((path) => `+trash/${stamp}/${path}`)],
        'nothing else is touched',
    );
    for (const path of moved) t.equal(after.get(`trash/${stamp}/${path}`), before.get(path), path);
    const gone = goneDirectories(before, after);
    for (const path of pathsOf(garbage, 'empty')) t.ok(gone.includes(path), `${path} is removed`);
    t.ok(gone.every((path) => path.startsWith('images/')));

    const again = await tree.run('gc', '-y', '-j', '--min-age', '0');
    t.equal(again.code, 0, again.stderr);
    t.match(again.stderr, /younger than 24 hours stays: .*no server is running/);
    t.same(
        changes(after, tree.snapshot()),
        [],
        'what is young stays while nobody tells what is being uploaded',
    );
});

void t.test('what says that something else is wrong: nothing is touched', async (t) => {
    const tree = new DamagedTree(t);
    tree.many(3);
    tree.put(tree.path(newUuid(), 'file0'), FILE);
    const before = tree.snapshot();
    const refused = await tree.run('gc', '-y');
    t.equal(refused.code, 252);
    t.match(refused.stderr, /1 image without a manifest beside 3 with one.*--force/);
    tree.put(`manifests/${newUuid()}.raw`, '{"uuid": "');
    const unreadable = await tree.run('gc', '-y', '--force');
    t.equal(unreadable.code, 252);
    t.match(unreadable.stderr, /not all records can be read: manifests\/.*nothing is touched/);
    t.same(
        changes(before, tree.snapshot()).filter((change) => !change.startsWith('+manifests/')),
        [],
    );
    t.match(await tree.run('gc', '-y', 'x'), { code: 251, stderr: /too many arguments: x/ });
    t.match(await tree.run('gc'), { code: 251, stderr: /there is no terminal to ask on/ });
    const minAge = (text: string): number => minAgeOf({ values: new Map([['min-age', text]]) });
    t.same(['0', '24', '1.5'].map(minAge), [0, 86_400_000, 5_400_000]);
    for (const text of ['soon', '-1', '87601', '']) t.throws(() => minAge(text), UsageError, text);
});

void t.test('the trash is emptied after a week, quarantine after 90 days', async (t) => {
    const tree = new DamagedTree(t);
    tree.good();
    const stamp = (days: number): string =>
        new Date(Date.now() - days * 86_400_000).toISOString().replace(/[-:]|\.\d+/g, '');
    const uuid = newUuid();
    const gone = [
        tree.put(`trash/${stamp(8)}/images/abc/${uuid}/file0`, FILE),
        tree.put(`quarantine/${uuid}.raw.${stamp(91)}`, '{'),
    ];
    tree.put(`trash/${stamp(6)}/images/abc/${uuid}/file0`, FILE);
    tree.put(`trash/notes/${stamp(99)}`, 'of an operator');
    tree.put(`quarantine/${uuid}.raw.${stamp(89)}`, '{');
    const before = tree.snapshot();
    t.equal((await tree.run('gc', '-y')).code, 0);
    t.same(changes(before, tree.snapshot()), [], 'only when asked for');
    const run = await tree.run('gc', '-y', '--purge');
    t.equal(run.code, 0, run.stderr);
    t.same(changes(before, tree.snapshot()), gone.map((path) => `-${path}`).sort());
});

void t.test('kill -9 in the middle, Ctrl-C, then again', async (t) => {
    const tree = new DamagedTree(t);
    const uuid = tree.good();
    const garbage = Array.from({ length: 200 }, (_, index) =>
        tree.put(tree.path(uuid, `file0.${newUuid()}`), `bytes ${index}`),
    );
    const more = Array.from({ length: 200 }, () => {
        const good = tree.good();
        return tree.put(tree.path(good, `icon.${newUuid()}`), good);
    });
    const before = tree.snapshot();
    const first = new AdminTool(['gc', '-y', '-j', '-c', tree.configPath], tree.environment);
    await first.printed(20);
    first.signal('SIGKILL');
    t.equal((await first.exited).signal, 'SIGKILL');
    const second = new AdminTool(['gc', '-y', '-j', '-c', tree.configPath], tree.environment);
    await second.printed(5);
    second.signal('SIGINT');
    const told = await second.exited;
    t.equal(told.code, 130, 'Ctrl-C');
    t.match(parseFindings(told.stdout).summary, { interrupted: true, findings: Number });
    const third = await tree.run('gc', '-y', '-j');
    t.equal(third.code, 0, third.stderr);
    t.ok(Number(parseFindings(third.stdout).summary['findings']) > 0, 'there was something left');
    const after = tree.snapshot();
    const all = [...garbage, ...more];
    const inTrash = [...after].filter(([path, text]) => path.startsWith('trash/') && text !== 'directory');
    const kept = new Map(inTrash.map(([path, text]) => [path.split('/').slice(2).join('/'), text]));
    t.equal(inTrash.length, all.length, 'each is there once');
    t.same(
        all.filter((path) => kept.get(path) !== before.get(path)),
        [],
    );
    t.same(
        changes(before, after).filter((change) => change.startsWith('-')),
        all.map((path) => `-${path}`).sort(),
    );
    t.same(
        changes(before, after).filter((change) => change.startsWith('~')),
        [],
    );
});

void t.test('claims and journals keep gc off', async (t) => {
    const tree = new DamagedTree(t);
    tree.many(20);
    const uuids = Array.from({ length: 4 }, () => newUuid());
    const [deleted = '', uploaded = '', cloned = '', claimed = ''] = uuids;
    for (const uuid of uuids) tree.put(tree.path(uuid, 'file0'), FILE);
    for (const name of ['uploads', 'deletes', 'clones'])
        mkdirSync(join(tree.base, 'run', name), { recursive: true });
    const write = (path: string, value: unknown): void =>
        writeFileSync(join(tree.base, 'run', path), JSON.stringify(value));
    write(`deletes/${deleted}.0123456789abcdef.json`, { uuid: deleted, files: [] });
    write(`uploads/${uploaded}.0123456789abcdef.json`, { uuid: uploaded });
    write(`clones/${newUuid()}.0123456789abcdef.json`, { clones: [{ uuid: cloned, stor: 'local' }] });
    // Of a process of another machine, which nobody can look for.
    write(`uploads/${claimed}.file0.json`, { pid: 1, host: 'elsewhere', app: 'upload', at: '' });
    const before = tree.snapshot();
    const run = await tree.run('gc', '-y', '-j');
    t.equal(run.code, 0, run.stderr);
    t.same(changes(before, tree.snapshot()), []);
    t.match(parseFindings(run.stdout).summary, { results: { kept: 4 } });
});

void t.test('records of a database that holds none in memory are read in pages', async (t) => {
    const uuids = Array.from({ length: 2500 }, () => newUuid());
    const records = uuids.map((uuid, index) =>
        record({ uuid, published_at: index < 1200 ? '2020-01-01T00:00:00Z' : undefined }),
    );
    const searches: unknown[] = [];
    const database = new MemoryDatabase();
    for (const raw of records) await database.create(raw);
    const paged = surveyRecords({
        database: {
            search: (query) => {
                searches.push(query.limit);
                return database.search(query);
            },
        },
        current: (uuid) => database.get(uuid),
    });
    const seen: string[] = [];
    for await (const { raw } of paged.all()) seen.push(raw.uuid);
    t.same(seen.sort(), uuids.sort(), 'each once');
    t.same(searches, [1000, 1000, 1000]);
});
