import { setMaxListeners } from 'node:events';
import { checkOrder, DEFAULT_PARALLEL, MAX_PARALLEL, STATES } from './checking/check-order.js';
import { CheckRun } from './checking/check-run.js';
import type { CheckSource } from './checking/check-source.js';
import { openOffline } from './checking/offline-source.js';
import { openServer } from './checking/api-source.js';
import { OLD_CACHE_DIRECTORY, OLD_CACHE_VARIABLE } from './checking/check-cache.js';
import { EXIT, type Invocation, type Subcommand } from './command.js';
import { REPORT_OPTIONS } from './common-options.js';
import { Interrupt } from './interrupt.js';
import { DATA_OPTIONS } from './offline/data-options.js';
import { tracedRetries } from './retries.js';
import { VALID_STORAGES } from '../../base/constants.js';

/** Whoever reads the result has gone. */
function leave(): void {
    process.exit(EXIT.failed);
}

async function start(invocation: Invocation): Promise<number> {
    const { terminal, environment } = invocation;
    const order = checkOrder(invocation);
    const interrupt = new Interrupt();
    // As many as there are files being read.
    setMaxListeners(0, interrupt.signal);
    let run: CheckRun | undefined;
    const unlisten = interrupt.listen({ onFirst: () => undefined, onSecond: () => run?.summarize() });
    process.stdout.on('error', leave);
    const retries = tracedRetries(terminal, interrupt.signal);
    let source: CheckSource | undefined;
    try {
        source =
            order.access === undefined
                ? await openOffline(invocation)
                : await openServer(order.access, order.parallel * VALID_STORAGES.length, retries);
        run = new CheckRun({ order, source, terminal, environment, interrupt, retries });
        return await run.execute();
    } catch (error) {
        if (interrupt.status === undefined) {
            throw error;
        }
        // Before anything was begun.
        run?.summarize();
        return interrupt.status;
    } finally {
        await source?.close();
        process.stdout.off('error', leave);
        unlisten();
    }
}

/** `imgapiadm check-files` (operations 2.1-2.3). */
export const checkFilesCommand: Subcommand = {
    name: 'check-files',
    summary: 'Check that the files of images are as their records say.',
    usage: '[OPTIONS] [UUID...]',
    description: [
        'Checks every file of all images, or of those named, wherever it is stored. A file of this machine is',
        'read once: size, SHA-1 and MD5 are compared with the record, and gzip, bzip2 and xz files are unpacked',
        'as a test. Of a file in Manta, size and MD5 are asked for. --deep reads that, too, and compares SHA-256.',
        'A server may be running meanwhile. With --url everything comes through its API.',
        '',
        'Prints a block for each bad image, with what to do, and a line about the whole. Without the program',
        '"bzip2" or "xz" such archives are not tested; their images are neither good nor bad.',
        '',
        'Files that were good are remembered in run/check-files.json of the base directory, and not read',
        'again until they or their records change: a run that was broken off goes on where it was. Not so',
        `with --url. If there is a directory ${OLD_CACHE_DIRECTORY}, or the one`,
        `${OLD_CACHE_VARIABLE} names, results are kept there: in check-files.json, with --docker-v2 in`,
        'check-files-v2.json.',
    ],
    options: [
        { name: 'force', short: 'f', help: ['Check also what is remembered as good.'] },
        {
            name: 'docker-v2',
            short: 'd',
            help: ['Only images whose tag "docker:id" begins with "sha256:".'],
        },
        { name: 'simple', short: 's', help: ['Look at existence and size only.'] },
        { name: 'deep', help: ['Read files in Manta, too, and compare SHA-256.'] },
        {
            name: 'parallel',
            short: 'p',
            argument: 'N',
            help: [
                `Files of each storage at the same time, 1 to ${MAX_PARALLEL}; default: ${DEFAULT_PARALLEL}.`,
            ],
        },
        { name: 'stor', argument: VALID_STORAGES.join('|'), help: ['Only files in this storage.'] },
        {
            name: 'state',
            argument: 'STATE',
            help: [`Only images in this state: ${STATES.join(', ')};`, `default: ${STATES[0]}.`],
        },
        { name: 'icons', help: ['Check icons, too.'] },
        { name: 'no-cache', help: ['Remember nothing, and check everything.'] },
        { name: 'max-age', argument: 'DAYS', help: ['Check again what was checked longer ago.'] },
        { name: 'limit-rate', argument: 'B/S', help: ['Read at most so many bytes a second.'] },
        ...REPORT_OPTIONS,
        ...DATA_OPTIONS,
    ],
    examples: [
        'imgapiadm check-files',
        'imgapiadm check-files --json --max-age 30 --limit-rate 50000000',
        'imgapiadm check-files --url https://images.example.com --simple c58161c0-2547-11e2-a75e-9fdca1940570',
    ],
    exitStatuses: [
        ['0', 'all files are good'],
        ['1', 'one image is bad'],
        ['2-250', 'so many images are bad; 250: or more'],
        [String(EXIT.failed), 'could not run, or not check all, and what was checked is good'],
    ],
    run: start,
};
