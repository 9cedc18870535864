import { ApiError } from '../base/errors.js';
import type { HttpClient, OpenAnswer } from '../base/http-client.js';
import { OutgoingError } from '../base/http-errors.js';
import { openedFile, partHeaders } from '../remotes/file-parts.js';
import type { OpenedSourceFile, ResumePoint } from '../remotes/image-source.js';
import { downloadFailure, isTruncation, wrongLength } from '../transfers/download-errors.js';
import { ResumableBody } from '../transfers/resumable-body.js';
import { Retries, type RetryPolicy } from '../transfers/retries.js';
import type { ImageServices, RequestContext } from './context.js';
import { hostRefusal } from './refused-host.js';

/** A broken transfer goes on up to three times, however far it was (jobs-and-imports 7.3). */
const RETRIES: RetryPolicy = { attempts: 4, minMs: 1000, maxMs: 60_000, progressBytes: Infinity };

/** Where nothing can go on. */
const NO_RETRIES: RetryPolicy = { ...RETRIES, attempts: 1 };

/** A file that any web server gives, fetched for a caller (jobs-and-imports 7.3). */
export class WebFile {
    readonly #client: HttpClient;
    readonly #context: RequestContext;
    readonly #url: string;
    #size: number | undefined;
    #body: ResumableBody | undefined;

    private constructor(client: HttpClient, context: RequestContext, url: string) {
        this.#client = client;
        this.#context = context;
        this.#url = url;
    }

    /**
     * Asks for a file. It has to be closed.
     *
     * @throws 400 `Download`, 422 when the host is not allowed
     */
    static async open(services: ImageServices, context: RequestContext, url: string): Promise<WebFile> {
        const file = new WebFile(await services.http(), context, url);
        try {
            await file.#begin();
        } catch (error) {
            throw file.failure(error);
        }
        return file;
    }

    /** Bytes announced; `undefined`: unknown. */
    get size(): number | undefined {
        return this.#size;
    }

    /** The bytes, which go on where they broke off if the server can do that. */
    get body(): ResumableBody {
        if (this.#body === undefined) {
            throw new Error('the file is not open');
        }
        return this.#body;
    }

    /** Ends what is under way. */
    close(): void {
        this.#body?.destroy();
    }

    /** What a failure to get the file is answered with (jobs-and-imports 7.3 #7-#9). */
    failure(error: unknown): ApiError {
        const { signal } = this.#context;
        if (signal.aborted && signal.reason instanceof ApiError) {
            return signal.reason;
        }
        return hostRefusal(error, 'file_url') ?? this.#failureOf(error);
    }

    #failureOf(error: unknown): ApiError {
        if (this.#size !== undefined && this.#body !== undefined && isTruncation(error)) {
            return wrongLength(this.#size, this.#body.offset, error);
        }
        return downloadFailure(error);
    }

    async #begin(): Promise<void> {
        const { signal, log } = this.#context;
        const answer = await this.#ask(undefined, signal);
        if (answer.status !== 200) {
            answer.body.on('error', () => undefined).destroy();
            throw new OutgoingError('status', `GET ${answer.url}: status ${answer.status}`, {
                status: answer.status,
            });
        }
        const first = openedFile(answer, undefined);
        const goesOn = first.etag !== undefined && answer.headers['accept-ranges'] === 'bytes';
        this.#size = first.size;
        this.#body = new ResumableBody({
            first,
            open: (resume, aborted) => this.#open(resume, aborted),
            retries: new Retries(goesOn ? RETRIES : NO_RETRIES),
            onBreak: ({ offset, pauseMs, error }) =>
                log.warn({ err: error, offset, pauseMs, url: answer.url }, 'download broke off'),
            signal,
        });
    }

    async #open(resume: ResumePoint | undefined, signal: AbortSignal): Promise<OpenedSourceFile> {
        return openedFile(await this.#ask(resume, signal), resume);
    }

    async #ask(resume: ResumePoint | undefined, signal: AbortSignal): Promise<OpenAnswer> {
        return this.#client.open({
            url: this.#url,
            peer: 'web',
            supplier: this.#context.account === undefined ? 'operator' : 'account',
            httpsOnly: true,
            headers: partHeaders(resume),
            signal,
        });
    }
}
