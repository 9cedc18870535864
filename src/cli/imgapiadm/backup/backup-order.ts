import { resolve, sep } from 'node:path';
import type { BaseDirectories } from '../../../base/config-types.js';
import { countOption } from '../batch/batch-options.js';
import { UsageError, type Invocation } from '../command.js';
import { CHANGE_OPTIONS, commonFlags, REPORT_OPTIONS } from '../common-options.js';
import { CONFIG_OPTION } from '../config-path.js';
import type { CommandOption } from '../../options.js';
import { placesOf } from '../../places.js';
import { PASSPHRASE_FILE } from './etc-files.js';

const DEFAULT_PARALLEL = 8;
const MAX_PARALLEL = 64;
const DEFAULT_KEEP = 30;
const MAX_KEEP = 100_000;

/** How many files at the same time. */
export const PARALLEL_OPTION: CommandOption = {
    name: 'parallel',
    short: 'p',
    argument: 'N',
    help: [`Files at the same time, 1 to ${MAX_PARALLEL}; default: ${DEFAULT_PARALLEL}.`],
};

/** Names what `etc` is encrypted with. */
export const PASSPHRASE_OPTION: CommandOption = {
    name: 'passphrase-file',
    argument: 'FILE',
    help: [
        'File whose first line encrypts what the backup has of etc; default:',
        `etc/${PASSPHRASE_FILE} in the base directory, if it is there.`,
    ],
};

/** Options of a backup (operations 3.2). */
export const BACKUP_OPTIONS: readonly CommandOption[] = [
    {
        name: 'dest',
        argument: 'DIR',
        help: ['Make a snapshot in this directory, on a disk or NFS; default: to Manta.'],
    },
    {
        name: 'keep',
        argument: 'N',
        help: [`With --dest: how many snapshots stay; default: ${DEFAULT_KEEP}.`],
    },
    { name: 'checksum', help: ['Compare all bytes, not just sizes and times.'] },
    {
        name: 'force',
        short: 'f',
        help: ['Delete from the backup even if more than 20 % of it is gone here.'],
    },
    { name: 'no-secrets', help: ['Have of etc what is no secret only, even if there is a passphrase.'] },
    PASSPHRASE_OPTION,
    PARALLEL_OPTION,
    ...CHANGE_OPTIONS,
    ...REPORT_OPTIONS,
    CONFIG_OPTION,
];

/** What a backup is asked to do. */
export interface BackupOrder {
    readonly configPath: string;
    /** Absent: Manta. */
    readonly destination?: string;
    readonly keep: number;
    readonly checksum: boolean;
    readonly force: boolean;
    readonly secrets: boolean;
    readonly passphraseFile?: string;
    readonly parallel: number;
    readonly dryRun: boolean;
    readonly yes: boolean;
    readonly json: boolean;
    readonly quiet: boolean;
}

/** A path that an option names. @throws UsageError for an empty one */
export function pathOption({ parsed }: Pick<Invocation, 'parsed'>, name: string): string | undefined {
    const given = parsed.values.get(name);
    if (given === '') {
        throw new UsageError(`option requires an argument: --${name}`);
    }
    return given === undefined ? undefined : resolve(given);
}

/** Nobody can be meant who is not in the table. @throws UsageError */
export function requireNoArguments({ parsed }: Pick<Invocation, 'parsed'>): void {
    if (parsed.positionals.length > 0) {
        throw new UsageError(`too many arguments: ${parsed.positionals.join(' ')}`);
    }
}

/** How many files at the same time. @throws UsageError */
export function parallelOption({ parsed }: Pick<Invocation, 'parsed'>): number {
    return countOption(parsed, 'parallel', MAX_PARALLEL) ?? DEFAULT_PARALLEL;
}

/** Reads {@link BACKUP_OPTIONS}. @throws UsageError */
export function backupOrder(invocation: Invocation): BackupOrder {
    const { parsed, environment } = invocation;
    const { counts } = parsed;
    requireNoArguments(invocation);
    const destination = pathOption(invocation, 'dest');
    const passphraseFile = pathOption(invocation, 'passphrase-file');
    if (destination === undefined && counts.has('keep')) {
        throw new UsageError('--keep is about snapshots: give --dest, too');
    }
    if (passphraseFile !== undefined && counts.has('no-secrets')) {
        throw new UsageError('--passphrase-file and --no-secrets exclude each other');
    }
    return {
        configPath: placesOf(parsed, environment).config,
        ...(destination === undefined ? {} : { destination }),
        keep: countOption(parsed, 'keep', MAX_KEEP) ?? DEFAULT_KEEP,
        checksum: counts.has('checksum'),
        force: counts.has('force'),
        secrets: !counts.has('no-secrets'),
        ...(passphraseFile === undefined ? {} : { passphraseFile }),
        parallel: parallelOption(invocation),
        ...commonFlags(parsed),
    };
}

/** A snapshot must not lie where it would be backed up, or served from, itself. @throws Error */
export function requireOutside(destination: string, { base }: BaseDirectories): void {
    const inside = resolve(base);
    if (destination === inside || destination.startsWith(inside + sep)) {
        throw new Error(`${destination} is in the base directory itself, ${inside}`);
    }
}
