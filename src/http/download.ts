import { uuidPrefix } from '../base/directories.js';
import { storageNameOf } from '../images/image-files.js';
import { openImageFile, type ByteRange } from '../images/open-file.js';
import type { OpenedFile, StoredFileName } from '../storage/storage.js';
import type { Call } from './call.js';
import { isTrustedProxy } from './forwarded.js';
import type { DownloadReply } from './reply.js';

/** The part of a record that describes bytes: a file or an icon. */
type BytesFacts = Parameters<typeof openImageFile>[4] & {
    readonly contentMD5?: string;
    readonly mtime?: string;
};

/** Headers by which a front server shows that it is one; a client on this machine is trusted without being one. */
const FRONT_HEADERS = ['x-forwarded-for', 'x-forwarded-proto'];

/**
 * Whether the request comes from a front server that sends files itself: `accelRedirect` is set, it is a
 * trusted one, and it says whom it asks for (README table A). Who speaks the PROXY protocol passes bytes on
 * and reads no headers; then the one that counts is before it.
 */
function isFromFront({ config, exchange }: Call): boolean {
    const { accelRedirect, trustedProxies } = config;
    const { proxied, remoteAddress, headers } = exchange;
    return (
        accelRedirect !== undefined &&
        isTrustedProxy(trustedProxies, proxied?.address ?? remoteAddress) &&
        FRONT_HEADERS.some((name) => headers[name] !== undefined)
    );
}

/** Where a front server finds a file; only local storage has paths, and very old ones are elsewhere. */
function frontPath(call: Call, name: StoredFileName, { path = '' }: OpenedFile): string | undefined {
    const place = `${uuidPrefix(call.uuid)}/${call.uuid}/${name}`;
    return path.endsWith(`/${place}`) ? `${call.config.accelRedirect?.prefix ?? ''}${place}` : undefined;
}

/** Answers with stored bytes of the image (http-api 1.6, 1.8, 3.11). */
export function fileReply(
    call: Call,
    name: StoredFileName,
    facts: BytesFacts,
    contentType: string,
): DownloadReply {
    const lastModified = Date.parse(facts.mtime ?? '');
    const open = (range?: ByteRange): Promise<OpenedFile> => {
        const { services, context, image } = call;
        return openImageFile(services.images, context, image, name, facts, range);
    };
    return {
        kind: 'download',
        entity: { etag: facts.sha1, ...(Number.isNaN(lastModified) ? {} : { lastModified }) },
        size: facts.size,
        contentType,
        ...(facts.contentMD5 === undefined ? {} : { contentMD5: facts.contentMD5 }),
        ...(isFromFront(call) && storageNameOf(facts) === 'local'
            ? {
                  handOff: async () => {
                      const opened = await open();
                      opened.stream.on('error', () => undefined).destroy();
                      return frontPath(call, name, opened);
                  },
              }
            : {}),
        open: async (range) => (await open(range)).stream,
    };
}
