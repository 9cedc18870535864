import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { commonFlags, REPORT_OPTIONS } from './common-options.js';
import { look } from './files/look.js';
import { openFiles, type OpenFiles } from './files/open-files.js';
import { Interrupt } from './interrupt.js';
import { DATA_OPTIONS, serverInsteadOfData, wantedChannel } from './offline/data-options.js';
import { tracedRetries } from './retries.js';
import { countedRecord } from './statistics/counted-image.js';
import { DIMENSIONS, ImageStatistics, type Dimension } from './statistics/image-statistics.js';
import { printJson, printText, type Statistics } from './statistics/report.js';
import { serverStatistics } from './statistics/server-statistics.js';
import { freeSpace, sideDirectories, type DirectoryUse, type SideDirectory } from './statistics/space.js';
import { StrayFiles } from './statistics/stray-files.js';

const DEFAULT_DIMENSIONS: readonly Dimension[] = ['state', 'stor'];

function isDimension(name: string): name is Dimension {
    return (DIMENSIONS as readonly string[]).includes(name);
}

/** @throws UsageError */
function dimensionsOf(lists: readonly string[] | undefined): readonly Dimension[] {
    if (lists === undefined) {
        return DEFAULT_DIMENSIONS;
    }
    const names = new Set(lists.flatMap((list) => list.split(',')));
    const wrong = [...names].find((name) => !isDimension(name));
    if (wrong !== undefined) {
        throw new UsageError(`--by must be of ${DIMENSIONS.join(', ')}: "${wrong}"`);
    }
    return [...names].filter(isDimension);
}

/** What is counted below directories, unless told to stop. */
interface Counted {
    readonly strays: StrayFiles;
    readonly directories: ReadonlyMap<SideDirectory, DirectoryUse>;
}

async function countFiles(
    files: OpenFiles,
    invocation: Invocation,
    signal: AbortSignal,
): Promise<Counted | undefined> {
    const strays = new StrayFiles();
    await look(files, invocation, { depth: 'needed', signal, onFinding: (finding) => strays.add(finding) });
    if (signal.aborted) {
        return undefined;
    }
    try {
        return { strays, directories: await sideDirectories(files.data.directories, signal) };
    } catch (error) {
        if (!signal.aborted) {
            throw error;
        }
        return undefined;
    }
}

async function collect(
    files: OpenFiles,
    invocation: Invocation,
    dimensions: readonly Dimension[],
    signal: AbortSignal,
): Promise<Statistics> {
    const images = new ImageStatistics(dimensions);
    for await (const { raw } of files.records.all()) {
        images.take(countedRecord(raw), wantedChannel(invocation));
        if (signal.aborted) {
            break;
        }
    }
    const skips = signal.aborted || invocation.parsed.counts.has('no-files');
    const counted = skips ? {} : await countFiles(files, invocation, signal);
    return {
        images,
        dimensions,
        unreadable: files.unreadable().length,
        away: [...files.away.keys()],
        ...counted,
        space: await freeSpace(files.data.directories),
        interrupted: signal.aborted,
    };
}

/** Counts what is stored. */
async function onData(
    invocation: Invocation,
    dimensions: readonly Dimension[],
    signal: AbortSignal,
): Promise<Statistics> {
    const files = await openFiles(invocation, 'reading');
    try {
        return await collect(files, invocation, dimensions, signal);
    } finally {
        await files.close();
    }
}

async function start(invocation: Invocation): Promise<number> {
    const { parsed, terminal } = invocation;
    if (parsed.positionals.length > 0) {
        throw new UsageError(`too many arguments: ${parsed.positionals.join(' ')}`);
    }
    const dimensions = dimensionsOf(parsed.lists.get('by'));
    const access = serverInsteadOfData(invocation);
    const channel = wantedChannel(invocation);
    const { json, quiet } = commonFlags(parsed);
    const interrupt = new Interrupt();
    const { signal } = interrupt;
    const stopListening = interrupt.listen({ onFirst: () => undefined, onSecond: () => undefined });
    try {
        const retries = tracedRetries(terminal, signal);
        const facts =
            access === undefined
                ? await onData(invocation, dimensions, signal)
                : await serverStatistics({ access, dimensions, channel, quiet }, terminal, retries);
        (json ? printJson : printText)(terminal, facts);
        return interrupt.status ?? EXIT.clean;
    } finally {
        stopListening();
    }
}

/** `imgapiadm stats` (operations 2.3). */
export const statsCommand: Subcommand = {
    name: 'stats',
    summary: 'Count images, bytes and what takes up room.',
    usage: '[OPTIONS]',
    description: [
        'Counts images and the bytes of their files and icons; the ten largest; how many origins images',
        'have below them, where "broken" means that one is missing or that they go in a circle; origins',
        'that are missing or not active; files that no manifest names, as "imgapiadm orphans" lists them;',
        'what archive, trash, quarantine and staging hold on this machine; and what is free there.',
        '',
        'Changes nothing; a server may run. Files of a clone count for each image, although they share',
        'their bytes.',
        '',
        'With --url, counts what the API of a running server tells: all images in any state, what they are',
        'based on, and what is free in its local storage. The API tells nothing of the bytes of icons, of',
        'files that no manifest names, or of directories: these are left out, as the result says.',
    ],
    options: [
        {
            name: 'by',
            argument: 'LIST',
            help: [
                `Count images by these, with commas: ${DIMENSIONS.join(', ')};`,
                `default: ${DEFAULT_DIMENSIONS.join(',')}. An image counts for each of its channels.`,
            ],
        },
        { name: 'no-files', help: ['Do not look at files and directories: quick.'] },
        ...REPORT_OPTIONS,
        ...DATA_OPTIONS,
    ],
    examples: [
        'imgapiadm stats',
        'imgapiadm stats --by owner,os --no-files --json',
        'imgapiadm stats --url https://images.example.com --user operator --identity ~/.ssh/id_rsa',
    ],
    run: start,
};
