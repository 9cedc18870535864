// A backup to Manta that is killed at each of its calls: whoever restores what is there by then gets images
// that are what their records say, each as before or as after, and the next backup puts everything right
// (operations 3.2).
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HoldPoint } from '../doubles/call-rules.js';
import type { CallMatch } from '../doubles/manta/faults.js';
import { backupPlace, replaceImageFile, type BackupPlace } from '../helpers/backup-place.js';
import { differences, type Tree } from '../helpers/data-tree.js';
import { imageDirectory, sha1Hex } from '../helpers/images.js';
import { AT_ALL_POINTS } from '../helpers/killed-storages.js';
import { startMantaArea, type MantaArea } from '../helpers/manta-area.js';

t.setTimeout(900_000);

/** What is no file: in how many steps it is made or removed differs a little from run to run. */
const DIRECTORY = /(?:^|\/)(?:\w{3}|[0-9a-f-]{36}|images|manifests|next)$/;
/** Larger than what is stored by a single call. */
const LARGE = 1_500_000;
/** What changes something in Manta; between two of them nothing is different. */
const CHANGES: CallMatch = { kind: ['put', 'link', 'mkdir', 'delete'] };

interface Killed {
    readonly place: BackupPlace;
    /** Where backups are restored to. */
    readonly other: BackupPlace;
    readonly area: MantaArea;
    readonly root: string;
    /** Lets a backup have something of everything to do. */
    readonly change: () => void;
}

/** An image that can be removed and put back. */
function keepImage(base: string, uuid: string) {
    const [directory, raw] = [imageDirectory(base, uuid), join(base, 'manifests', `${uuid}.raw`)];
    const [record, file] = [readFileSync(raw), readFileSync(join(directory, 'file0'))];
    return {
        remove: () => {
            rmSync(raw);
            rmSync(directory, { recursive: true });
        },
        putBack: () => {
            mkdirSync(directory);
            writeFileSync(join(directory, 'file0'), file);
            writeFileSync(raw, record);
        },
    };
}

async function setUp(t: Test): Promise<Killed> {
    const area = await startMantaArea(t);
    const place = backupPlace(t, 12, { manta: area.config });
    const other = backupPlace(t, 0, { manta: area.config });
    const { base, images } = place;
    const uuidOf = (index: number): string => images[index]?.fixture.uuid ?? '';
    const both = [7, 8].map((index) => keepImage(base, uuidOf(index)));
    both[1]?.remove();
    const change = (): void => {
        replaceImageFile(base, uuidOf(0), randomBytes(LARGE));
        // The same size: only the time, and the bytes, tell.
        replaceImageFile(base, uuidOf(3), randomBytes(500), 'icon');
        replaceImageFile(base, uuidOf(4), randomBytes(500));
        replaceImageFile(base, uuidOf(4), randomBytes(500), 'icon');
        // One goes, the other one comes back.
        both[0]?.remove();
        both.reverse()[0]?.putBack();
    };
    return { place, other, area, root: `${area.rootDir}/backup`, change };
}

/** Files that are not what the records beside them say. */
function mismatches(files: Tree): readonly string[] {
    return [...files].flatMap(([path, text]) => {
        const [, uuid] = /^manifests\/(.*)\.raw$/.exec(path) ?? [];
        if (uuid === undefined) return [];
        const { files: named = [], icon } = JSON.parse(text) as Record<'files' | 'icon', never> as {
            readonly files?: readonly { readonly sha1: string }[];
            readonly icon?: { readonly sha1: string };
        };
        const wanted = named.map(({ sha1 }, index) => ({ name: `file${index}`, sha1 }));
        if (icon !== undefined) wanted.push({ name: 'icon', sha1: icon.sha1 });
        return wanted.flatMap(({ name, sha1 }) => {
            const file = files.get(`images/${uuid.slice(0, 3)}/${uuid}/${name}`);
            const isRight = file !== undefined && sha1Hex(Buffer.from(file, 'latin1')) === sha1;
            return isRight ? [] : [`${uuid} ${name}`];
        });
    });
}

/** The bytes of an object, whatever becomes of connections. */
function storedAt({ double, options }: MantaArea, path: string): string {
    const entry = double.entry(path);
    if (entry?.type !== 'object') throw new Error(`no object at ${path}`);
    return readFileSync(join(options.directory, 'blobs', entry.blob), 'latin1');
}

/** What somebody restores who knows of two directories alone, as the existing server's script does. */
function treesOf({ area, root }: Killed): Tree {
    const files = new Map<string, string>();
    for (const path of ['images', 'manifests'].flatMap((name) => area.double.objects(`${root}/${name}`))) {
        files.set(path.slice(root.length + 1), storedAt(area, path));
    }
    return files;
}

