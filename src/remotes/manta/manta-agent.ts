import { Agent as HttpAgent, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';

/** Header that every call carries, by which its request is found again. */
export const CALL_ID = 'x-request-id';

/** What Node.js' agents have but their types do not say: takes a request that needs a connection. */
interface RequestTaker {
    addRequest(request: ClientRequest, ...rest: unknown[]): void;
}

/**
 * The connections to a store. The Manta client does not give its requests away, so they are remembered
 * here, by the id of the call: only who has the request can end a call that hangs.
 */
export class MantaAgent {
    readonly agent: HttpAgent;
    readonly #requests = new Map<string, ClientRequest>();

    constructor(options: {
        readonly isTls: boolean;
        readonly insecure: boolean;
        readonly maxSockets: number;
    }) {
        const { isTls, insecure, maxSockets } = options;
        const shared = { keepAlive: true, maxSockets, maxFreeSockets: maxSockets };
        this.agent = isTls
            ? new HttpsAgent({ ...shared, rejectUnauthorized: !insecure })
            : new HttpAgent(shared);
        const taker = this.agent as HttpAgent & RequestTaker;
        const take = taker.addRequest.bind(taker);
        taker.addRequest = (request, ...rest) => {
            this.#remember(request);
            take(request, ...rest);
        };
    }

    /** Whether a call went over a connection that had been used before, which the other end may have closed. */
    wasReused(id: string): boolean {
        return this.#requests.get(id)?.reusedSocket === true;
    }

    /** Ends a call and its connection, if it is still going on. */
    end(id: string, error?: Error): void {
        this.#requests.get(id)?.destroy(error);
    }

    /** Ends all connections. */
    close(): void {
        this.agent.destroy();
    }

    #remember(request: ClientRequest): void {
        const id = request.getHeader(CALL_ID);
        if (typeof id === 'string') {
            this.#requests.set(id, request);
            request.once('close', () => this.#requests.delete(id));
        }
    }
}
