import { isDeepStrictEqual } from 'node:util';
import { forEachParallel } from '../../../base/parallel.js';
import { toModernForm } from '../../../manifest/modern-form.js';
import type { RawImage } from '../../../manifest/types.js';
import { failureText } from '../failure-text.js';
import { isArchived } from '../records/archived.js';
import { titleOf, type ResultWords } from '../records/record-report.js';
import { readByRules, type RecordParts } from '../records/record-run.js';
import type { Data, StoredEntry, StoredRecord } from '../records/stored-records.js';

/** Records worked on at the same time: more than one helps where they are far away. */
const PARALLEL = 8;

/** What can become of a record. */
export const RESULTS = {
    restored: { text: 'put back', count: 'restored', isSilent: true, isExtra: true },
    rewritten: { text: 'rewritten', count: 'rewritten' },
    'would-rewrite': { text: 'would be rewritten', count: 'wouldRewrite' },
    archived: { text: 'archived', count: 'archived', isExtra: true },
    'would-archive': { text: 'would be archived', count: 'wouldArchive', isExtra: true },
    unchanged: { text: 'as they should be', count: 'unchanged', isSilent: true },
    unusable: { text: 'left, see "imgapiadm fsck"', count: 'unusable', isBad: true },
    failed: { text: 'failed', count: 'failed', isBad: true },
} as const satisfies Readonly<Record<string, ResultWords>>;

export type Result = keyof typeof RESULTS;

type Parts = RecordParts<Result>;

/** Names of the fields that are stored in another form than that of today. */
function oldFields(data: Data, modern: Data): readonly string[] {
    const keys = new Set([...Object.keys(data), ...Object.keys(modern)]);
    return [...keys].filter((key) => !isDeepStrictEqual(data[key], modern[key]));
}

async function rewrite(record: StoredRecord, raw: RawImage, parts: Parts): Promise<void> {
    const { records, report, dryRun } = parts;
    const modern = toModernForm(raw);
    const changed = oldFields(record.data, modern as unknown as Data);
    const facts = { place: record.uuid, image: titleOf(record) };
    if (changed.length === 0) {
        report.add({ ...facts, result: 'unchanged' });
        return;
    }
    if (!dryRun) {
        await records.put(modern, record);
    }
    report.add({ ...facts, result: dryRun ? 'would-rewrite' : 'rewritten', changed });
}

async function archive(record: StoredRecord, raw: RawImage, parts: Parts): Promise<void> {
    const { data, report, dryRun } = parts;
    if (await isArchived(raw.uuid, data)) {
        return;
    }
    if (!dryRun) {
        await data.images.archive.write(raw);
    }
    const result = dryRun ? 'would-archive' : 'archived';
    report.add({ place: raw.uuid, image: titleOf(record), result });
}

async function workOn(entry: StoredEntry, archives: boolean, parts: Parts): Promise<void> {
    const { report, rules } = parts;
    if (entry.kind !== 'record') {
        if (entry.kind === 'unparsable') {
            report.add({ place: entry.file, result: 'unusable', reason: entry.reason });
        }
        return;
    }
    const { uuid } = entry;
    const read = readByRules(entry.current, uuid, rules);
    if ('problem' in read) {
        report.add({ place: uuid, image: titleOf(entry), result: 'unusable', reason: read.problem });
        return;
    }
    try {
        await rewrite(entry, read.raw, parts);
        if (archives) {
            await archive(entry, read.raw, parts);
        }
    } catch (error) {
        report.add({ place: uuid, image: titleOf(entry), result: 'failed', reason: failureText(error) });
    }
}

/**
 * Writes records in the form of today where they are stored in another one (operations 5.5), and archives
 * manifests that have not been.
 *
 * @throws the database's error when not all records could be read
 */
export async function rewriteAll(archives: boolean, parts: Parts): Promise<void> {
    const { records, signal } = parts;
    await forEachParallel(records.entries(signal), PARALLEL, async (entry) => {
        signal.throwIfAborted();
        await workOn(entry, archives, parts);
    });
}
