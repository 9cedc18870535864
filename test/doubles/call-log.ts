import { matches, type CallMatch, type MatchedCall } from './call-rules.js';

/** A request as it came and what became of it. */
export interface LoggedCall<Kind extends string> extends MatchedCall<Kind> {
    /** Nothing is done for it any more. */
    done: boolean;
}

/** Which request to wait for. */
export interface WaitOptions {
    /** Counted from 1, and from what the log still has. */
    readonly nth?: number;
    /** Whether it must be done, rather than have come in. */
    readonly done?: boolean;
    readonly limitMs?: number;
}

const MAX_REQUESTS = 20_000;
const WAIT_LIMIT_MS = 30_000;

/** The latest requests, in the order they came in. */
export class CallLog<Kind extends string, Call extends LoggedCall<Kind>> {
    #requests: Call[] = [];
    readonly #watchers = new Set<() => void>();

    add(request: Call): void {
        this.#requests.push(request);
        if (this.#requests.length > MAX_REQUESTS) this.#requests = this.#requests.slice(MAX_REQUESTS / 2);
        this.changed();
    }

    /** Tells that something about a request has changed. */
    changed(): void {
        for (const look of this.#watchers) look();
    }

    clear(): void {
        this.#requests = [];
    }

    find(match: CallMatch<Kind> = {}): readonly Call[] {
        return this.#requests.filter((request) => matches(match, request));
    }

    /** Resolves when there has been such a request. */
    async waitFor(match: CallMatch<Kind>, options: WaitOptions = {}): Promise<Call> {
        const { nth = 1, done = false, limitMs = WAIT_LIMIT_MS } = options;
        const found = (): Call | undefined => {
            const request = this.find(match)[nth - 1];
            return request === undefined || (done && !request.done) ? undefined : request;
        };
        const here = found();
        if (here !== undefined) return here;
        return new Promise((resolve, reject) => {
            const end = (): void => {
                clearTimeout(timer);
                this.#watchers.delete(look);
            };
            const look = (): void => {
                const request = found();
                if (request === undefined) return;
                end();
                resolve(request);
            };
            const timer = setTimeout(() => {
                end();
                reject(new Error(`no such request in ${limitMs} ms`));
            }, limitMs);
            this.#watchers.add(look);
        });
    }
}
