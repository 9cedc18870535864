import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writeFileDurably } from '../../base/durable-files.js';
import { forEachParallel } from '../../base/parallel.js';
import { unlessMissing } from '../../base/unless-missing.js';
import type { Invocation, Subcommand } from './command.js';
import { REPORT_OPTIONS } from './common-options.js';
import { failureText } from './failure-text.js';
import { DIRECTORY_OPTION, directoryOption, requireOther } from './manifests/directory-option.js';
import { channelsOf } from './fsck/channel-check.js';
import { DATA_OPTIONS, serverInsteadOfData, wantedChannel } from './offline/data-options.js';
import { titleOf, type ResultWords } from './records/record-report.js';
import { reportOnRecords, runOnRecords, type RecordParts, type ReportParts } from './records/record-run.js';
import { openShownRecords, type ShownRecords } from './records/shown-records.js';
import type { StoredEntry } from './records/stored-records.js';
import type { ServerAccess } from './server-access.js';
import { countText } from '../../base/quantities.js';
import type { Terminal } from './terminal.js';
import { uuidArguments } from './uuid-arguments.js';

/** Files written at the same time. */
const PARALLEL = 8;

const RESULTS = {
    exported: { text: 'exported', count: 'exported' },
    'would-export': { text: 'would be exported', count: 'wouldExport' },
    same: { text: 'there already', count: 'same', isSilent: true },
    differs: {
        text: 'left, the file there has another content: --force replaces it',
        count: 'differs',
        isBad: true,
    },
    unusable: { text: 'left out', count: 'unusable', isBad: true },
    absent: { text: 'no such image', count: 'absent', isBad: true },
    failed: { text: 'failed', count: 'failed', isBad: true },
} as const satisfies Readonly<Record<string, ResultWords>>;

type Result = keyof typeof RESULTS;

/** What to do with which records. */
interface Order {
    readonly directory: string;
    readonly force: boolean;
    readonly dryRun: boolean;
    /** Only images in this one; `undefined`: all. */
    readonly channel: string | undefined;
}

/** Writes one record, unless the file is there. @throws the file system's error */
async function exportOne(uuid: string, text: string, { directory, force, dryRun }: Order): Promise<Result> {
    const path = join(directory, `${uuid}.raw`);
    const present = await unlessMissing(readFile(path, 'utf8'));
    if (present === text) {
        return 'same';
    }
    if (present !== undefined && !force) {
        return 'differs';
    }
    if (!dryRun) {
        await writeFileDurably(path, text);
    }
    return dryRun ? 'would-export' : 'exported';
}

/** @returns whether it is one of those that are wanted */
async function take(
    entry: StoredEntry,
    order: Order,
    { report }: Pick<ReportParts<Result>, 'report'>,
): Promise<boolean> {
    if (entry.kind !== 'record') {
        if (entry.kind === 'unparsable') {
            report.add({ place: entry.file, result: 'unusable', reason: entry.reason });
        }
        return true;
    }
    const { uuid, text, current } = entry;
    if (order.channel !== undefined && !channelsOf(current).includes(order.channel)) {
        return false;
    }
    const facts = { place: uuid, image: titleOf(entry) };
    try {
        report.add({ ...facts, result: await exportOne(uuid, text, order) });
    } catch (error) {
        report.add({ ...facts, result: 'failed', reason: failureText(error) });
    }
    return true;
}

/** Writes what is stored. */
async function exportData(order: Order, uuids: readonly string[], parts: RecordParts<Result>): Promise<void> {
    const { data, records, report, signal } = parts;
    await requireOther(order.directory, data.directories.manifests);
    if (!order.dryRun) {
        await makeDirectory(order.directory);
    }
    parts.progress(uuids.length > 0 ? uuids.length : data.database.held?.size);
    if (uuids.length === 0) {
        await forEachParallel(records.entries(signal), PARALLEL, async (entry) => {
            signal.throwIfAborted();
            await take(entry, order, parts);
        });
    }
    for (const uuid of uuids) {
        signal.throwIfAborted();
        const entry = await records.find(uuid);
        if (entry === undefined || !(await take(entry, order, parts))) {
            report.add({ place: uuid, result: 'absent' });
        }
    }
}

