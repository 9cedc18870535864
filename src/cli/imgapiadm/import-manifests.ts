import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { forEachParallel } from '../../base/parallel.js';
import { recordFileName, uuidOfFile } from '../../database/local/file-names.js';
import { isObject } from '../../manifest/coerce.js';
import { toModernForm } from '../../manifest/modern-form.js';
import { isAgreed, requireWayToAsk } from './asking.js';
import type { Invocation, Subcommand } from './command.js';
import { CHANGE_OPTIONS, REPORT_OPTIONS } from './common-options.js';
import { CONFIG_OPTION } from './config-path.js';
import { failureText } from './failure-text.js';
import { DIRECTORY_OPTION, directoryOption, requireOther } from './manifests/directory-option.js';
import { archiveAgain } from './records/archive-again.js';
import { readRecordFile } from './records/local-records.js';
import { titleOf, type ResultWords } from './records/record-report.js';
import { readByRules, runOnRecords, type RecordParts } from './records/record-run.js';
import type { StoredEntry, StoredRecord } from './records/stored-records.js';
import { uuidArguments } from './uuid-arguments.js';
import { countText } from '../../base/quantities.js';

/** Records stored at the same time. */
const PARALLEL = 8;

const RESULTS = {
    imported: { text: 'imported', count: 'imported' },
    'would-import': { text: 'would be imported', count: 'wouldImport' },
    replaced: { text: 'replaced', count: 'replaced' },
    'would-replace': { text: 'would be replaced', count: 'wouldReplace' },
    same: { text: 'there already', count: 'same', isSilent: true },
    differs: {
        text: 'left, the server has another record: --force replaces it',
        count: 'differs',
        isBad: true,
    },
    unusable: { text: 'refused', count: 'unusable', isBad: true },
    ignored: { text: 'no record by its name: ignored', count: 'ignored' },
    absent: { text: 'no such file', count: 'absent', isBad: true },
    failed: { text: 'failed', count: 'failed', isBad: true },
} as const satisfies Readonly<Record<string, ResultWords>>;

type Result = keyof typeof RESULTS;
type Parts = RecordParts<Result>;

/** Whether the server has what a file says, be it in another form. */
function isSame(given: StoredRecord, present: StoredEntry, { rules }: Parts): boolean {
    if (present.kind !== 'record') {
        return false;
    }
    const [a, b] = [given, present].map(({ current, uuid }) => readByRules(current, uuid, rules));
    return a !== undefined && b !== undefined && 'raw' in a && 'raw' in b
        ? isDeepStrictEqual(toModernForm(a.raw), toModernForm(b.raw))
        : isDeepStrictEqual(given.data, present.data);
}

/** Whether the bytes of a file have to say how it is compressed: a guess must not become what is stored. */
function lacksCompression({ data: { files } }: StoredRecord): boolean {
    return Array.isArray(files) && files.some((file) => isObject(file) && !file['compression']);
}

/** Stores one record. @throws what the database throws */
async function importOne(
    given: StoredRecord,
    force: boolean,
    parts: Parts,
): Promise<{ readonly result: Result; readonly reason?: string }> {
    const { data, records, rules, dryRun } = parts;
    const { uuid } = given;
    const read = readByRules(given.current, uuid, rules);
    if ('problem' in read) {
        return { result: 'unusable', reason: read.problem };
    }
    if (lacksCompression(given) && (await data.localStorage.stat(uuid, 'file0')) === undefined) {
        return { result: 'unusable', reason: 'its file has no "compression", and is not here to tell' };
    }
    const present = await records.find(uuid);
    if (present !== undefined && isSame(given, present, parts)) {
        return { result: 'same' };
    }
    if (present !== undefined && !force) {
        return { result: 'differs' };
    }
    if (dryRun) {
        return { result: present === undefined ? 'would-import' : 'would-replace' };
    }
    const { archive } = data.images;
    await archive.write(read.raw);
    try {
        await records.put(read.raw, present);
    } catch (error) {
        await archiveAgain(uuid, { records, archive });
        throw error;
    }
    return { result: present === undefined ? 'imported' : 'replaced' };
}

async function take(path: string, uuid: string, force: boolean, parts: Parts): Promise<void> {
    const { report, data } = parts;
    const entry = await readRecordFile(path, uuid, data.directories.images);
    if (entry?.kind !== 'record') {
        report.add(
            entry === undefined
                ? { place: uuid, result: 'absent' }
                : { place: entry.file, result: 'unusable', reason: entry.reason },
        );
        return;
    }
    const facts = { place: uuid, image: titleOf(entry) };
    try {
        report.add({ ...facts, ...(await importOne(entry, force, parts)) });
    } catch (error) {
        report.add({ ...facts, result: 'failed', reason: failureText(error) });
    }
}

async function work(invocation: Invocation, parts: Parts): Promise<void> {
    const { parsed, terminal } = invocation;
    const { data, report, signal } = parts;
    const directory = directoryOption(parsed);
    await requireOther(directory, data.directories.manifests);
    const given = uuidArguments(parsed.positionals);
    const names = (await readdir(directory)).sort();
    const found = names.map(uuidOfFile).filter((uuid) => uuid !== undefined);
    const wanted = given.length > 0 ? given : found;
    const question = `Import ${countText(wanted.length, 'record')} from ${directory}?`;
    if (!parts.dryRun && wanted.length > 0 && !(await isAgreed(invocation, question, signal))) {
        terminal.note('nothing was imported');
        return;
    }
    for (const name of given.length > 0 ? [] : names.filter((one) => uuidOfFile(one) === undefined)) {
        report.add({ place: name, result: 'ignored' });
    }
    parts.progress(wanted.length);
    await forEachParallel(wanted, PARALLEL, async (uuid) => {
        signal.throwIfAborted();
        await take(join(directory, recordFileName(uuid)), uuid, parsed.counts.has('force'), parts);
    });
}

function run(invocation: Invocation): Promise<number> {
    directoryOption(invocation.parsed);
    uuidArguments(invocation.parsed.positionals);
    requireWayToAsk(invocation);
    return runOnRecords(invocation, {
        access: 'records',
        results: RESULTS,
        run: (parts) => work(invocation, parts),
    });
}

/** `imgapiadm import-manifests` (operations 2.3). */
export const importManifests: Subcommand = {
    name: 'import-manifests',
    summary: 'Store records from files, as they are.',
    usage: '-d DIR [OPTIONS] [UUID...]',
    description: [
        'Stores the records in DIR/<uuid>.raw, all or those named, which "imgapiadm export-manifests" or a local',
        'database has written. Each must pass the rules of this server. A record that the server has already is',
        'left alone if it says the same, and refused without --force if it does not. Files of images are not',
        'copied: "imgapiadm fsck --simple" tells which are missing.',
        '',
        'With a local database servers must be stopped. To go on after a break, run it again.',
    ],
    options: [
        DIRECTORY_OPTION,
        { name: 'force', help: ['Replace records of the server that say something else.'] },
        ...CHANGE_OPTIONS,
        ...REPORT_OPTIONS,
        CONFIG_OPTION,
    ],
    examples: [
        'imgapiadm import-manifests -d /var/tmp/manifests --dry-run',
        'imgapiadm import-manifests -d /var/tmp/manifests --yes',
    ],
    run,
};
