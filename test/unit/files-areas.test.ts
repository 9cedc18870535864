import { existsSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import type { Invocation } from '#lib/cli/imgapiadm/command.js';
import { foreignAreaText } from '#lib/cli/imgapiadm/files/foreign-area.js';
import { ImageRepair } from '#lib/cli/imgapiadm/files/image-repair.js';
import { openFiles } from '#lib/cli/imgapiadm/files/open-files.js';
import { gc } from '#lib/cli/imgapiadm/gc.js';
import { terminalLog } from '#lib/cli/imgapiadm/offline/terminal-log.js';
import type { ImagePlace } from '#lib/maintenance/files/file-area.js';
import type { FoundFile } from '#lib/maintenance/files/finding.js';
import { MantaFileArea } from '#lib/maintenance/files/manta-file-area.js';
import { DamagedTree, parseFindings } from '../helpers/damaged-tree.js';
import { gzipFile } from '../helpers/images.js';
import { altered, startMantaArea } from '../helpers/manta-area.js';
import { runHere } from '../helpers/subcommand-run.js';

t.setTimeout(120_000);

const FILE = gzipFile('the file of an image');
const MARKER = 'run/owner.json';
const HOUR_MS = 3_600_000;

/** What an instance at work says in an area, some time ago. */
function marker(instance: string, ageMs = 0): string {
    const time = new Date(Date.now() - ageMs).toISOString();
    return JSON.stringify({ instance, host: 'elsewhere', time });
}

/** A Manta area with the file of an image that has no manifest here, and a tree that uses it. */
async function withOrphan(t: Test) {
    const area = await startMantaArea(t);
    const instanceUuid = newUuid();
    const tree = new DamagedTree(t, { manta: area.config, instanceUuid });
    tree.many(8);
    const uuid = newUuid();
    await area.put(`images/${uuid.slice(0, 3)}/${uuid}/file0`, FILE);
    return { ...area, tree, uuid, instanceUuid };
}

void t.test('files that another host has in the same Manta area are not touched', async (t) => {
    const { double, rootDir, put, tree, instanceUuid } = await withOrphan(t);
    await put(MARKER, marker(newUuid()));
    const before = double.objects(rootDir);
    for (const subcommand of ['orphans', 'gc', 'repair']) {
        const args = subcommand === 'orphans' ? [] : ['-y'];
        const force = subcommand === 'gc' ? ['--force'] : [];
        const run = await tree.run(subcommand, '-j', ...args, ...force);
        t.equal(run.code, 1, run.stderr);
        t.match(run.stderr, /storage manta cannot be used now.*another host uses this Manta area: elsewhere/);
        t.same(parseFindings(run.stdout).findings, [], subcommand);
    }
    t.same(double.objects(rootDir), before);
    for (const [instance, age] of [
        [instanceUuid, 0],
        [newUuid(), 3 * HOUR_MS],
    ] as const) {
        await put(MARKER, marker(instance, age));
        const { findings } = parseFindings((await tree.run('orphans', '-j', '--min-age', '0')).stdout);
        t.match(findings, [{ kind: 'orphan', stor: 'manta' }], "its own, or nobody's any more");
    }
});

void t.test('nor if the other one has come since, but datacenters share an area', async (t) => {
    const { put, tree } = await withOrphan(t);
    const command = {
        ...gc,
        run: async (invocation: Invocation): Promise<number> => {
            const files = await openFiles(invocation, 'reading');
            try {
                await files.requireOwnAreas();
                await put(MARKER, marker(newUuid()));
                await t.rejects(
                    files.requireOwnAreas(),
                    /another host uses this Manta area.*nothing is touched/,
                );
                const { data } = files;
                const log = terminalLog(invocation.terminal);
                t.match(await foreignAreaText(data, log), /elsewhere/);
                const shared = { ...data, config: { ...data.config, mode: 'dc' as const } };
                t.equal(await foreignAreaText(shared, log), undefined);
                return 0;
            } finally {
                await files.close();
            }
        },
    };
    const { code, stderr } = await runHere(command, ['-c', tree.configPath, '-y']);
    t.equal(code, 0, stderr.join('\n'));
});

void t.test('what a server puts under a name while it is moved away stays', async (t) => {
    const { objects, rootDir, put, read } = await startMantaArea(t);
    const uuid = newUuid();
    const path = `images/${uuid.slice(0, 3)}/${uuid}/file0`;
    await put(path, 'abandoned');
    const committing = altered(objects, {
        remove: async (...args) => {
            await put(path, 'committed');
            return objects.remove(...args);
        },
    });
    const area = new MantaFileArea(committing, rootDir);
    const find = async () => (await area.places(uuid))[0]?.entries[0];
    const found = await find();
    if (found === undefined) throw new Error('nothing is found');
    const to = area.trashPathOf(found.path, 'now');
    t.equal(await area.move(found, to), false);
    t.equal(await read(path), 'committed');
    const quiet = new MantaFileArea(objects, rootDir);
    const again = await find();
    t.equal(again && (await quiet.move(again, to)), true);
    await t.rejects(read(path), 'moved when nobody interferes');
});

const SHM = statSync('/dev/shm', { throwIfNoEntry: false });
const skip = SHM === undefined || SHM.dev === statSync(tmpdir()).dev ? 'no second file system' : false;

void t.test('gc says it when the trash is out of reach', { skip }, async (t) => {
    const tree = new DamagedTree(t);
    tree.many(3);
    const images = join(tree.base, 'images');
    const other = mkdtempSync('/dev/shm/imgapi-');
    t.teardown(() => rmSync(other, { recursive: true, force: true }));
    renameSync(images, `${images}-before`);
    symlinkSync(other, images);
    const uuid = newUuid();
    tree.put(tree.path(uuid, 'file0'), FILE);
    const run = await tree.run('gc', '-y', '--force');
    t.equal(run.code, 252, run.stderr);
    t.match(run.stderr, /images is on another file system than .*trash.*nothing is touched/);
    t.ok(statSync(join(tree.base, tree.path(uuid, 'file0'))).isFile());
    t.equal(statSync(join(tree.base, 'trash'), { throwIfNoEntry: false }), undefined);
});

void t.test('repair reads no bytes while it keeps uploads off', async (t) => {
    const tree = new DamagedTree(t);
    const uuid = tree.record({ file: FILE });
    tree.put(tree.path(uuid, `file0.${newUuid()}`), FILE);
    const claim = join(tree.base, 'run/uploads', `${uuid}.file0.json`);
    const reads: boolean[] = [];
    const command = {
        ...gc,
        run: async (invocation: Invocation): Promise<number> => {
            const files = await openFiles(invocation, 'reading');
            try {
                const areas = files.areas.map((area) =>
                    Object.assign(Object.create(area) as typeof area, {
                        places: (id: string) => area.places(id),
                        pathOf: (id: string, name: string) => area.pathOf(id, name),
                        problems: (place: ImagePlace) => area.problems(place),
                        move: (file: FoundFile, path: string) => area.move(file, path),
                        removeDirectory: (path: string) => area.removeDirectory(path),
                        digests: (file: FoundFile, signal: AbortSignal) => {
                            reads.push(existsSync(claim));
                            return area.digests(file, signal);
                        },
                    }),
                );
                const { signal } = new AbortController();
                const repair = new ImageRepair(uuid, {
                    files: { ...files, areas },
                    depth: 'all',
                    fromArchive: false,
                    changesRecords: false,
                    signal,
                });
                t.match(await repair.run(new Set()), [{ result: 'repaired' }]);
                return 0;
            } finally {
                await files.close();
            }
        },
    };
    const { code, stderr } = await runHere(command, ['-c', tree.configPath, '-y']);
    t.equal(code, 0, stderr.join('\n'));
    t.ok(reads.length > 0);
    t.notOk(reads.includes(true), 'none with a claim');
});
