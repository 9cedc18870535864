import type { CommandOption, ParsedOptions } from '../../options.js';
import { requireWayToAsk } from '../asking.js';
import { UsageError, type Invocation } from '../command.js';
import { CHANGE_OPTIONS, commonFlags, REPORT_OPTIONS } from '../common-options.js';
import { SERVER_ACCESS_OPTIONS, serverAccess } from '../server-access.js';
import type { BatchOrder } from './batch-run.js';

const DEFAULT_PARALLEL = 4;
const MAX_PARALLEL = 64;

/** Options of every subcommand that works on many images of a running server. */
export const BATCH_OPTIONS: readonly CommandOption[] = [
    {
        name: 'parallel',
        short: 'p',
        argument: 'N',
        help: [`Images at the same time, 1 to ${MAX_PARALLEL}; default: ${DEFAULT_PARALLEL}.`],
    },
    ...CHANGE_OPTIONS,
    ...REPORT_OPTIONS,
    ...SERVER_ACCESS_OPTIONS,
];

/** Reads an option that is a count. @throws UsageError */
export function countOption({ values }: ParsedOptions, name: string, max: number): number | undefined {
    const given = values.get(name);
    if (given === undefined) {
        return undefined;
    }
    const count = /^\d{1,6}$/.test(given) ? Number(given) : 0;
    if (count < 1 || count > max) {
        throw new UsageError(`--${name} must be 1..${max}: "${given}"`);
    }
    return count;
}

/** Reads {@link BATCH_OPTIONS}. @throws UsageError, or Error when the configuration is of no use */
export function batchOrder({ parsed, environment, terminal }: Invocation): BatchOrder {
    const order = {
        parallel: countOption(parsed, 'parallel', MAX_PARALLEL) ?? DEFAULT_PARALLEL,
        ...commonFlags(parsed),
    };
    requireWayToAsk({ parsed, terminal });
    return { ...order, access: serverAccess(parsed, environment) };
}