function imagesIn(data: Tree): ReadonlyMap<string, string> {
    const images = new Map<string, string>();
    for (const [path, text] of [...data].sort()) {
        const [, uuid] = /^(?:images\/...|manifests)\/([0-9a-f-]{36})/.exec(path) ?? [];
        if (uuid !== undefined) images.set(uuid, `${images.get(uuid) ?? ''}\n${path}: ${sha1Hex(text)}`);
    }
    return images;
}

/** What was restored has each image as before or as after. */
function expectEither(t: Test, restored: Tree, before: Tree, after: Tree): void {
    const [found, old, now] = [imagesIn(restored), imagesIn(before), imagesIn(after)];
    // Deleting, files may stay alone for a moment.
    const records = [...restored.keys()].filter((path) => path.startsWith('manifests/'));
    const uuids = records.map((path) => path.slice('manifests/'.length, -'.raw'.length));
    const wrong = uuids.filter((uuid) => ![old.get(uuid), now.get(uuid)].includes(found.get(uuid)));
    t.strictSame(wrong, [], 'each image is as before or as after');
    const lost = [...old.keys()].filter((uuid) => now.has(uuid) && !uuids.includes(uuid));
    t.strictSame(lost, [], 'none is gone');
    t.strictSame(mismatches(restored), []);
}

/** A call at which a backup is killed. */
interface Point {
    readonly when: HoldPoint;
    readonly nth: number;
    readonly kind: string;
    /** What the call was about in a run that was not killed, below the backup. */
    readonly path: string;
}

/** The calls of the last backup: all, or those about files of an image that is replaced, and one of each other kind. */
function pointsOf({ place, area, root }: Killed): readonly Point[] {
    const calls = area.double
        .requests(CHANGES)
        .map(({ kind, path }, nth) => ({ kind, path: path.slice(root.length + 1), nth }));
    const seen = new Set<string>();
    return calls.flatMap(({ kind, path, nth }): readonly Point[] => {
        const isReplaced = path.includes(place.images[0]?.fixture.uuid ?? '');
        const role = `${kind} ${isReplaced ? path : path.replace(/\/[0-9a-f]{3}\/|[0-9a-f-]{36}/g, '')}`;
        const isOther = /^(?:put|delete) images/.test(role) && !seen.has(role);
        const isWanted = AT_ALL_POINTS || ((isReplaced || isOther) && /(?:file0|\.raw)$/.test(path));
        seen.add(role);
        const after: Point = { when: 'after', nth, kind, path };
        return [
            ...(AT_ALL_POINTS && nth === 0 ? [{ ...after, when: 'before' } as const] : []),
            ...(isWanted ? [after] : []),
        ];
    });
}

async function killAt(t: Test, killed: Killed, { when, nth, path }: Point): Promise<void> {
    const { place, other, area, root, change } = killed;
    const before = place.data();
    change();
    const after = place.data();
    const hold = area.double.hold({ ...CHANGES, skip: nth, times: 1 }, when);
    const backup = place.start('backup', '-y', '-p', '1');
    const ended = await Promise.race([hold.arrived(), backup.exited]);
    backup.signal('SIGKILL');
    if (ended !== undefined && DIRECTORY.test(path)) t.match(ended, { code: 0 }, 'there was no such call');
    else t.match(await backup.exited, { signal: 'SIGKILL' }, 'killed at that call');
    hold.drop();
    area.double.clearFaults();
    area.double.cutConnections();

    t.strictSame(mismatches(treesOf(killed)), [], 'nothing but the trees is looked at');
    other.wipe('etc');
    const restored = await other.here('restore', '-y', '--checksum');
    t.equal(restored.code, 0, 'restored');
    if (restored.code !== 0) t.comment(restored.stderr, restored.stdout);
    expectEither(t, other.data(), before, after);

    const next = await place.here('backup', '-y', '-p', '1');
    t.equal(next.code, 0, 'backed up');
    if (next.code !== 0) t.comment(next.stderr, next.stdout);
    t.strictSame(differences(imagesAlone(after), treesOf(killed)), [], 'the next backup has everything');
    t.strictSame(area.double.objects(`${root}/next`), []);
}

function imagesAlone(data: Tree): Tree {
    return new Map([...data].filter(([path]) => /^(?:images|manifests)\//.test(path)));
}

for (const snaplinks of AT_ALL_POINTS ? [true, false] : [true]) {
    await t.test(`with links ${snaplinks ? 'allowed' : 'refused'}`, async (t) => {
        const killed = await setUp(t);
        const { place, area, change } = killed;
        area.double.snaplinks = snaplinks;
        t.match(await place.here('backup', '-y', '-p', '1'), { code: 0 });
        change();
        area.double.clearRequests();
        t.match(await place.here('backup', '-y', '-p', '1'), { code: 0 });
        for (const point of pointsOf(killed)) {
            const { when, nth, kind, path } = point;
            await t.test(`${when} call ${nth + 1}, like ${kind} of ${path}`, (t) => killAt(t, killed, point));
        }
    });
}
