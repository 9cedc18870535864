import { CHANGE_OPTIONS, commonFlags, REPORT_OPTIONS } from '../common-options.js';
import { CONFIG_OPTION } from '../config-path.js';
import { UsageError, type Invocation } from '../command.js';
import type { CommandOption } from '../../options.js';
import { DATA_DIR_OPTION, placesOf, type Places } from '../../places.js';
import {
    PARALLEL_OPTION,
    parallelOption,
    PASSPHRASE_OPTION,
    pathOption,
    requireNoArguments,
} from './backup-order.js';

/** Options of a restore (operations 3.2). */
export const RESTORE_OPTIONS: readonly CommandOption[] = [
    {
        name: 'from',
        argument: 'DIR',
        help: ['A snapshot, or a directory of snapshots, whose newest is taken;', 'default: from Manta.'],
    },
    { name: 'dest', argument: 'DIR', help: ['The same: the directory that a backup was given.'] },
    { name: 'checksum', help: ['Compare each file with the SHA-1 in its record.'] },
    {
        name: 'force',
        short: 'f',
        help: ['Go on where there is data already; what has the same name is replaced.'],
    },
    {
        ...PASSPHRASE_OPTION,
        help: [
            'File whose first line decrypts what the backup has of etc; default:',
            'etc/backup.passphrase in the base directory, if it is there.',
        ],
    },
    { name: 'no-etc', help: ['Leave etc as it is.'] },
    PARALLEL_OPTION,
    ...CHANGE_OPTIONS,
    ...REPORT_OPTIONS,
    CONFIG_OPTION,
    DATA_DIR_OPTION,
];

/** What a restore is asked to do. */
export interface RestoreOrder {
    readonly places: Places;
    /** Absent: Manta. */
    readonly from?: string;
    readonly checksum: boolean;
    readonly force: boolean;
    readonly etc: boolean;
    readonly passphraseFile?: string;
    readonly parallel: number;
    readonly dryRun: boolean;
    readonly yes: boolean;
    readonly json: boolean;
    readonly quiet: boolean;
}

/** Reads {@link RESTORE_OPTIONS}. @throws UsageError */
export function restoreOrder(invocation: Invocation): RestoreOrder {
    const { parsed, environment } = invocation;
    const { counts } = parsed;
    requireNoArguments(invocation);
    if (counts.has('from') && counts.has('dest')) {
        throw new UsageError('--from and --dest mean the same: give one of them');
    }
    const from = pathOption(invocation, 'from') ?? pathOption(invocation, 'dest');
    const passphraseFile = pathOption(invocation, 'passphrase-file');
    return {
        places: placesOf(parsed, environment),
        ...(from === undefined ? {} : { from }),
        checksum: counts.has('checksum'),
        force: counts.has('force'),
        etc: !counts.has('no-etc'),
        ...(passphraseFile === undefined ? {} : { passphraseFile }),
        parallel: parallelOption(invocation),
        ...commonFlags(parsed),
    };
}
