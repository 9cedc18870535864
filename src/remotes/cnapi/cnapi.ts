import type { JsonRequest, OutgoingHttp } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';
import type { JsonObject } from '../../manifest/types.js';
import {
    type ComputeNode,
    type ComputeNodeCall,
    type ComputeNodeDirectory,
    NodeServiceError,
    type NodeTask,
} from '../compute-nodes.js';
import { nodeOf, taskIdOf, taskOf } from './answers.js';

/** For one answer, milliseconds. */
const ANSWER_LIMIT_MS = 30_000;

/** What a {@link CnapiDirectory} is made from. */
export interface CnapiOptions {
    readonly http: OutgoingHttp;
    /** `cnapi.url`. */
    readonly url: string;
}

/** What CNAPI says of its refusal; without its words, what became of the request. */
function refusalOf(error: OutgoingError): NodeServiceError {
    const { code, message } = isObject(error.body) ? error.body : {};
    return new NodeServiceError(typeof message === 'string' ? message : `CNAPI is unavailable`, {
        cause: error,
        ...(error.status === undefined ? {} : { status: error.status }),
        ...(typeof code === 'string' ? { code } : {}),
    });
}

/** The compute nodes of a datacenter as CNAPI knows them (jobs-and-imports 1.7, 10). */
export class CnapiDirectory implements ComputeNodeDirectory {
    readonly #http: OutgoingHttp;
    readonly #url: string;

    constructor(options: CnapiOptions) {
        this.#http = options.http;
        this.#url = options.url.replace(/\/+$/, '');
    }

    async node(serverUuid: string, call: ComputeNodeCall): Promise<ComputeNode> {
        return this.#ask(['servers', serverUuid], call, {}, nodeOf);
    }

    async createImage(
        where: { readonly serverUuid: string; readonly vmUuid: string },
        payload: JsonObject,
        call: ComputeNodeCall,
    ): Promise<string> {
        const path = ['servers', where.serverUuid, 'vms', where.vmUuid, 'images'];
        return this.#ask(path, call, { method: 'POST', body: payload }, taskIdOf);
    }

    async task(id: string, call: ComputeNodeCall): Promise<NodeTask> {
        return this.#ask(['tasks', id], call, {}, taskOf);
    }

    async #ask<T>(
        path: readonly string[],
        { requestId, signal }: ComputeNodeCall,
        request: Pick<JsonRequest, 'method' | 'body'>,
        read: (body: unknown) => T,
    ): Promise<T> {
        try {
            const { body } = await (
                await this.#http()
            ).json({
                url: `${this.#url}/${path.map(encodeURIComponent).join('/')}`,
                peer: 'service',
                ...request,
                requestId,
                signal,
                timeouts: { totalMs: ANSWER_LIMIT_MS },
            });
            return read(body);
        } catch (error) {
            signal.throwIfAborted();
            throw error instanceof OutgoingError ? refusalOf(error) : error;
        }
    }
}
