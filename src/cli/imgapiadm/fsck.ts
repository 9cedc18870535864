import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import { unlessMissing } from '../../base/unless-missing.js';
import { isAgreed, requireWayToAsk } from './asking.js';
import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { CHANGE_OPTIONS, REPORT_OPTIONS } from './common-options.js';
import { configPath } from './config-path.js';
import { STORED_FILES } from './fsck/asking-checks.js';
import { CHANNELS, defaultChannel } from './fsck/channel-check.js';
import type { Check, Finding } from './fsck/check.js';
import { ABSENT, ENTRY_CHECKS, STRUCTURE, UNCHECKED } from './fsck/entry-checks.js';
import { IMAGE_CHECKS } from './fsck/image-checks.js';
import { INVALID, RECORD_CHECKS } from './fsck/record-checks.js';
import { repairAll, type Repaired } from './fsck/repairs.js';
import { Report, type Ending } from './fsck/report.js';
import {
    openForFsck,
    purgeWith,
    restoreWith,
    type Examined,
    type FsckOrder,
    type Opened,
} from './fsck/run.js';
import { openServerForFsck } from './fsck/server-run.js';
import { Interrupt } from './interrupt.js';
import { DATA_OPTIONS, serverInsteadOfData, wantedChannel } from './offline/data-options.js';
import { terminalLog } from './offline/terminal-log.js';
import { showCount } from './progress.js';
import { countText } from '../../base/quantities.js';
import { tracedRetries } from './retries.js';
import type { ServerAccess } from './server-access.js';
import { uuidArguments } from './uuid-arguments.js';

/** All checks, in the order of the help text. */
export const CHECKS: readonly Check[] = [
    ...Object.values(ENTRY_CHECKS),
    INVALID,
    ...RECORD_CHECKS,
    ...IMAGE_CHECKS,
    STORED_FILES,
    STRUCTURE,
    ABSENT,
    UNCHECKED,
];

/** What is done to the findings. */
interface FsckRun {
    readonly order: FsckOrder;
    readonly invocation: Invocation;
    readonly interrupt: Interrupt;
    readonly log: Logger;
}

function orderOf({ parsed, environment, terminal }: Invocation): FsckOrder {
    const { counts, positionals } = parsed;
    const [safe, channel] = [counts.has('fix-safe'), counts.has('assign-default-channel')];
    const fixes = safe && channel ? 'both' : safe ? 'safe' : channel ? 'channel' : undefined;
    const dryRun = counts.has('dry-run');
    if (fixes !== undefined) {
        requireWayToAsk({ parsed, terminal });
    }
    return {
        configPath: configPath(parsed, environment),
        uuids: new Set(uuidArguments(positionals)),
        channel: wantedChannel({ parsed, environment }),
        simple: counts.has('simple'),
        fixes,
        dryRun,
    };
}

/** Looks at everything; told to stop, at what it has come to. */
async function look({ survey, size }: Examined, { invocation, interrupt }: FsckRun): Promise<void> {
    const { parsed, terminal } = invocation;
    const stop = showCount(terminal, parsed.counts.has('quiet'), {
        count: () => survey.records,
        all: () => size,
        current: () => survey.current,
    });
    try {
        await survey.run();
    } catch (error) {
        if (!interrupt.signal.aborted) {
            throw error;
        }
    } finally {
        stop();
    }
}

/** Repairs what was found, if that is wanted and agreed to. */
async function repair(
    opened: Opened,
    findings: readonly Finding[],
    { order, invocation, interrupt, log }: FsckRun,
): Promise<{
    readonly repair?: NonNullable<Ending['repair']>;
    readonly done: ReadonlyMap<Finding, Repaired>;
}> {
    const { data, records, place } = opened;
    const done = new Map<Finding, Repaired>();
    const { fixes, dryRun } = order;
    const fixable = findings.filter((finding) => finding.fixable && !opened.found.includes(finding));
    if (fixes === undefined || interrupt.signal.aborted) {
        return { done };
    }
    if (dryRun) {
        return { repair: 'dry-run', done };
    }
    const question = `Fix ${countText(fixable.length, 'finding')}?`;
    const agreed = fixable.length === 0 || (await isAgreed(invocation, question, interrupt.signal));
    await repairAll(agreed ? findings : opened.found, {
        records,
        archive: data.images.archive,
        place,
        fixes,
        purge: await purgeWith(data, log, interrupt.signal),
        restore: restoreWith(data, invocation.terminal, interrupt.signal),
        isThere: async (file) =>
            (await unlessMissing(stat(join(data.directories.manifests, file)))) !== undefined,
        signal: interrupt.signal,
        onDone: (finding, repaired) => done.set(finding, repaired),
    });
    return { repair: agreed ? 'done' : 'refused', done };
}

/** @throws UsageError */
function requireDefaultChannel({ fixes }: FsckOrder, { place }: Opened): void {
    if ((fixes === 'channel' || fixes === 'both') && defaultChannel(place.channels) === undefined) {
        throw new UsageError('--assign-default-channel: the server has no default channel');
    }
}

async function checkData(task: FsckRun): Promise<number> {
    const { order, interrupt, log } = task;
    const opened = await openForFsck(order, log, interrupt.signal);
    try {
        requireDefaultChannel(order, opened);
        await look(opened, task);
        const findings = [...opened.found, ...opened.survey.findings].map((finding) =>
            inForce(finding, order),
        );
        const { repair: how, done } = await repair(opened, findings, task);
        return report(task, opened, { findings, done, ...(how === undefined ? {} : { repair: how }) });
    } finally {
        await opened.close();
    }
}

