import { Agent as HttpAgent, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { storageIsDown } from '../../base/errors.js';
import { CALL_ID, MantaCall } from './manta-call.js';

/** Longest time that a connection is kept without a request, milliseconds. */
const IDLE_MS = 30_000;

/** Why a call ends that nobody has ended. */
const CLOSED = 'the server stops';

/** What Node.js' agents have but their types do not say. */
interface RequestTaker {
    /** Takes a request that needs a connection. */
    addRequest(request: ClientRequest, ...rest: unknown[]): void;
    /** Requests that wait for a place among the connections, by where they go. */
    readonly requests: Record<string, ClientRequest[] | undefined>;
}

/** The connections to a store, and the calls that go over them. */
export class MantaAgent {
    readonly agent: HttpAgent;
    readonly #userAgent: string;
    readonly #calls = new Map<string, MantaCall>();
    #isClosed = false;

    constructor(options: {
        readonly isTls: boolean;
        readonly insecure: boolean;
        readonly maxSockets: number;
        readonly userAgent: string;
    }) {
        const { isTls, insecure, maxSockets, userAgent } = options;
        this.#userAgent = userAgent;
        const shared = { keepAlive: true, maxSockets, maxFreeSockets: maxSockets, timeout: IDLE_MS };
        this.agent = isTls
            ? new HttpsAgent({ ...shared, rejectUnauthorized: !insecure })
            : new HttpAgent(shared);
        const taker = this.#taker;
        const take = taker.addRequest.bind(taker);
        taker.addRequest = (request, ...rest) => {
            this.#attach(request);
            take(request, ...rest);
        };
    }

    get #taker(): RequestTaker {
        return this.agent as unknown as RequestTaker;
    }

    /**
     * A new call; its request is known by its headers. It is known until it is over, or {@link forget}.
     *
     * @throws 503 `StorageIsDown` when closed
     */
    start(): MantaCall {
        if (this.#isClosed) {
            throw storageIsDown(new Error(CLOSED));
        }
        const call = new MantaCall(this.#userAgent);
        this.#calls.set(call.id, call);
        return call;
    }

    /** A call is over: nobody waits for its request, and it for a connection no more. */
    forget(call: MantaCall): void {
        this.#calls.delete(call.id);
        // Node.js keeps a request that was ended until its turn comes, which may take hours.
        const { requests } = this.#taker;
        for (const [destination, waiting = []] of Object.entries(requests)) {
            const place = waiting.findIndex((request) => request.getHeader(CALL_ID) === call.id);
            if (place !== -1) {
                waiting.splice(place, 1);
            }
            if (waiting.length === 0) {
                Reflect.deleteProperty(requests, destination);
            }
        }
    }

    /** Closes the connections that are in no use: the other end may have gone without a word. */
    dropIdle(): void {
        for (const sockets of Object.values(this.agent.freeSockets)) {
            for (const socket of [...(sockets ?? [])]) {
                socket.destroy();
            }
        }
    }

    /** Ends all calls and connections; none follow. */
    close(): void {
        this.#isClosed = true;
        const { requests } = this.#taker;
        for (const destination of Object.keys(requests)) {
            Reflect.deleteProperty(requests, destination);
        }
        for (const call of this.#calls.values()) {
            call.break(new Error(CLOSED));
        }
        this.#calls.clear();
        this.agent.destroy();
    }

    #attach(request: ClientRequest): void {
        const id = request.getHeader(CALL_ID);
        const call = typeof id === 'string' ? this.#calls.get(id) : undefined;
        if (call === undefined) {
            // Whoever made it waits no more.
            request.destroy();
            return;
        }
        call.attach(request);
        request.once('close', () => this.#calls.delete(call.id));
    }
}
