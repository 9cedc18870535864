import { systemClock } from '../../base/clock.js';
import { loadConfig } from '../../base/config.js';
import { isAgreed, requireWayToAsk } from './asking.js';
import { UsageError, type Invocation, type Subcommand } from './command.js';
import { CHANGE_OPTIONS, REPORT_OPTIONS } from './common-options.js';
import { CONFIG_OPTION, configPath } from './config-path.js';
import type { RecordParts } from './records/record-run.js';
import { runOnRecords } from './records/record-run.js';
import { RESULTS, rewriteAll, type Result } from './reindex/rewrite.js';

type Parts = RecordParts<Result>;

/** Adds missing index columns; tells whether everything is well. */
async function addColumns({ terminal }: Invocation, parts: Parts): Promise<boolean> {
    const { data, report, dryRun, log, signal } = parts;
    const { moray: address } = data.config;
    if (address === undefined || data.config.databaseType !== 'moray') {
        return true;
    }
    const [{ MorayConnection }, { ColumnStep }] = await Promise.all([
        import('../../database/moray/connection.js'),
        import('./reindex/columns.js'),
    ]);
    const moray = new MorayConnection({ address, log });
    moray.connect();
    try {
        const step = new ColumnStep({
            moray,
            run: data.directories.run,
            now: systemClock.now(),
            signal,
            onRow: (place, outcome) => {
                if (typeof outcome === 'string') {
                    report.add({ place, result: 'restored' });
                } else {
                    report.add({ place, result: 'failed', reason: outcome.failure });
                }
            },
        });
        const plan = await step.plan();
        if (plan === undefined) {
            return true;
        }
        const { columns, copy } = plan;
        const names = columns.join(', ');
        terminal.note(
            copy === undefined
                ? `the bucket lacks index columns: ${names}`
                : `an earlier run was adding index columns: ${names}; going on from ${copy.path}`,
        );
        return dryRun || (await step.execute(plan));
    } finally {
        await moray.close();
    }
}

async function work(invocation: Invocation, parts: Parts): Promise<void> {
    parts.progress(parts.data.database.held?.size);
    if (await addColumns(invocation, parts)) {
        await rewriteAll(invocation.parsed.counts.has('archive'), parts);
    } else {
        invocation.terminal.note('not all rows are back: run it again, with no server running');
    }
}

async function run(invocation: Invocation): Promise<number> {
    const { parsed, environment, terminal } = invocation;
    if (parsed.positionals.length > 0) {
        throw new UsageError(`too many arguments: ${parsed.positionals.join(' ')}`);
    }
    requireWayToAsk(invocation);
    const isMoray = loadConfig(configPath(parsed, environment)).databaseType === 'moray';
    const question = isMoray
        ? 'Every server that uses this Moray must be stopped. Are they, and shall records be rewritten?'
        : 'Rewrite records that are stored in forms of old servers?';
    const never = new AbortController().signal;
    if (!parsed.counts.has('dry-run') && !(await isAgreed(invocation, question, never))) {
        terminal.note('nothing was changed');
        return 0;
    }
    return runOnRecords(invocation, {
        access: 'alone',
        results: RESULTS,
        run: (parts) => work(invocation, parts),
    });
}

/** `imgapiadm reindex` (operations 2.3, 5.5). */
export const reindexCommand: Subcommand = {
    name: 'reindex',
    summary: 'Write all records in the form of today, with all that searches go by.',
    usage: '[--archive] [OPTIONS]',
    description: [
        'Rewrites records that are stored in forms of old servers: tags, lists that were texts, booleans and',
        'numbers as texts, fields as JSON texts, files without a compression, and what was left of the directory',
        'that kept the first records. Only records that differ are written. Servers must be stopped.',
        '',
        'On Moray it first adds the index columns that the bucket lacks. Moray then hides their fields in every',
        'row until that is put again; so all rows are copied to run/reindex-TIME.jsonl before, and put back',
        'behind it. Broken off at any point, run it again: it goes on from the copy, which it removes at the end.',
        '',
        'Records that the server cannot use are left alone, see "imgapiadm fsck".',
    ],
    options: [
        { name: 'archive', help: ['Write the archived manifest of every image that has none, too.'] },
        ...CHANGE_OPTIONS,
        ...REPORT_OPTIONS,
        CONFIG_OPTION,
    ],
    examples: ['imgapiadm reindex --dry-run', 'imgapiadm reindex --archive --yes'],
    exitStatuses: [
        ['0', 'every record is in the form of today'],
        ['1', 'some are not: they cannot be used, or could not be written'],
        ['252', 'could not run, e.g. because a server is running'],
    ],
    run,
};
