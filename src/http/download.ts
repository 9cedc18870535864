import { storageNameOf } from '../images/image-files.js';
import { openImageFile } from '../images/open-file.js';
import type { StoredFileName } from '../storage/storage.js';
import type { Call } from './call.js';
import { isTrustedProxy } from './forwarded.js';
import type { DownloadReply } from './reply.js';

/** The part of a record that describes bytes: a file or an icon. */
type BytesFacts = Parameters<typeof openImageFile>[4] & {
    readonly contentMD5?: string;
    readonly mtime?: string;
};

/**
 * Where a front server finds a file, if it is to send it itself: `accelRedirect` is set, the file lies in
 * local storage, and the peer is one that is trusted (README table A).
 */
function handOff(
    { config, exchange, uuid }: Call,
    name: StoredFileName,
    storage: string,
): string | undefined {
    const { accelRedirect, trustedProxies } = config;
    return accelRedirect !== undefined &&
        storage === 'local' &&
        isTrustedProxy(trustedProxies, exchange.remoteAddress)
        ? `${accelRedirect.prefix}${uuid.slice(0, 3)}/${uuid}/${name}`
        : undefined;
}

/** Answers with stored bytes of the image (http-api 1.6, 1.8, 3.11). */
export function fileReply(
    call: Call,
    name: StoredFileName,
    facts: BytesFacts,
    contentType: string,
): DownloadReply {
    const lastModified = Date.parse(facts.mtime ?? '');
    const elsewhere = handOff(call, name, storageNameOf(facts));
    return {
        kind: 'download',
        entity: { etag: facts.sha1, ...(Number.isNaN(lastModified) ? {} : { lastModified }) },
        size: facts.size,
        contentType,
        ...(facts.contentMD5 === undefined ? {} : { contentMD5: facts.contentMD5 }),
        ...(elsewhere === undefined ? {} : { handOff: elsewhere }),
        open: async (range) => {
            const { services, context, image } = call;
            return (await openImageFile(services.images, context, image, name, facts, range)).stream;
        },
    };
}
