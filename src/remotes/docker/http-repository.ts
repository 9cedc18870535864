import type { AnswerHeaders } from '../../base/http-client.js';
import { bytesContent } from '../../base/http-content.js';
import { OutgoingError } from '../../base/http-errors.js';
import { MANIFEST_TYPES } from '../../manifest/docker/media-types.js';
import type {
    BlobOutcome,
    BlobUpload,
    RegistryManifest,
    RegistryRepository,
    RegistryRequest,
} from '../docker-registry.js';
import { openedFile } from '../file-parts.js';
import type { OpenedSourceFile, ResumePoint } from '../image-source.js';
import { putBlob } from './blob-upload.js';
import { RegistryLoginError } from './login-error.js';
import type { RegistrySession } from './registry-session.js';
import { urlPart } from './url-part.js';

/** For more of a blob, milliseconds (jobs-and-imports 5.3). */
const BLOB_STALL_MS = 15_000;

function textOf(headers: AnswerHeaders, name: string): string | undefined {
    const value = headers[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
}

function mediaTypeOf(headers: AnswerHeaders): string | undefined {
    return textOf(headers, 'content-type')?.split(';', 1)[0]?.trim().toLowerCase();
}

/** Whoever may not see a manifest does not learn whether there is one (jobs-and-imports 5.2). */
function hidden(error: unknown): unknown {
    if (!(error instanceof OutgoingError) || error.status !== 401 || error instanceof RegistryLoginError) {
        return error;
    }
    const { message, body, headers } = error;
    return new OutgoingError('status', message, { status: 404, body, headers, cause: error });
}

/** A repository over HTTP. */
export class HttpRegistryRepository implements RegistryRepository {
    readonly #session: RegistrySession;

    constructor(session: RegistrySession) {
        this.#session = session;
    }

    async ping({ signal }: RegistryRequest): Promise<void> {
        await this.#session.enter(signal);
    }

    async manifest(reference: string, { signal }: RegistryRequest): Promise<RegistryManifest> {
        const { body, headers } = await this.#session
            .bytes({
                to: `manifests/${urlPart(reference)}`,
                headers: { accept: MANIFEST_TYPES.join(',') },
                signal,
            })
            .catch((error: unknown) => {
                throw hidden(error);
            });
        const contentType = mediaTypeOf(headers);
        const digest = textOf(headers, 'docker-content-digest');
        return {
            bytes: body,
            ...(contentType === undefined ? {} : { contentType }),
            ...(digest === undefined ? {} : { digest }),
        };
    }

    async openBlob(
        digest: string,
        { resume, signal }: RegistryRequest & { readonly resume?: ResumePoint },
    ): Promise<OpenedSourceFile> {
        const answer = await this.#session.open({
            to: `blobs/${urlPart(digest)}`,
            // Without a condition: under a digest there are always the same bytes, wherever they come from.
            ...(resume === undefined ? {} : { headers: { range: `bytes=${resume.offset}-` } }),
            timeouts: { stallMs: BLOB_STALL_MS },
            signal,
        });
        return { ...openedFile(answer, resume), etag: digest };
    }

    async hasBlob(digest: string, { signal }: RegistryRequest): Promise<boolean> {
        try {
            await this.#session.bytes({ to: `blobs/${urlPart(digest)}`, method: 'HEAD', signal });
            return true;
        } catch (error) {
            if (error instanceof OutgoingError && error.status === 404) {
                return false;
            }
            throw error;
        }
    }

    async putBlob(blob: BlobUpload, { signal }: RegistryRequest): Promise<BlobOutcome> {
        return putBlob(this.#session, blob, signal);
    }

    async putManifest(
        reference: string,
        bytes: Buffer,
        contentType: string,
        { signal }: RegistryRequest,
    ): Promise<string | undefined> {
        const { headers } = await this.#session.bytes({
            to: `manifests/${urlPart(reference)}`,
            method: 'PUT',
            content: bytesContent(contentType, bytes),
            redirectsContent: true,
            signal,
        });
        return textOf(headers, 'docker-content-digest');
    }
}
