import { ObjectStoreError, saysMissing, type ListedObject } from '../object-store.js';
import type { MantaConnection } from './manta-connection.js';
import { mantaGet } from './manta-get.js';

/** Entries asked for at a time; Manta gives at most 1024. */
const PAGE = 1000;

/** Longest page that is read, bytes: entries have names of at most a few hundred. */
const MAX_PAGE_SIZE = 4_194_304;

/** Media type of a listing. */
const LISTING = 'application/x-json-stream';

/** A line of Manta's listing, as far as it is used. */
interface Line {
    readonly name: string;
    readonly type: string;
    readonly size?: number;
    readonly mtime?: string;
    readonly etag?: unknown;
}

function isLine(value: unknown): value is Line {
    if (typeof value !== 'object' || value === null) {
        return false;
    }
    const { name, type } = value as Partial<Record<keyof Line, unknown>>;
    return typeof name === 'string' && isName(name) && typeof type === 'string';
}

/** Whether it names an entry of the directory: callers make paths of it, of local files, too. */
function isName(text: string): boolean {
    return !['', '.', '..'].includes(text) && !/[/\0]/.test(text);
}

/** @throws ObjectStoreError for a line that is none of a listing, so that nothing is taken for empty that is not */
function parseLines(text: string): readonly Line[] {
    return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
            const value = parseLine(line);
            if (!isLine(value)) {
                throw new ObjectStoreError('InvalidListing', 200, 'not a directory listing');
            }
            return value;
        });
}

function parseLine(line: string): unknown {
    try {
        return JSON.parse(line);
    } catch {
        return undefined;
    }
}

/** @throws Error when it is longer than any page */
async function readText(response: AsyncIterable<Buffer>): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response) {
        size += chunk.length;
        if (size > MAX_PAGE_SIZE) {
            throw new ObjectStoreError('InvalidListing', 200, 'a page of a listing is too long');
        }
        chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
}

async function readPage(connection: MantaConnection, path: string, marker: string): Promise<readonly Line[]> {
    const query = { limit: String(PAGE), ...(marker === '' ? {} : { marker }) };
    const text = await connection.repeatable<string>((client, { headers }, done) => {
        mantaGet(client, path, query, { ...headers, accept: LISTING }, (error, response) => {
            if (error !== null && error !== undefined) {
                done(error, '');
            } else if ((response.headers['content-type'] ?? '').startsWith(LISTING)) {
                readText(response).then(
                    (listing) => done(null, listing),
                    (failure: unknown) => done(failure, ''),
                );
            } else {
                done(new ObjectStoreError('NotADirectory', 200, `not a directory: ${path}`), '');
            }
        });
    });
    return parseLines(text);
}

/** Lists a directory page by page, by name (backends 8). */
export async function* listDirectory(
    connection: MantaConnection,
    path: string,
): AsyncGenerator<ListedObject, void, undefined> {
    for (let marker = ''; ;) {
        let page: readonly Line[];
        try {
            page = await readPage(connection, path, marker);
        } catch (error) {
            if (saysMissing(error)) {
                return;
            }
            throw error;
        }
        // A page begins with the entry that was named to go on from.
        for (const line of page.filter(({ name }) => name !== marker || marker === '')) {
            yield {
                name: line.name,
                isDirectory: line.type === 'directory',
                size: line.size ?? 0,
                mtime: Date.parse(line.mtime ?? ''),
                ...(typeof line.etag === 'string' ? { etag: line.etag } : {}),
            };
        }
        const last = page.at(-1)?.name ?? '';
        if (page.length < PAGE || last === marker) {
            return;
        }
        marker = last;
    }
}
