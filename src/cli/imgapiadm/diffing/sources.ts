import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { jsonLines } from '../../../base/json-lines.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { uuidOfFile } from '../../../database/local/file-names.js';
import { MAX_RECORD_SIZE } from '../../../database/local/record-reader.js';
import { isObject } from '../../../manifest/coerce.js';
import { parseSourceAddress } from '../../../remotes/source-address.js';
import { UsageError, type Invocation } from '../command.js';
import { openServerData, readLayout } from '../offline/server-data.js';
import { terminalLog } from '../offline/terminal-log.js';
import { openRecords } from '../records/open-records.js';
import { tracedRetries } from '../retries.js';
import { connectToServer, serverAccess } from '../server-access.js';
import { everything, listedImages } from '../server-images.js';
import { comparableManifest, type ComparableManifest } from './manifest-form.js';

/** Something with manifests in it that cannot be read as one. */
export interface Unreadable {
    /** A file, or a line of one. */
    readonly unreadable: string;
}

/** All manifests of one side. */
export type ManifestSource = AsyncIterable<ComparableManifest | Unreadable>;

const CONFIG_IN_DATA = join('etc', 'imgapi.config.json');

async function readSmall(path: string): Promise<string | undefined> {
    const handle = await unlessMissing(open(path, 'r'));
    if (handle === undefined) {
        return undefined;
    }
    try {
        return (await handle.stat()).size > MAX_RECORD_SIZE ? '' : await handle.readFile('utf8');
    } finally {
        await handle.close();
    }
}

function parsed(text: string): unknown {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

/** The files `<uuid>.raw` of a directory. */
async function* ofDirectory(directory: string, signal: AbortSignal): ManifestSource {
    for (const name of (await readdir(directory)).sort()) {
        signal.throwIfAborted();
        const uuid = uuidOfFile(name);
        const path = join(directory, name);
        const text = uuid === undefined ? undefined : await readSmall(path);
        // One that is gone was deleted meanwhile.
        if (text !== undefined) {
            const manifest = comparableManifest(parsed(text), false);
            yield manifest !== undefined && manifest.uuid === uuid ? manifest : { unreadable: path };
        }
    }
}

/** A record or manifest a line, or as the value of a row. */
async function* ofLines(path: string, signal: AbortSignal): ManifestSource {
    let number = 0;
    for await (const line of jsonLines(createReadStream(path), MAX_RECORD_SIZE)) {
        signal.throwIfAborted();
        number += 1;
        const value = isObject(line) && isObject(line['value']) ? line['value'] : line;
        // Copies of rows begin and end with lines about themselves, reports with a summary.
        const isAside = isObject(value) && !('uuid' in value);
        const manifest = comparableManifest(value, false);
        if (!isAside) {
            yield manifest ?? { unreadable: `${path}: line ${number}` };
        }
    }
}

/** What the database of a configuration has. */
async function* ofConfig(configPath: string, { terminal }: Invocation, signal: AbortSignal): ManifestSource {
    const log = terminalLog(terminal);
    const { config, directories } = readLayout(configPath, log);
    if (config.databaseType === 'local') {
        yield* ofDirectory(directories.manifests, signal);
        return;
    }
    const data = await openServerData({ configPath, access: 'reading', log });
    try {
        const { database } = data.database;
        const records = await openRecords({ config, directories, database, log });
        try {
            for await (const entry of records.entries(signal)) {
                const manifest = entry.kind === 'record' ? comparableManifest(entry.data, false) : undefined;
                yield manifest ?? { unreadable: entry.kind === 'record' ? entry.uuid : entry.file };
            }
        } finally {
            await records.close();
        }
    } finally {
        await data.close();
    }
}

/** What a server lists, in any state. */
async function* ofServer(
    text: string,
    { parsed: options, environment, terminal }: Invocation,
    signal: AbortSignal,
): ManifestSource {
    const address = parseSourceAddress(text, 'operator');
    if (address === undefined) {
        throw new UsageError(`no http or https URL: "${text}"`);
    }
    const values = new Map([...options.values, ['url', address.url]]);
    const access = serverAccess({ ...options, values }, environment);
    const channel = address.channel ?? access.channel;
    const server = await connectToServer(access, 1);
    try {
        const retries = tracedRetries(terminal, signal);
        for await (const document of listedImages(server.client, everything(channel), retries)) {
            yield comparableManifest(document, true) ?? { unreadable: document.uuid };
        }
    } finally {
        await server.close();
    }
}

/**
 * What an argument means: a URL, a data directory, a configuration file, a directory of `.raw` files, or a file
 * of JSON lines.
 *
 * @throws UsageError when it is none
 */
export async function manifestSource(
    text: string,
    invocation: Invocation,
    signal: AbortSignal,
): Promise<ManifestSource> {
    if (/^https?:/i.test(text)) {
        return ofServer(text, invocation, signal);
    }
    const stats = await unlessMissing(stat(text));
    if (stats === undefined) {
        throw new UsageError(`no such file or directory: "${text}"`);
    }
    if (stats.isFile()) {
        return text.endsWith('.json') ? ofConfig(text, invocation, signal) : ofLines(text, signal);
    }
    if (!stats.isDirectory()) {
        throw new UsageError(`neither a file nor a directory: "${text}"`);
    }
    const config = join(text, CONFIG_IN_DATA);
    if ((await unlessMissing(stat(config))) !== undefined) {
        return ofConfig(config, invocation, signal);
    }
    const manifests = join(text, 'manifests');
    const inside = await unlessMissing(stat(manifests));
    return ofDirectory(inside?.isDirectory() === true ? manifests : text, signal);
}
