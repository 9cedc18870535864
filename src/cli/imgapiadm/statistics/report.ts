import { bytesText, countText } from '../../../base/quantities.js';
import type { Terminal } from '../terminal.js';
import type { Dimension, ImageStatistics } from './image-statistics.js';
import type { DirectoryUse, FreeSpace, SideDirectory } from './space.js';
import type { StrayFiles } from './stray-files.js';

/** What the API of a server does not tell, and the words for it. */
const LEFT_OUT = {
    icons: 'bytes of icons',
    strays: 'files that no manifest names, and damaged ones',
    directories: 'directories',
    unreadable: 'records that cannot be read',
    space: 'free space',
} as const;

export type LeftOut = keyof typeof LEFT_OUT;

/** All that was counted. */
export interface Statistics {
    readonly images: ImageStatistics;
    readonly dimensions: readonly Dimension[];
    /** Records that cannot be read; absent: nobody can tell. */
    readonly unreadable?: number;
    /** Absent: not asked for, not to be seen, or interrupted. */
    readonly strays?: StrayFiles;
    /** Storages that cannot be listed now; absent: none was to be listed. */
    readonly away?: readonly string[];
    readonly directories?: ReadonlyMap<SideDirectory, DirectoryUse>;
    /** Absent: nobody can tell. */
    readonly space?: FreeSpace;
    /** Absent: nothing, as the data themselves were looked at. */
    readonly leftOut?: readonly LeftOut[];
    readonly interrupted: boolean;
}

type Row = readonly [name: string, ...cells: string[]];

/** Most dead origins in a text; JSON has all. */
const MAX_SHOWN = 20;

function percent(part: number, whole: number): string {
    return whole === 0 ? '0 %' : `${Math.floor((part / whole) * 100)} %`;
}

function depthText(depth: number | undefined): string {
    return depth === undefined ? 'broken' : String(depth);
}

function useRows(uses: Iterable<readonly [string, DirectoryUse]>): Row[] {
    return [...uses].map(([name, { files, bytes }]) => [name, countText(files, 'file'), bytesText(bytes)]);
}

function freeRows({ freeBytes, totalBytes, freeInodes, totalInodes }: FreeSpace): Row[] {
    return [
        ['bytes', bytesText(freeBytes), `of ${bytesText(totalBytes)}`, percent(freeBytes, totalBytes)],
        ['inodes', String(freeInodes), `of ${totalInodes}`, percent(freeInodes, totalInodes)],
    ];
}

function leftOutText(leftOut: readonly LeftOut[], icons: number): string {
    const count = icons === 0 ? 'there are none' : `there ${icons === 1 ? 'is 1' : `are ${icons}`}`;
    return leftOut.map((what) => LEFT_OUT[what] + (what === 'icons' ? ` (${count})` : '')).join('; ');
}

/** Rows below a title, in columns. */
function table(terminal: Terminal, title: string, rows: readonly Row[]): void {
    if (rows.length === 0) {
        return;
    }
    const widths = rows.reduce<number[]>(
        (found, row) => row.map((cell, at) => Math.max(cell.length, found[at] ?? 0)),
        [],
    );
    terminal.line(`${title}:`);
    for (const row of rows) {
        const cells = row.map((cell, at) =>
            at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
        );
        terminal.line(`  ${cells.join('  ')}`);
    }
}

/** The statistics for people. */
export function printText(terminal: Terminal, facts: Statistics): void {
    const { images, dimensions, unreadable, strays, directories, space } = facts;
    const { total, largest, depths, deadOrigins } = images;
    terminal.line(`${countText(total.images, 'image')}, ${bytesText(total.bytes)}`);
    if (unreadable !== undefined && unreadable > 0) {
        terminal.line(`${countText(unreadable, 'record')} that cannot be read: see "imgapiadm fsck"`);
    }
    for (const dimension of dimensions) {
        const rows = images
            .by(dimension)
            .map(([value, { images: count, bytes }]): Row => [
                value,
                countText(count, 'image'),
                bytesText(bytes),
            ]);
        table(terminal, `By ${dimension}`, rows);
    }
    const large = largest.map(({ uuid, name, version, bytes }): Row => [
        `${uuid} ${name}@${version}`,
        bytesText(bytes),
    ]);
    table(terminal, 'Largest', large);
    const chains = [...depths].map(([depth, count]): Row => [depthText(depth), countText(count, 'image')]);
    table(terminal, 'By number of origins', chains);
    const dead = deadOrigins
        .slice(0, MAX_SHOWN)
        .map(({ uuid, reason, images: count }): Row => [uuid, reason, `of ${countText(count, 'image')}`]);
    table(terminal, 'Dead origins', dead);
    if (deadOrigins.length > dead.length) {
        terminal.line(`  and ${deadOrigins.length - dead.length} more`);
    }
    table(terminal, 'Files that no manifest names', useRows(strays?.counts ?? []));
    if (strays !== undefined && strays.damaged > 0) {
        terminal.line(`${countText(strays.damaged, 'file')} missing or damaged: see "imgapiadm check-files"`);
    }
    table(terminal, 'Directories', useRows(directories ?? []));
    table(terminal, 'Free', space === undefined ? [] : freeRows(space));
    if (facts.leftOut !== undefined) {
        terminal.line(`Not told by the API: ${leftOutText(facts.leftOut, images.untoldIcons)}`);
    }
    if (facts.interrupted) {
        terminal.line('interrupted: not everything was counted');
    }
}

/** The statistics as JSON lines. */
export function printJson(terminal: Terminal, facts: Statistics): void {
    const { images, dimensions, unreadable, strays, away, directories, space } = facts;
    const { leftOut, interrupted } = facts;
    const tell = (document: Readonly<Record<string, unknown>>): void =>
        terminal.line(JSON.stringify(document));
    for (const dimension of dimensions) {
        images.by(dimension).forEach(([value, count]) => tell({ by: dimension, value, ...count }));
    }
    images.largest.forEach((image) => tell({ largest: image }));
    images.depths.forEach((count, depth) => tell({ origins: depth ?? null, images: count }));
    images.deadOrigins.forEach((origin) => tell({ deadOrigin: origin }));
    strays?.counts.forEach((count, name) => tell({ strays: name, ...count }));
    directories?.forEach((use, name) => tell({ directory: name, ...use }));
    tell({
        summary: {
            ...images.total,
            ...(unreadable === undefined ? {} : { unreadable }),
            deadOrigins: images.deadOrigins.length,
            ...(strays === undefined ? {} : { damagedFiles: strays.damaged }),
            ...(away === undefined ? {} : { away }),
            ...space,
            ...(leftOut === undefined ? {} : { leftOut, untoldIcons: images.untoldIcons }),
            interrupted,
        },
    });
}
