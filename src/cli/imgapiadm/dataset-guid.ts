import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { isUuid } from '../../base/uuid.js';
import { fileName, entryOf, requireStorage, storageNameOf } from '../../images/image-files.js';
import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { JSON_OPTION } from './common-options.js';
import { configPath } from './config-path.js';
import { DATA_OPTIONS } from './offline/data-options.js';
import { openServerData } from './offline/server-data.js';
import { terminalLog } from './offline/terminal-log.js';
import { connectToServer, serverAccess } from './server-access.js';
import { readZfsHeader, type ZfsStream } from './zfs/stream-header.js';
import { unpacked } from './zfs/unpacked.js';

const FIRST_FILE = fileName(0);
/** Little is read: a signal may end the process as it does without us. */
const NEVER = new AbortController().signal;

async function headerOf(stream: Readable): Promise<ZfsStream> {
    let plain: Readable | undefined;
    try {
        plain = await unpacked(stream);
        return await readZfsHeader(plain);
    } finally {
        plain?.destroy();
        stream.destroy();
    }
}

async function throughServer(uuid: string, { parsed, environment }: Invocation): Promise<ZfsStream> {
    const server = await connectToServer(serverAccess(parsed, environment), 1);
    try {
        const file = await server.client.openFile(uuid, FIRST_FILE, NEVER);
        if (file === undefined) {
            throw new Error(`there is no image ${uuid}, or it has no file`);
        }
        return await headerOf(file.stream);
    } finally {
        await server.close();
    }
}

async function fromStorage(uuid: string, { parsed, environment, terminal }: Invocation): Promise<ZfsStream> {
    const data = await openServerData({
        configPath: configPath(parsed, environment),
        access: 'reading',
        log: terminalLog(terminal),
    });
    try {
        const { raw } = await data.images.database.get(uuid);
        const entry = entryOf(raw, FIRST_FILE);
        const opened =
            entry && (await requireStorage(data.images, storageNameOf(entry)).open(uuid, FIRST_FILE));
        if (opened === undefined) {
            throw new Error(`image ${uuid} has no file`);
        }
        return await headerOf(opened.stream);
    } finally {
        await data.close();
    }
}

async function start(invocation: Invocation): Promise<number> {
    const { parsed, terminal } = invocation;
    const [what, ...more] = parsed.positionals;
    if (what === undefined || more.length > 0) {
        throw new UsageError('give one image or file');
    }
    const header = isUuid(what)
        ? await (parsed.values.has('url') ? throughServer : fromStorage)(what, invocation)
        : await headerOf(what === '-' ? process.stdin : createReadStream(what));
    if (parsed.counts.has('json')) {
        terminal.line(JSON.stringify(header));
        terminal.line(JSON.stringify({ summary: { guid: header.guid } }));
    } else {
        terminal.line(header.guid);
    }
    return EXIT.clean;
}

/** `imgapiadm dataset-guid` (operations 3.3). */
export const datasetGuid: Subcommand = {
    name: 'dataset-guid',
    summary: 'Print the GUID of the ZFS dataset in a file.',
    usage: '[OPTIONS] UUID|FILE|-',
    description: [
        'Prints the GUID of the snapshot that a ZFS stream makes, as "zfs get guid" would after it was',
        'received: what "dataset_guid" in manifests and of the request to add a file is. UUID is an image',
        'of the server, whose first file is looked at; FILE any file; - standard input. It may be packed',
        'with gzip, or with bzip2 or xz where that program is installed. Only its beginning is read, and no',
        'ZFS is needed. Of a stream of several snapshots the first counts.',
    ],
    options: [JSON_OPTION, ...DATA_OPTIONS],
    examples: [
        'imgapiadm dataset-guid c58161c0-2547-11e2-a75e-9fdca1940570',
        'zfs send zones/base@final | imgapiadm dataset-guid -',
    ],
    run: start,
};
