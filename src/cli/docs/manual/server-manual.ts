import { DEFAULT_CONFIG_PATH } from '../../../base/config.js';
import { SERVER_DESCRIPTION, SERVER_OPTIONS } from '../../server-options.js';
import { describedBy, optionsBlock, type Block, type Manual } from './manual.js';

type Items = readonly (readonly [term: string, meaning: string])[];

/** Signals (operations 1.4). */
const SIGNALS: Items = [
    [
        'SIGTERM',
        'Stop: refuse new work, let running requests finish for at most "shutdownTimeoutSec" seconds, exit with status 0. Before the start is complete: exit at once.',
    ],
    ['SIGINT', 'The same, with exit status 1.'],
    ['SIGTERM or SIGINT a second time', 'Exit at once, with status 143 or 130.'],
    [
        'SIGHUP',
        'Read the configuration file, keys and certificates again. A configuration with errors is logged and not taken. Where a setting has changed that only a new process can take, stop as for SIGTERM, for the service manager to start another.',
    ],
    ['SIGUSR2', 'Log a summary of the state.'],
];

/** Exit statuses (operations 1.2). */
const SERVER_STATUSES: Items = [
    ['0', 'stopped by SIGTERM, or after --help, --version, --migrate, or --check without problems'],
    ['1', 'wrong command line, or stopped by SIGINT'],
    [
        '2',
        'could not start, e.g. a bad configuration or a port in use; --check has found problems; the lock was lost',
    ],
    ['130, 143', 'told to stop twice'],
];

/** Files below the base directory, by their names in it (operations 1.2, 4.7). */
export const SERVER_FILES: Items = [
    ['etc/imgapi.config.json', 'Configuration.'],
    [
        'etc/keys/, etc/authkeys/',
        'Public keys of users, as NAME.keys; in local/ by hand, in manta/ a mirror.',
    ],
    ['manifests/', 'Records of images, one <uuid>.raw each, with the local database.'],
    ['images/', 'Files and icons of images, below the first three characters of their uuids.'],
    ['archive/', 'What manifests were before they were changed or deleted.'],
    ['staging/', 'Transfers and layers under way.'],
    ['jobs/', 'Jobs and their results.'],
    ['sharing/', 'Whom accounts trust, with the local database.'],
    ['quarantine/', 'Records that could not be read and were overwritten.'],
    ['trash/', 'What "imgapiadm gc" took away.'],
    ['run/imgapi.lock, run/imgapi.sock', 'Lock of the process that writes; see imgapiadm unlock.'],
    [
        'run/deletes/, run/uploads/, run/clones/, run/exports/',
        'Journals of what is to be finished or undone after a crash.',
    ],
    [
        'run/restored.marker, run/backup.status, run/logupload.status',
        'Whether a restore was run, and how the last backup and upload of logs ended; see imgapiadm status.',
    ],
    ['data-version', 'Form of the data.'],
];

function list(items: Items): readonly Block[] {
    return [{ kind: 'list', items }];
}

/** `imgapi(8)`. */
export function serverManual(): Manual {
    return {
        name: 'imgapi',
        summary: 'image server',
        usage: '[OPTIONS]',
        sections: [
            {
                title: 'Description',
                blocks: describedBy([
                    ...SERVER_DESCRIPTION,
                    '',
                    'Serves and stores images of virtual machines and containers with their manifests over HTTP.',
                    '"imgapi" starts the Node.js that was installed with it; "node main.js" does the same with',
                    'another one.',
                ]),
            },
            { title: 'Options', blocks: optionsBlock(SERVER_OPTIONS) },
            { title: 'Signals', blocks: list(SIGNALS) },
            { title: 'Exit status', blocks: list(SERVER_STATUSES) },
            {
                title: 'Files',
                blocks: [
                    {
                        kind: 'text',
                        paragraphs: [
                            `The configuration file is ${DEFAULT_CONFIG_PATH} unless --file names another. Below the base directory, "dataDir" of the configuration, are:`,
                        ],
                    },
                    ...list(SERVER_FILES),
                ],
            },
            {
                title: 'Environment',
                blocks: list([
                    ['IMGAPITEST_LOCAL_BASE_DIR', 'Base directory in the place of the default one.'],
                ]),
            },
            { title: 'See also', blocks: [{ kind: 'text', paragraphs: ['imgapiadm(8)'] }] },
        ],
    };
}
