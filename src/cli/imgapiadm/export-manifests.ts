import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writeFileDurably } from '../../base/durable-files.js';
import { forEachParallel } from '../../base/parallel.js';
import { unlessMissing } from '../../base/unless-missing.js';
import type { Invocation, Subcommand } from './command.js';
import { REPORT_OPTIONS } from './common-options.js';
import { CONFIG_OPTION } from './config-path.js';
import { failureText } from './failure-text.js';
import { DIRECTORY_OPTION, directoryOption, requireOther } from './manifests/directory-option.js';
import { titleOf, type ResultWords } from './records/record-report.js';
import { runOnRecords, type RecordParts } from './records/record-run.js';
import type { StoredEntry } from './records/stored-records.js';
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

async function take(entry: StoredEntry, order: Order, { report }: RecordParts<Result>): Promise<void> {
    if (entry.kind !== 'record') {
        if (entry.kind === 'unparsable') {
            report.add({ place: entry.file, result: 'unusable', reason: entry.reason });
        }
        return;
    }
    const { uuid, text } = entry;
    const facts = { place: uuid, image: titleOf(entry) };
    try {
        report.add({ ...facts, result: await exportOne(uuid, text, order) });
    } catch (error) {
        report.add({ ...facts, result: 'failed', reason: failureText(error) });
    }
}

async function work(order: Order, uuids: readonly string[], parts: RecordParts<Result>): Promise<void> {
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
        if (entry === undefined) {
            report.add({ place: uuid, result: 'absent' });
        } else {
            await take(entry, order, parts);
        }
    }
}

function run(invocation: Invocation): Promise<number> {
    const { parsed } = invocation;
    const { counts, positionals } = parsed;
    const order = {
        directory: directoryOption(parsed),
        force: counts.has('force'),
        dryRun: counts.has('dry-run'),
    };
    const uuids = uuidArguments(positionals);
    return runOnRecords(invocation, {
        access: 'reading',
        results: RESULTS,
        run: (parts) => work(order, uuids, parts),
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
    ],
    options: [
        DIRECTORY_OPTION,
        { name: 'force', help: ['Replace files in DIR that have another content.'] },
        { name: 'dry-run', short: 'n', help: ['Show what would be done, and do nothing.'] },
        ...REPORT_OPTIONS,
        CONFIG_OPTION,
    ],
    examples: ['imgapiadm export-manifests -d /var/tmp/manifests'],
    run,
};
