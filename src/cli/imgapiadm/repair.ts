import { parseSourceAddress, withoutUserInfo } from '../../remotes/source-address.js';
import { requireWayToAsk } from './asking.js';
import { UsageError, type Invocation, type Subcommand } from './command.js';
import { CHANGE_OPTIONS, commonFlags, REPORT_OPTIONS } from './common-options.js';
import { RepairRun, type RepairOrder } from './files/repair-run.js';
import { SERVER_ACCESS_OPTIONS } from './server-access.js';
import { uuidArguments } from './uuid-arguments.js';

function orderOf(invocation: Invocation): RepairOrder {
    const { counts, values, positionals } = invocation.parsed;
    const uuids = uuidArguments(positionals);
    const given = values.get('source');
    const source = given === undefined ? undefined : parseSourceAddress(given, 'operator');
    if (given !== undefined && source === undefined) {
        throw new UsageError(`no http or https URL: "${withoutUserInfo(given)}"`);
    }
    const fromArchive = counts.has('from-archive');
    if (fromArchive && uuids.length === 0) {
        throw new UsageError('--from-archive: which images? Name their UUIDs.');
    }
    requireWayToAsk(invocation);
    return {
        uuids,
        fromArchive,
        ...commonFlags(invocation.parsed),
        ...(source === undefined ? {} : { source }),
    };
}

/** `imgapiadm repair` (operations 2.3, 2.4). */
export const repair: Subcommand = {
    name: 'repair',
    summary: 'Put files of images back in their places, and what manifests say of them right.',
    usage: '[--source URL] [--from-archive] [OPTIONS] [UUID...]',
    description: [
        'Looks at the files of all images, or of those named, and puts right what can be:',
        '  recoverable  a good copy under a temporary name gets the name of the file that is missing',
        '  legacy       files where very old servers kept them are moved to where they belong',
        '  misplaced    the manifest names the storage that has the file',
        '  manifest     the manifest gets the size, MD5 and time of a file whose SHA-1 is right',
        '  empty        empty directories are removed',
        '  permission   owner and mode are set, if root does this; else the commands are printed',
        '  missing, corrupt',
        '               the file is fetched from --source, if that has the one with the same SHA-1; without',
        '               it the commands to delete and import the image are printed',
        '  orphan       with --from-archive: a manifest is made again of the archived one; the image is',
        '               disabled then. A manifest that cannot be read is replaced in the same way, and kept',
        '               in quarantine/.',
        'All bytes are read of the images that are named, else only where something is suspicious.',
        '',
        'Files are changed beside a running server. Manifests of a local database take the lock, so the server',
        'must be stopped for them (exit status 252 if it is not); on Moray it may run. An image that is named',
        'and of which there is nothing is imported from --source by the running server.',
    ],
    options: [
        {
            name: 'source',
            argument: 'URL',
            help: ['Image server to fetch files from; ?channel=NAME for one of its channels.'],
        },
        { name: 'from-archive', help: ['Make manifests again that are gone or cannot be read.'] },
        ...CHANGE_OPTIONS,
        ...REPORT_OPTIONS,
        ...SERVER_ACCESS_OPTIONS.filter(({ name }) => name !== 'channel'),
    ],
    examples: [
        'imgapiadm repair --dry-run',
        'imgapiadm repair --yes --source https://images.smartos.org c58161c0-2547-11e2-a75e-9fdca1940570',
        'imgapiadm repair --yes --from-archive c58161c0-2547-11e2-a75e-9fdca1940570',
    ],
    exitStatuses: [
        ['0', 'nothing was wrong, or all of it is repaired'],
        ['1', 'something is left'],
        ['252', 'could not run, or a server holds the lock that is needed for some of it'],
    ],
    run: (invocation) => new RepairRun(invocation, orderOf(invocation)).execute(),
};
