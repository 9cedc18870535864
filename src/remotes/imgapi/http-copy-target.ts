import type { OpenAnswer, OutgoingHttp } from '../../base/http-client.js';
import { readJson } from '../../base/http-body.js';
import { OutgoingError } from '../../base/http-errors.js';
import { jsonLines } from '../../base/json-lines.js';
import { isUuid } from '../../base/uuid.js';
import { isObject } from '../../manifest/coerce.js';
import type { JsonObject } from '../../manifest/types.js';
import type { AcceptedCopy, CopyTarget, CopyTargets, CopyToMake, TargetCall } from '../copy-target.js';
import type { SourceAddress } from '../image-source.js';

const LINES_TYPE = 'application/x-json-stream';
/** Longest line; the last one holds a manifest. Also the largest plain answer, bytes. */
const MAX_BYTES = 8 * 1024 * 1024;
/** For an answer: the other side asks us for the image and all its origins first, milliseconds. */
const ANSWER_LIMIT_MS = 120_000;
/** For a job, milliseconds. */
const JOB_LIMIT_MS = 30_000;

function objectOf(value: unknown, what: string): JsonObject {
    if (!isObject(value)) {
        throw new OutgoingError('malformed', `${what} is no object`);
    }
    return value as JsonObject;
}

function textOf(value: unknown): string | undefined {
    return typeof value === 'string' && value !== '' ? value : undefined;
}

/** What an answer, or the first line of a stream, says. @throws OutgoingError `malformed` */
function acceptedOf(fields: JsonObject, { headers }: OpenAnswer): AcceptedCopy {
    const jobUuid = fields['job_uuid'];
    if (!isUuid(jobUuid)) {
        throw new OutgoingError('malformed', 'the answer names no job');
    }
    const { changed } = fields;
    const workflowApi = textOf(headers['workflow-api']) ?? textOf(fields['workflow_api']);
    return {
        jobUuid,
        result: textOf(fields['result']) ?? textOf(headers['x-imgapi-copy']) ?? 'started',
        changed: Array.isArray(changed) ? changed.filter((name) => typeof name === 'string') : [],
        ...(workflowApi === undefined ? {} : { workflowApi }),
    };
}

/** The lines of a stream, with failures named. */
async function* linesOf(answer: OpenAnswer): AsyncGenerator<JsonObject, void, undefined> {
    try {
        for await (const line of jsonLines(answer.body, MAX_BYTES)) {
            yield objectOf(line, 'a line');
        }
    } catch (error) {
        throw answer.failure(error);
    }
}

async function* startingWith<T>(
    first: T,
    rest: AsyncIterableIterator<T>,
): AsyncGenerator<T, void, undefined> {
    try {
        yield first;
        yield* rest;
    } finally {
        // Also when nobody wants more than the first.
        await rest.return?.();
    }
}

async function streamed(answer: OpenAnswer): Promise<AcceptedCopy> {
    const lines = linesOf(answer);
    const first = await lines.next();
    try {
        const fields = objectOf(first.value, 'an empty stream');
        return { ...acceptedOf(fields, answer), lines: startingWith(fields, lines) };
    } catch (error) {
        await lines.return();
        throw error;
    }
}

/** Another datacenter's image server over HTTP. */
class HttpCopyTarget implements CopyTarget {
    readonly #http: OutgoingHttp;
    readonly #address: SourceAddress;

    constructor(http: OutgoingHttp, address: SourceAddress) {
        this.#http = http;
        this.#address = address;
    }

    async request(copy: CopyToMake, { requestId, signal }: TargetCall): Promise<AcceptedCopy> {
        const { uuid, account, datacenter, sync, stream } = copy;
        const { url, channel, supplier } = this.#address;
        const answer = await (
            await this.#http()
        ).open({
            url: `${url}/images/${uuid}`,
            method: 'POST',
            peer: 'image-server',
            supplier,
            query: {
                action: 'import-from-datacenter',
                account,
                datacenter,
                ...(channel === undefined ? {} : { channel }),
                ...(sync ? { sync: 'true' } : {}),
                ...(stream ? { progress: 'stream' } : {}),
            },
            headers: { accept: 'application/json', 'accept-version': '*' },
            requestId,
            signal,
            timeouts: { headersMs: ANSWER_LIMIT_MS, totalMs: ANSWER_LIMIT_MS },
        });
        if (stream && textOf(answer.headers['content-type'])?.startsWith(LINES_TYPE) === true) {
            return streamed(answer);
        }
        const body = await readJson(answer.body, MAX_BYTES, answer.url);
        return acceptedOf(objectOf(body, 'the answer'), answer);
    }

    async job(workflowApi: string, jobUuid: string, { requestId, signal }: TargetCall): Promise<JsonObject> {
        const { body } = await (
            await this.#http()
        ).json({
            url: `${workflowApi.replace(/\/+$/, '')}/jobs/${jobUuid}`,
            peer: 'image-server',
            // Not an address of ours: the other side has named it.
            supplier: 'operator',
            headers: { 'accept-version': '*' },
            requestId,
            signal,
            timeouts: { totalMs: JOB_LIMIT_MS },
        });
        return objectOf(body, 'the job');
    }
}

/** Datacenters that are asked over HTTP. */
export class HttpCopyTargets implements CopyTargets {
    readonly #http: OutgoingHttp;

    constructor(http: OutgoingHttp) {
        this.#http = http;
    }

    at(address: SourceAddress): CopyTarget {
        return new HttpCopyTarget(this.#http, address);
    }
}