/** Looks at what the API of a running server shows, and changes nothing. */
async function checkServer(access: ServerAccess, task: FsckRun): Promise<number> {
    const { order, invocation, interrupt } = task;
    const { terminal } = invocation;
    const retries = tracedRetries(terminal, interrupt.signal);
    const opened = await openServerForFsck(access, order, CHECKS, { terminal, retries });
    try {
        await look(opened, task);
        const findings = [...opened.found, ...opened.survey.findings];
        return report(task, opened, { findings, done: new Map(), coverage: opened.coverage });
    } finally {
        await opened.close();
    }
}

/** What there is to tell in the end. */
interface Outcome extends Pick<Ending, 'repair' | 'coverage'> {
    readonly findings: readonly Finding[];
    readonly done: ReadonlyMap<Finding, Repaired>;
}

/** Tells it. @returns the exit status */
function report(
    { invocation, interrupt }: FsckRun,
    { survey }: Examined,
    { findings, done, ...how }: Outcome,
): number {
    const { parsed, terminal } = invocation;
    const ending: Ending = { records: survey.records, interrupted: interrupt.signal.aborted, ...how };
    const told = new Report({ terminal, json: parsed.counts.has('json') });
    findings.forEach((finding) => told.add(finding, done.get(finding), ending));
    told.summarize(ending);
    const isAlarming = told.isAlarming(!parsed.counts.has('errors-only'));
    return interrupt.status ?? (isAlarming ? EXIT.findings : EXIT.clean);
}

/** The server to look at; `undefined`: its data. @throws UsageError when it is to change something */
function readOnlyServer(invocation: Invocation): ServerAccess | undefined {
    const access = serverInsteadOfData(invocation);
    const { counts } = invocation.parsed;
    const change = ['fix-safe', 'assign-default-channel'].find((option) => counts.has(option));
    if (access !== undefined && change !== undefined) {
        throw new UsageError(
            `--${change} changes records as they are stored, which the API does not: use it without --url`,
        );
    }
    return access;
}

async function run(invocation: Invocation): Promise<number> {
    const access = readOnlyServer(invocation);
    const order = orderOf(invocation);
    const { terminal } = invocation;
    const interrupt = new Interrupt();
    const stopListening = interrupt.listen({
        onFirst: () => terminal.note('stopping; once more: at once'),
        onSecond: () => undefined,
    });
    try {
        const task = { order, invocation, interrupt, log: terminalLog(terminal) };
        return await (access === undefined ? checkData(task) : checkServer(access, task));
    } finally {
        stopListening();
    }
}

/** With `--assign-default-channel` alone, nothing else is repaired. */
function inForce(finding: Finding, { fixes }: FsckOrder): Finding {
    const isOther = fixes === 'channel' && finding.check !== CHANNELS.name;
    return isOther && finding.fixable ? { ...finding, fixable: false } : finding;
}

const WORDS = { error: 'error', warn: 'warning', info: 'note' } as const;

function checkLines({ name, severity, finds, fix, shown }: Check): readonly string[] {
    const repairs = fix === undefined ? [] : [`      --fix-safe: ${fix}`];
    const through =
        shown === undefined
            ? []
            : [`      --url: ${shown === 'nothing' ? 'left out' : `only ${shown.only}`}`];
    return [`  ${name} (${WORDS[severity]}): ${finds}`, ...repairs, ...through];
}

/** `imgapiadm fsck` (operations 2.3, 2.5). */
export const fsckCommand: Subcommand = {
    name: 'fsck',
    summary: 'Check the records of all images, and repair what can be repaired safely.',
    usage: '[--fix-safe] [OPTIONS] [UUID...]',
    description: [
        'Reads all records of a server as they are stored, also those that the server leaves out, and says',
        'what is wrong with them, or with those named. Works on the files of the server, or on Moray, without',
        'the server; it may run meanwhile. For repairs a server on these files must be stopped; on Moray it',
        'may run.',
        '',
        'Prints a line for each finding, and one about the whole. Repairs change all of a record at once,',
        'its archived manifest first; a record that the server could not use is kept in quarantine/.',
        '',
        'With --url, looks at what the API of a running server shows, and only looks: which checks are left',
        'out, or made in part, is said below, and at the end of each run.',
        '',
        'Checks:',
        ...CHECKS.flatMap(checkLines),
    ],
    options: [
        { name: 'fix-safe', help: ['Repair what needs no decision, see above.'] },
        {
            name: 'assign-default-channel',
            help: [
                'Put images that are in no channel of the server into its default',
                'channel; alone or with --fix-safe.',
            ],
        },
        {
            name: 'simple',
            help: ['Look for the files, too: whether they are there and have the right size.'],
        },
        { name: 'errors-only', help: ['Exit with 1 for errors only; warnings are shown all the same.'] },
        ...CHANGE_OPTIONS,
        ...REPORT_OPTIONS,
        ...DATA_OPTIONS,
    ],
    examples: [
        'imgapiadm fsck',
        'imgapiadm fsck --fix-safe --dry-run',
        'imgapiadm fsck --fix-safe --yes --json',
        'imgapiadm fsck --url https://images.example.com --user operator --identity ~/.ssh/id_rsa',
    ],
    exitStatuses: [
        [
            '0',
            'no error and no warning, or none any more; notes do no harm, nor do warnings with --errors-only',
        ],
        ['1', 'errors, or warnings without --errors-only, or something could not be checked'],
        ['252', 'could not run, e.g. because a server is running'],
    ],
    run,
};
