import { requireWayToAsk } from './asking.js';
import { UsageError, type Invocation, type Subcommand } from './command.js';
import { CHANGE_OPTIONS, commonFlags, REPORT_OPTIONS } from './common-options.js';
import { minAgeOf, MIN_AGE_OPTION } from './files/file-options.js';
import { GcRun, type GcOrder } from './files/gc-run.js';
import { openFiles } from './files/open-files.js';
import { SERVER_ACCESS_OPTIONS } from './server-access.js';

function orderOf(invocation: Invocation): GcOrder {
    const { counts, positionals } = invocation.parsed;
    if (positionals.length > 0) {
        throw new UsageError(`too many arguments: ${positionals.join(' ')}`);
    }
    requireWayToAsk(invocation);
    return {
        minAgeMs: minAgeOf(invocation.parsed),
        purge: counts.has('purge'),
        force: counts.has('force'),
        ...commonFlags(invocation.parsed),
    };
}

async function run(invocation: Invocation): Promise<number> {
    const order = orderOf(invocation);
    const files = await openFiles(invocation, 'reading');
    try {
        return await new GcRun(files, invocation, order).execute();
    } finally {
        await files.close();
    }
}

const ACCESS_OPTIONS = SERVER_ACCESS_OPTIONS.filter(({ name }) => name !== 'channel');

/** `imgapiadm gc` (operations 2.3, 2.4). */
export const gc: Subcommand = {
    name: 'gc',
    summary: 'Move files that no manifest names, and temporary files nobody finished, to the trash.',
    usage: '[--min-age H] [--purge] [OPTIONS]',
    description: [
        'Moves what "imgapiadm orphans" lists as garbage to trash/<time>/ below the base directory, with the',
        'path it had, or below the Manta area; removes empty directories. A second copy of a file, in a storage',
        'that the manifest does not name, goes only when the other copy has been read and is good.',
        '',
        'A server may run. It is asked which uploads it is receiving; without an answer everything younger than',
        '24 hours stays. Each file is judged again right before it is moved, and nothing that a manifest names',
        'by then, or that the server is at work on, is touched. Nothing is touched when not all records can be',
        'read, or when more than 20 % of the images would be orphans, or when images/ is on another file system',
        'than trash/. A Manta area that another host is at work in is left alone, with --force, too.',
    ],
    options: [
        MIN_AGE_OPTION,
        { name: 'purge', help: ['Delete what has been in trash/ for 7 days and in quarantine/ for 90.'] },
        { name: 'force', help: ['Also if more than 20 % of the images have no manifest.'] },
        ...CHANGE_OPTIONS,
        ...REPORT_OPTIONS,
        ...ACCESS_OPTIONS,
    ],
    examples: ['imgapiadm gc --dry-run', 'imgapiadm gc --yes --purge -u alice -i ~/.ssh/id_ed25519'],
    exitStatuses: [
        ['0', 'all garbage that is old enough has been taken away'],
        ['1', 'with --dry-run: there is some; or something could not be taken away'],
    ],
    run,
};
