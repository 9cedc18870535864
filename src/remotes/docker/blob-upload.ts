import type { BytesAnswer } from '../../base/http-client.js';
import { bytesContent, type RequestContent } from '../../base/http-content.js';
import { OutgoingError } from '../../base/http-errors.js';
import { parseHttpUrl } from '../../base/http-urls.js';
import type { BlobOutcome, BlobUpload } from '../docker-registry.js';
import type { RegistrySession } from './registry-session.js';

/** For the answer when all is sent, milliseconds: registries move the bytes to their place then. */
const COMMIT_LIMIT_MS = 300_000;
/** For taking back an upload, milliseconds. */
const CANCEL_LIMIT_MS = 5000;
/** Answers to the last byte of an upload. */
const DONE: ReadonlySet<number> = new Set([200, 201, 204]);

const NOTHING = bytesContent('application/octet-stream', Buffer.alloc(0));

/** Where an upload goes on, absolute or relative to where it was begun. */
function locationOf({ headers, url }: BytesAnswer): URL {
    const { location } = headers;
    const found = typeof location === 'string' ? parseHttpUrl(location, new URL(url)) : undefined;
    if (found === undefined) {
        throw new OutgoingError('malformed', `POST ${url}: no usable location for the upload`);
    }
    found.username = '';
    found.password = '';
    found.hash = '';
    return found;
}

/** The parameters that are there stay as they are, for they may be signed. */
function withDigest(location: URL, digest: string): URL {
    const target = new URL(location);
    const parameter = `digest=${encodeURIComponent(digest)}`;
    target.search = target.search === '' ? parameter : `${target.search}&${parameter}`;
    return target;
}

async function begin(session: RegistrySession, signal: AbortSignal): Promise<URL> {
    const answer = await session.bytes({
        to: 'blobs/uploads/',
        method: 'POST',
        content: NOTHING,
        redirectsContent: true,
        signal,
    });
    if (answer.status !== 202) {
        throw new OutgoingError('malformed', `POST ${answer.url}: status ${answer.status} instead of 202`);
    }
    return locationOf(answer);
}

/** Whether a registry may have refused the mount alone: the upload itself is worth a try. */
function isMountRefusal(error: unknown): boolean {
    const status = error instanceof OutgoingError ? (error.status ?? 0) : 0;
    return status >= 400 && status < 500 && status !== 429;
}

/** @returns `undefined` when the bytes are there, else where they have to be sent */
async function mount(
    session: RegistrySession,
    digest: string,
    from: string,
    signal: AbortSignal,
): Promise<URL | undefined> {
    try {
        const answer = await session.bytes({
            to: 'blobs/uploads/',
            from,
            method: 'POST',
            query: { mount: digest, from },
            content: NOTHING,
            redirectsContent: true,
            signal,
        });
        return answer.status === 201 ? undefined : locationOf(answer);
    } catch (error) {
        if (!isMountRefusal(error)) {
            throw error;
        }
        return begin(session, signal);
    }
}

/** Takes back an upload that will not be finished, so that the registry need not keep it until it cleans up. */
async function cancel(session: RegistrySession, location: URL, reason: unknown): Promise<void> {
    const isDeaf =
        reason instanceof OutgoingError && (reason.kind === 'connect' || reason.kind === 'timeout');
    if (isDeaf) {
        return;
    }
    try {
        const signal = AbortSignal.timeout(CANCEL_LIMIT_MS);
        await session.bytes({ to: location, method: 'DELETE', retryDelaysMs: [], signal });
    } catch {
        // The registry forgets it by itself some day; the reason counts.
    }
}

/**
 * Puts bytes into a repository: from another one of the registry where it offers that, else by an upload in
 * one piece (jobs-and-imports 5.6).
 *
 * @throws OutgoingError
 */
export async function putBlob(
    session: RegistrySession,
    blob: BlobUpload,
    signal: AbortSignal,
): Promise<BlobOutcome> {
    const { digest, mountFrom } = blob;
    const location =
        mountFrom === undefined
            ? await begin(session, signal)
            : await mount(session, digest, mountFrom, signal);
    if (location === undefined) {
        return 'mounted';
    }
    try {
        const { status, url } = await session.bytes({
            to: withDigest(location, digest),
            method: 'PUT',
            content: contentOf(blob),
            redirectsContent: true,
            timeouts: { headersMs: COMMIT_LIMIT_MS, totalMs: 0 },
            signal,
        });
        if (!DONE.has(status)) {
            throw new OutgoingError('malformed', `PUT ${url}: status ${status} instead of 201`);
        }
        return 'uploaded';
    } catch (error) {
        await cancel(session, location, error);
        throw error;
    }
}

function contentOf({ contentType, size, onSent, ...blob }: BlobUpload): RequestContent {
    return {
        type: contentType,
        length: size,
        open: () => blob.open(),
        ...(onSent === undefined ? {} : { onSent }),
    };
}
