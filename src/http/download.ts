import type { OpenedFile } from '../storage/storage.js';
import type { DownloadReply } from './reply.js';

/** The part of a record that describes bytes: a file or an icon. */
interface BytesFacts {
    readonly sha1: string;
    readonly size: number;
    readonly contentMD5?: string;
    readonly mtime?: string;
}

/** Answers with stored bytes (http-api 1.6, 1.8, 3.11); `open` gets the range, if there is one. */
export function fileReply(
    facts: BytesFacts,
    contentType: string,
    open: (range: { readonly start: number; readonly end: number } | undefined) => Promise<OpenedFile>,
): DownloadReply {
    const lastModified = Date.parse(facts.mtime ?? '');
    return {
        kind: 'download',
        entity: { etag: facts.sha1, ...(Number.isNaN(lastModified) ? {} : { lastModified }) },
        size: facts.size,
        contentType,
        ...(facts.contentMD5 === undefined ? {} : { contentMD5: facts.contentMD5 }),
        open: async (range) => (await open(range)).stream,
    };
}
