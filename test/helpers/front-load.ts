import { buffer } from 'node:stream/consumers';
import type { FrontClient } from './front-client.js';

/** Most failures that are told. */
const MAX_TOLD = 10;

/** One request of a load, with what came back. */
export interface Served {
    readonly status: number;
    readonly body: Buffer;
}

/** Sends a request and reads the whole answer. */
export async function exchange(
    client: FrontClient,
    ...request: Parameters<FrontClient['send']>
): Promise<Served> {
    const { status, body } = await client.send(...request);
    return { status, body: await buffer(body) };
}

/** Clients that ask for something again and again, each as soon as it has an answer. */
export class Load {
    readonly #failures: string[] = [];
    readonly #path: string;
    readonly #clients: Promise<void>[];
    #served = 0;
    #stopped = false;

    /** @param clients one for each: how it asks is up to it */
    constructor(clients: readonly FrontClient[], path: string) {
        this.#path = path;
        this.#clients = clients.map((client) => this.#ask(client));
    }

    /** How many answers were as they should be. */
    get served(): number {
        return this.#served;
    }

    /** What went wrong: no answer, or another status than 200. */
    get failures(): readonly string[] {
        return this.#failures;
    }

    /** Lets the requests under way end. */
    async stop(): Promise<void> {
        this.#stopped = true;
        await Promise.all(this.#clients);
    }

    async #ask(client: FrontClient): Promise<void> {
        while (!this.#stopped && this.#failures.length < MAX_TOLD) {
            try {
                const { status, body } = await exchange(client, 'GET', this.#path);
                if (status === 200) this.#served += 1;
                else this.#failures.push(`${status} ${body.toString()}`);
            } catch (error) {
                this.#failures.push(String(error));
            }
        }
        client.close();
    }
}
