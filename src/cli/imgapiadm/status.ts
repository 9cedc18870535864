import { findServiceManager } from '../service-manager.js';
import { countOption } from './batch/batch-options.js';
import { requireNoArguments } from './backup/backup-order.js';
import type { Invocation, Subcommand } from './command.js';
import { JSON_OPTION } from './common-options.js';
import { CONFIG_OPTION, configPath } from './config-path.js';
import { failureText } from './failure-text.js';
import { actAsOwner } from './offline/act-as-owner.js';
import { terminalLog } from './offline/terminal-log.js';
import { countText } from '../../base/quantities.js';
import { readStandaloneServer } from './standalone-config.js';
import { dataChecks } from './status/data-checks.js';
import { faulty, type CheckResult, type Fault, type StatusCheck } from './status/fault.js';
import { hourlyChecks } from './status/hourly-checks.js';
import { outsideChecks } from './status/outside-checks.js';
import { answerChecks, serviceCheck } from './status/server-checks.js';
import type { Terminal } from './terminal.js';

/** Above are the statuses of usage errors and of runs that failed. */
const MAX_FAULTS = 250;
const MINUTE_MS = 60_000;
/** Hourly, up to five minutes later, and some time to run. */
const DEFAULT_BACKUP_AGE = 75;
const MAX_BACKUP_AGE = 525_600;

async function checksOf(invocation: Invocation): Promise<readonly StatusCheck[]> {
    const { parsed, environment, terminal } = invocation;
    const server = readStandaloneServer(configPath(parsed, environment));
    const age = countOption(parsed, 'backup-age', MAX_BACKUP_AGE) ?? DEFAULT_BACKUP_AGE;
    const manager = await findServiceManager(environment);
    await actAsOwner(server.directories.base);
    return [
        ...(manager === undefined ? [] : [serviceCheck(manager)]),
        ...answerChecks(server),
        ...dataChecks(server),
        ...hourlyChecks(server, { maxAgeMs: age * MINUTE_MS, manager, environment }),
        ...outsideChecks(server, manager, environment, terminalLog(terminal)),
    ];
}

/** What cannot be looked at is a fault. */
async function look({ name, run }: StatusCheck): Promise<CheckResult> {
    try {
        return await run();
    } catch (error) {
        return faulty(
            `"${name}" cannot be checked`,
            'imgapiadm status -v',
            failureText(error),
            'the message',
        );
    }
}

function block({ state, cmd, info, see }: Fault): readonly string[] {
    return [`State: ${state}`, `  Cmd: ${cmd}`, ` Info: ${info}`, `  See: ${see}`];
}

function print(
    terminal: Terminal,
    results: readonly (CheckResult & { readonly name: string })[],
    verbose: boolean,
): void {
    let isFirst = true;
    for (const { name, faults, facts } of results) {
        for (const fault of faults) {
            [...(isFirst ? [] : ['']), ...block(fault)].forEach((line) => terminal.line(line));
            isFirst = false;
        }
        if (verbose && faults.length === 0) {
            terminal.note(`${name}: ok${facts === undefined ? '' : `, ${facts}`}`);
        }
    }
}

async function run(invocation: Invocation): Promise<number> {
    requireNoArguments(invocation);
    const { terminal, parsed } = invocation;
    const checks = await checksOf(invocation);
    const results = await Promise.all(
        checks.map(async (check) => ({ name: check.name, ...(await look(check)) })),
    );
    const faults = results.flatMap(({ name, faults: found }) =>
        found.map((fault) => ({ check: name, ...fault })),
    );
    const verbose = parsed.counts.has('verbose');
    if (parsed.counts.has('json')) {
        faults.forEach((fault) => terminal.line(JSON.stringify(fault)));
        const summary = { checks: results.map(({ name }) => name), faults: faults.length };
        terminal.line(JSON.stringify({ summary }));
    } else {
        print(terminal, results, verbose);
        if (verbose) {
            terminal.note(`${countText(faults.length, 'fault')} in ${countText(results.length, 'check')}`);
        }
    }
    return Math.min(faults.length, MAX_FAULTS);
}

/** `imgapiadm status` and `imgapi-standalone-status` (operations 3.2). */
export const statusCommand: Subcommand = {
    name: 'status',
    summary: 'Look whether all is well with a standalone server.',
    usage: '[OPTIONS]',
    description: [
        'Looks whether the server runs, answers and lists images, also over TLS; at free space, the keys of',
        'users, the TLS certificate, restore and backup, Manta, the clock, and the timer of backups; where',
        'logs are rotated and uploaded every hour, also at these. Says nothing when all is well; else prints',
        'a block for each fault, for monitoring.',
    ],
    options: [
        JSON_OPTION,
        {
            name: 'backup-age',
            argument: 'MINUTES',
            help: [
                'How old the last backup, and the last upload of logs, may be; default:',
                `${DEFAULT_BACKUP_AGE}.`,
            ],
        },
        CONFIG_OPTION,
    ],
    examples: ['imgapiadm status', 'imgapiadm status --json'],
    exitStatuses: [
        ['0', 'all is well'],
        [`1-${MAX_FAULTS}`, `number of faults, ${MAX_FAULTS} also for more`],
    ],
    run,
};
