import {
    chmodSync,
    chownSync,
    lchownSync,
    lstatSync,
    readdirSync,
    readFileSync,
    renameSync,
    rmSync,
    statSync,
    symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { DamagedTree, kindsOf, parseFindings } from '../helpers/damaged-tree.js';
import { gzipFile } from '../helpers/images.js';
import { temporaryDirectory } from '../helpers/server-process.js';

t.setTimeout(120_000);

/** Who the server runs as, where root runs the tool. */
const NOBODY = 65_534;
const FILE = gzipFile('the file of an image');

/** Another disk; tells how to put something of a tree there, with a link in its place. */
function otherDisk(t: Test, tree: DamagedTree): { readonly outsource: (path: string) => string } {
    const disk = temporaryDirectory();
    t.teardown(() => rmSync(disk, { recursive: true, force: true }));
    return {
        outsource: (path) => {
            const [here, there] = [join(tree.base, path), join(disk, newUuid())];
            renameSync(here, there);
            symlinkSync(there, here);
            return there;
        },
    };
}

void t.test('files behind links are as good as others', async (t) => {
    const tree = new DamagedTree(t);
    tree.many(3);
    const { outsource } = otherDisk(t, tree);
    const [file, directory, shelf] = [tree.good(), tree.good(), tree.good()];
    outsource(tree.path(file, 'file0'));
    outsource(dirname(tree.path(directory, 'file0')));
    outsource(dirname(dirname(tree.path(shelf, 'file0'))));
    for (const uuids of [[], [file, directory, shelf]]) {
        const run = await tree.run('repair', '-y', '-j', ...uuids);
        t.equal(run.code, 0, run.stderr);
        t.same(parseFindings(run.stdout).findings, []);
    }
});

void t.test('no link is garbage, and none is advised against', async (t) => {
    const tree = new DamagedTree(t);
    tree.many(8);
    const { outsource } = otherDisk(t, tree);
    const orphan = newUuid();
    const linked = newUuid();
    const good = tree.good();
    const orphans = [
        tree.path(orphan, 'file0'),
        tree.path(linked, 'file0'),
        tree.path(good, `file0.${newUuid()}`),
    ];
    const [one = '', two = '', three = ''] = orphans;
    for (const path of orphans) tree.put(path, FILE);
    outsource(one);
    outsource(dirname(two));
    outsource(three);
    const away = tree.record({ file: FILE });
    tree.put(tree.path(away, 'file0'), FILE);
    rmSync(outsource(tree.path(away, 'file0')));
    const wrong = tree.record({ file: FILE });
    tree.put(tree.path(wrong, 'file0'), 'not the file');
    const bytes = outsource(tree.path(wrong, 'file0'));
    const gc = await tree.run('gc', '-y', '-j', '--min-age', '0');
    t.equal(gc.code, 0, gc.stderr);
    t.same(parseFindings(gc.stdout).findings, []);
    const list = parseFindings((await tree.run('orphans', '-j')).stdout);
    t.match(kindsOf(tree.base, list.findings), orphans.map((path) => `foreign ${path}`).sort());
    const repair = await tree.run('repair', '-y', '-j');
    t.equal(repair.code, 1, repair.stderr);
    const { findings } = parseFindings(repair.stdout);
    t.same(
        kindsOf(tree.base, findings),
        [`corrupt ${tree.path(wrong, 'file0')}`, `missing ${tree.path(away, 'file0')}`].sort(),
    );
    for (const { commands, result } of findings) t.strictSame([commands, result], [undefined, 'left']);
    t.equal(readFileSync(bytes, 'utf8'), 'not the file');
});

void t.test('root is not stopped by the link of a record', { skip: process.getuid?.() !== 0 }, async (t) => {
    const tree = new DamagedTree(t);
    const { outsource } = otherDisk(t, tree);
    const uuid = tree.good();
    const record = outsource(`manifests/${uuid}.raw`);
    const others = Array.from({ length: 8 }, () => join(tree.base, `manifests/${tree.good()}.raw`));
    const giveAll = (path: string): void => {
        lchownSync(path, NOBODY, NOBODY);
        if (lstatSync(path).isDirectory()) readdirSync(path).forEach((name) => giveAll(join(path, name)));
    };
    giveAll(tree.base);
    for (const path of [record, ...others]) {
        chownSync(path, 0, 0);
        chmodSync(path, 0o600);
    }
    const run = await tree.run('repair', '-y', '-j');
    t.match(
        run,
        { code: 252, stderr: new RegExp(`EACCES: permission denied, open .*${uuid}`) },
        'as a server says',
    );
    t.ok(others.every((path) => statSync(path).uid === NOBODY));
    t.equal(statSync(record).uid, 0, 'not through the link');
});
