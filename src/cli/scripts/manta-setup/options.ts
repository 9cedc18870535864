import { createLogger } from '../../../base/log.js';
import { mantaOrigin } from '../../../remotes/manta/manta-url.js';
import { CONFIG_OPTION, configPath } from '../../imgapiadm/config-path.js';
import { UsageError, type ExitStatus, type Invocation } from '../../imgapiadm/command.js';
import { Interrupt } from '../../imgapiadm/interrupt.js';
import type { CommandOption, ParsedOptions } from '../../options.js';
import { withDatacenter, type Datacenter } from './datacenter.js';
import { removeSetup, showStatus } from './set-up.js';

/** How long a new key may take to be known, seconds (operations 3.1). */
const WAIT_SECONDS = 300;
const MAX_WAIT_SECONDS = 86_400;

/** Options of both scripts. */
export const SETUP_OPTIONS: readonly CommandOption[] = [
    { name: 'insecure', short: 'i', help: ["Do not check Manta's TLS certificate."] },
    {
        name: 'wait',
        argument: 'SECONDS',
        help: [`How long to wait for access to Manta; default: ${WAIT_SECONDS}.`],
    },
    { name: 'status', help: ['Show what is set up and whether it works; change nothing.'] },
    { name: 'remove', help: ['Remove what is set up from the metadata of the service.'] },
    {
        name: 'sapi-url',
        argument: 'URL',
        help: ['SAPI of the datacenter; default: sapi_service of the configuration.'],
    },
    CONFIG_OPTION,
];

/** Lines of the help texts of both. */
export const SETUP_NOTES: readonly string[] = [
    'Access is verified by storing and removing an object before the metadata of the service "imgapi"',
    'in SAPI change, so that what is in use goes on working until then. The files of all servers are',
    'written anew by their config-agents within about two minutes.',
    '',
    'Records are written to stdout as JSON lines for bunyan(1). The private key is in none of them.',
];

/** Exit statuses of both. */
export const SETUP_EXIT_STATUSES: readonly ExitStatus[] = [
    ['0', 'done; with --status: Manta is set up and can be used'],
    ['1', 'anything else, with the reason on stderr'],
    ['130', 'stopped by a signal; what is in use has not changed'],
];

/** What is to be done. */
export type SetupTask = (datacenter: Datacenter) => Promise<void>;

/** The URL of a Manta. @throws UsageError */
export function mantaUrlOf(text: string): string {
    try {
        return mantaOrigin(text);
    } catch (cause) {
        throw new UsageError(`no URL of a Manta: "${text}"`, { cause });
    }
}

/** `--wait`. @throws UsageError */
export function waitSecondsOf({ values }: ParsedOptions): number {
    const text = values.get('wait') ?? String(WAIT_SECONDS);
    if (!/^\d{1,5}$/.test(text) || Number(text) > MAX_WAIT_SECONDS) {
        throw new UsageError(`--wait must be 0 to ${MAX_WAIT_SECONDS} seconds: "${text}"`);
    }
    return Number(text);
}

/** What `--status` or `--remove` asks for; `undefined`: to set something up. @throws UsageError */
function otherTask({ counts, positionals }: ParsedOptions): SetupTask | undefined {
    const asked = ['status', 'remove'].filter((name) => counts.has(name));
    if (asked.length > 1) {
        throw new UsageError('--status and --remove exclude each other');
    }
    if (asked.length === 1 && positionals.length > 0) {
        throw new UsageError(`too many arguments for --${asked.join('')}: ${positionals.join(' ')}`);
    }
    return asked.length === 0 ? undefined : counts.has('status') ? showStatus : removeSetup;
}

/**
 * Runs one of the scripts: reads the options both have, and does what is asked.
 *
 * @param setUp what the arguments ask for; throws UsageError when they are wrong
 * @returns the exit status
 * @throws UsageError; Error with the reason of a failure
 */
export async function runSetup(
    name: string,
    { parsed, environment }: Invocation,
    setUp: (parsed: ParsedOptions) => SetupTask,
): Promise<number> {
    const task = otherTask(parsed) ?? setUp(parsed);
    const interrupt = new Interrupt();
    const unlisten = interrupt.listen({ onFirst: () => undefined, onSecond: () => undefined });
    const access = {
        configPath: configPath(parsed, environment),
        sapiUrl: parsed.values.get('sapi-url'),
        signal: interrupt.signal,
        log: createLogger({ name, level: 'info' }),
    };
    try {
        await withDatacenter(access, task);
        return 0;
    } catch (error) {
        // Any other reason is worth telling: something may have changed.
        if (interrupt.status !== undefined && error === interrupt.signal.reason) {
            return interrupt.status;
        }
        throw error;
    } finally {
        unlisten();
    }
}
