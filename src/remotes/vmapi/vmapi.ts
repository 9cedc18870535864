import { serviceUnavailable } from '../../base/errors.js';
import type { JsonAnswer, OutgoingHttp } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import type {
    Instance,
    InstanceDirectory,
    InstanceFacts,
    InstanceQuery,
    InstanceWish,
} from '../instances.js';
import { instanceFactsOf, instancesOf, totalOf } from './answers.js';

const FIELDS = 'uuid,alias,owner_uuid,state,brand,server_uuid';
/** Instances of one page; VMAPI gives no more. */
const PAGE_SIZE = 1000;
/** Pages that are counted when VMAPI does not tell the total. */
const MAX_PAGES = 100;
/** For one answer, milliseconds. */
const ANSWER_LIMIT_MS = 30_000;
const RETRY_AFTER_SECONDS = 5;

/** What a {@link VmapiDirectory} is made from. */
export interface VmapiOptions {
    readonly http: OutgoingHttp;
    /** `vmapi.url`. */
    readonly url: string;
}

interface Found {
    readonly count: number;
    readonly instances: readonly Instance[];
}

/** Whether VMAPI has understood the question and refuses it: there is no such instance for the caller. */
function isRefusal(error: unknown): boolean {
    return error instanceof OutgoingError && error.status !== undefined && error.status < 500;
}

/** The instances of a datacenter as VMAPI knows them (jobs-and-imports 1.2, 8.7, 10). */
export class VmapiDirectory implements InstanceDirectory {
    readonly #http: OutgoingHttp;
    readonly #url: string;

    constructor(options: VmapiOptions) {
        this.#http = options.http;
        this.#url = options.url.replace(/\/+$/, '');
    }

    async instance({ uuid, owner, requestId, signal }: InstanceWish): Promise<InstanceFacts | undefined> {
        return this.#named(signal, async () => {
            try {
                const answer = await (
                    await this.#http()
                ).json({
                    url: `${this.#url}/vms/${encodeURIComponent(uuid)}`,
                    peer: 'service',
                    ...(owner === undefined ? {} : { query: { owner_uuid: owner } }),
                    requestId,
                    signal,
                    timeouts: { totalMs: ANSWER_LIMIT_MS },
                });
                return instanceFactsOf(answer.body);
            } catch (error) {
                if (isRefusal(error)) {
                    return undefined;
                }
                throw error;
            }
        });
    }

    async activeInstancesOf(query: InstanceQuery): Promise<Found> {
        return this.#named(query.signal, () => this.#gather(query));
    }

    /** Names the failures of questions for callers. */
    async #named<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
        try {
            return await ask();
        } catch (error) {
            signal.throwIfAborted();
            if (error instanceof OutgoingError) {
                throw serviceUnavailable('VMAPI is unavailable', RETRY_AFTER_SECONDS, error);
            }
            throw error;
        }
    }

    /** Reads pages until the instances wanted and their number are known. */
    async #gather(query: InstanceQuery): Promise<Found> {
        // Instances come and go between two pages, so one may be on both.
        const found = new Map<string, Instance>();
        let offset = 0;
        for (let pages = 1; ; pages += 1) {
            const answer = await this.#page(query, offset);
            const instances = instancesOf(answer.body);
            instances.forEach((instance) => found.set(instance.uuid, instance));
            offset += instances.length;
            const total = totalOf(answer.headers);
            const isLast =
                total === undefined
                    ? instances.length < PAGE_SIZE
                    : instances.length === 0 || offset >= Math.min(total, query.limit);
            if (isLast || pages >= MAX_PAGES) {
                return {
                    count: Math.max(total ?? 0, found.size),
                    instances: [...found.values()].slice(0, query.limit),
                };
            }
        }
    }

    async #page(query: InstanceQuery, offset: number): Promise<JsonAnswer> {
        const { imageUuid, owner, requestId, signal } = query;
        return (await this.#http()).json({
            url: `${this.#url}/vms`,
            peer: 'service',
            query: {
                image_uuid: imageUuid,
                state: 'active',
                ...(owner === undefined ? {} : { owner_uuid: owner }),
                fields: query.limit === 0 ? 'uuid' : FIELDS,
                limit: String(PAGE_SIZE),
                offset: String(offset),
            },
            requestId,
            signal,
            timeouts: { totalMs: ANSWER_LIMIT_MS },
        });
    }
}
