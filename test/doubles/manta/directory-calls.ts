import { beforeChange, type Answer, type Call } from './call.js';
import { notModified } from './conditions.js';
import { MantaError } from './manta-error.js';
import type { Entry } from './tree.js';

const MAX_LIMIT = 1024;
const DEFAULT_LIMIT = 256;

const LISTING = 'application/x-json-stream; type=directory';

/** Makes a directory. */
export async function makeDirectory(call: Call): Promise<Answer> {
    const { request, store, path } = call;
    notModified(request.method, request.headers, store.get(path));
    beforeChange(call);
    await store.makeDirectory(path);
    return { status: 204, headers: { 'last-modified': new Date(store.require(path).mtime).toUTCString() } };
}

/** Takes an object or an empty directory away. */
export async function remove(call: Call): Promise<Answer> {
    const { request, store, path } = call;
    notModified(request.method, request.headers, store.require(path));
    beforeChange(call);
    await store.remove(path);
    return { status: 204, headers: {} };
}

function limitOf(call: Call): number {
    const given = call.query.get('limit');
    if (given === null) return DEFAULT_LIMIT;
    const limit = Number(given);
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
        const message = `limit=${given} is invalid: must be between [1, ${MAX_LIMIT}]`;
        throw new MantaError(400, 'InvalidLimit', message);
    }
    return limit;
}

interface Named {
    readonly name: string;
    readonly entry: Entry;
    /** What it is sorted and marked by. */
    readonly key: string;
}

function line({ name, entry }: Named): string {
    const mtime = new Date(entry.mtime).toISOString();
    const shown =
        entry.type === 'directory'
            ? { name, type: entry.type, mtime }
            : {
                  name,
                  etag: entry.blob,
                  size: entry.size,
                  type: entry.type,
                  mtime,
                  durability: entry.durability,
              };
    return `${JSON.stringify(shown)}\n`;
}

/** What a listing shows, in its order, from its marker on. */
function* entries({ store, path, query }: Call): Iterable<Named> {
    const byTime = query.get('sort') === 'mtime';
    const reverse = query.get('sort_order') === 'reverse';
    const type = query.has('dir') ? 'directory' : query.has('obj') ? 'object' : undefined;
    const marker = query.get('marker') ?? '';
    const named = store.names(path).flatMap((name): readonly Named[] => {
        const entry = store.child(path, name);
        if (entry === undefined) return [];
        return [{ name, entry, key: byTime ? new Date(entry.mtime).toISOString() : name }];
    });
    if (byTime) named.sort((a, b) => a.entry.mtime - b.entry.mtime);
    if (reverse) named.reverse();
    for (const one of named) {
        const order = Buffer.compare(Buffer.from(one.key), Buffer.from(marker));
        // The page begins with the entry of the marker itself.
        const isBefore = marker !== '' && (reverse ? order > 0 : order < 0);
        if (!isBefore && (type === undefined || one.entry.type === type)) yield one;
    }
}

/** Answers what a directory is and, unless it is only asked for that, a page of what is in it. */
export async function list(call: Call): Promise<Answer> {
    const { request, store, path } = call;
    const directory = store.require(path);
    if (notModified(request.method, request.headers, directory)) return { status: 304, headers: {} };
    const limit = limitOf(call);
    const headers = {
        'content-type': LISTING,
        'last-modified': new Date(directory.mtime).toUTCString(),
        'result-set-size': store.names(path).length,
    };
    if (request.method === 'HEAD') return { status: 200, headers };
    const lines: string[] = [];
    for (const entry of entries(call)) {
        lines.push(line(entry));
        if (lines.length === limit) break;
    }
    return { status: 200, headers, text: lines.join('') };
}
