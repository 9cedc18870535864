import { buffer } from 'node:stream/consumers';
import type { ListedObject } from '../object-store.js';
import type { MantaConnection } from './manta-connection.js';
import { isMissing } from './manta-failure.js';

/** Entries asked for at a time; Manta gives at most 1024. */
const PAGE = 1000;

/** A line of Manta's listing, as far as it is used. */
interface Line {
    readonly name: string;
    readonly type: string;
    readonly size?: number;
    readonly mtime?: string;
}

function isLine(value: unknown): value is Line {
    if (typeof value !== 'object' || value === null) {
        return false;
    }
    const { name, type } = value as Partial<Record<keyof Line, unknown>>;
    return typeof name === 'string' && typeof type === 'string';
}

/** @throws Error for a line that is none of a listing, so that nothing is taken for empty that is not */
function parseLines(text: string): readonly Line[] {
    return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
            const value: unknown = JSON.parse(line);
            if (!isLine(value)) {
                throw new Error('not a directory listing');
            }
            return value;
        });
}

async function readPage(connection: MantaConnection, path: string, marker: string): Promise<readonly Line[]> {
    const text = await connection.repeatable<string>((client, headers, done) => {
        client.get(
            path,
            {
                no_resume: true,
                accept: 'application/x-json-stream',
                headers,
                query: { limit: PAGE, ...(marker === '' ? {} : { marker }) },
            },
            (error, stream, response) => {
                if (stream === null || response === undefined) {
                    done(error, undefined as never);
                    return;
                }
                if (!(response.headers['content-type'] ?? '').startsWith('application/x-json-stream')) {
                    stream.destroy();
                    done(new Error('not a directory'), undefined as never);
                    return;
                }
                response.once('close', () => {
                    if (!response.complete) {
                        stream.destroy(new Error('connection closed before the end of the listing'));
                    }
                });
                buffer(stream).then(
                    (bytes) => done(null, bytes.toString()),
                    (failure: unknown) => done(failure, undefined as never),
                );
            },
        );
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
            if (isMissing(error)) {
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
            };
        }
        const last = page.at(-1)?.name ?? '';
        if (page.length < PAGE || last === marker) {
            return;
        }
        marker = last;
    }
}
