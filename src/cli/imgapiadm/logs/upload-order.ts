import type { CommandOption, ParsedOptions } from '../../options.js';
import { countOption } from '../batch/batch-options.js';
import { UsageError } from '../command.js';
import { CHANGE_OPTIONS, commonFlags, REPORT_OPTIONS } from '../common-options.js';
import { CONFIG_OPTION } from '../config-path.js';
import { LOG_DIR_OPTION } from './log-directory.js';

const MAX_ATTEMPTS = 60;
const DEFAULT_WAIT = 60;
const MAX_WAIT = 3600;

/** Options of an upload of logs (operations 3.2); nothing is lost by it, so it does not ask. */
export const UPLOAD_OPTIONS: readonly CommandOption[] = [
    {
        name: 'attempts',
        short: 'a',
        argument: 'N',
        help: [`How often to try, 1 to ${MAX_ATTEMPTS}; default: 1.`],
    },
    {
        name: 'wait',
        argument: 'SECONDS',
        help: [`Seconds between attempts, 0 to ${MAX_WAIT}; default: ${DEFAULT_WAIT}.`],
    },
    ...CHANGE_OPTIONS.filter(({ name }) => name === 'dry-run'),
    ...REPORT_OPTIONS,
    LOG_DIR_OPTION,
    CONFIG_OPTION,
];

/** How to upload. */
export interface UploadOrder {
    readonly attempts: number;
    readonly waitSeconds: number;
    readonly dryRun: boolean;
    readonly json: boolean;
    readonly quiet: boolean;
}

/** Reads {@link UPLOAD_OPTIONS}. @throws UsageError */
export function uploadOrder(parsed: ParsedOptions): UploadOrder {
    const wait = parsed.values.get('wait') ?? String(DEFAULT_WAIT);
    if (!/^\d{1,4}$/.test(wait) || Number(wait) > MAX_WAIT) {
        throw new UsageError(`--wait must be 0..${MAX_WAIT}: "${wait}"`);
    }
    const { dryRun, json, quiet } = commonFlags(parsed);
    const attempts = countOption(parsed, 'attempts', MAX_ATTEMPTS) ?? 1;
    return { attempts, waitSeconds: Number(wait), dryRun, json, quiet };
}