/** Writes what a running server shows. */
async function exportShown(
    shown: ShownRecords,
    order: Order,
    uuids: readonly string[],
    parts: ReportParts<Result>,
): Promise<void> {
    const { report, signal } = parts;
    const wanted = new Set(uuids);
    const taken = new Set<string>();
    if (!order.dryRun) {
        await makeDirectory(order.directory);
    }
    parts.progress(uuids.length > 0 ? uuids.length : shown.size);
    await forEachParallel(shown.entries(), PARALLEL, async (entry) => {
        signal.throwIfAborted();
        const { uuid = '' } = entry;
        if ((wanted.size === 0 || wanted.has(uuid)) && (await take(entry, order, parts))) {
            taken.add(uuid);
        }
    });
    for (const uuid of uuids.filter((one) => !taken.has(one))) {
        report.add({ place: uuid, result: 'absent' });
    }
    if (shown.hidden > 0 && uuids.length === 0) {
        const reason = `${countText(shown.hidden, 'record')} that the server cannot use`;
        report.add({ place: 'manifests/', result: 'unusable', reason });
    }
}

async function exportThrough(
    access: ServerAccess,
    order: Order,
    uuids: readonly string[],
    { terminal, parts }: { readonly terminal: Terminal; readonly parts: ReportParts<Result> },
): Promise<void> {
    const shown = await openShownRecords(access, terminal, parts.signal);
    try {
        await exportShown(shown, order, uuids, parts);
    } finally {
        await shown.close();
    }
}

function run(invocation: Invocation): Promise<number> {
    const { parsed } = invocation;
    const { counts, positionals } = parsed;
    const order = {
        directory: directoryOption(parsed),
        force: counts.has('force'),
        dryRun: counts.has('dry-run'),
        channel: wantedChannel(invocation),
    };
    const uuids = uuidArguments(positionals);
    const access = serverInsteadOfData(invocation);
    if (access !== undefined) {
        return reportOnRecords(invocation, RESULTS, (parts) =>
            exportThrough(access, order, uuids, { terminal: invocation.terminal, parts }),
        );
    }
    return runOnRecords(invocation, {
        access: 'reading',
        results: RESULTS,
        run: (parts) => exportData(order, uuids, parts),
    });
}

/** `imgapiadm export-manifests` (operations 2.3). */
export const exportManifests: Subcommand = {
    name: 'export-manifests',
    summary: 'Write records as files, as they are stored.',
    usage: '-d DIR [OPTIONS] [UUID...]',
    description: [
        'Writes every record of the server, or those named, to DIR/<uuid>.raw, the form in which the local',
        'database keeps them: to carry them to another server, or from a local database to Moray and back, with',
        '"imgapiadm import-manifests". Files of images are not copied. A server may run meanwhile.',
        '',
        'What is in DIR already is left alone: to go on after a break, run it again. Run by root, files are',
        'written as the owner of the base directory.',
        '',
        'With --url, writes what a running server shows of its records to whom it lets see its state: on a local',
        'database only, and only records that the server can use, as it holds them. Records of old servers may',
        'so be written in the form of today; which ones the server leaves out is not told, but how many. On Moray,',
        'use it without --url.',
    ],
    options: [
        DIRECTORY_OPTION,
        { name: 'force', help: ['Replace files in DIR that have another content.'] },
        { name: 'dry-run', short: 'n', help: ['Show what would be done, and do nothing.'] },
        ...REPORT_OPTIONS,
        ...DATA_OPTIONS,
    ],
    examples: [
        'imgapiadm export-manifests -d /var/tmp/manifests',
        'imgapiadm export-manifests -d manifests --url https://images.example.com -u operator -i ~/.ssh/id_rsa',
    ],
    run,
};
