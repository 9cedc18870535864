import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { eventually } from '../helpers/server-process.js';

/** Of a message on the wire: where the number of its call and the length of its data are, and where the data begins. */
const CALL_AT = 3;
const LENGTH_AT = 11;
const DATA_AT = 15;

/** Cuts a stream into messages. */
class Messages {
    #rest: Buffer = Buffer.alloc(0);

    take(chunk: Buffer): Buffer[] {
        this.#rest = Buffer.concat([this.#rest, chunk]);
        const messages: Buffer[] = [];
        for (;;) {
            const end = this.#rest.length < DATA_AT ? Infinity : DATA_AT + this.#rest.readUInt32BE(LENGTH_AT);
            if (this.#rest.length < end) return messages;
            messages.push(this.#rest.subarray(0, end));
            this.#rest = this.#rest.subarray(end);
        }
    }
}

/**
 * A way to a Moray that can keep the answers to the calls of one method back after Moray has done what
 * was asked; other calls pass, on the same connection too.
 */
export class AnswerGate {
    readonly #server: Server;
    readonly #sockets = new Set<Socket>();
    readonly #held: (() => void)[] = [];
    #method: string | undefined;
    /** Calls whose answers are kept back, and those of them that have one. */
    #answered = 0;

    private constructor(target: number) {
        this.#server = createServer({ noDelay: true }, (client) => this.#join(client, target));
    }

    /** Starts it in front of a port of 127.0.0.1. */
    static async start(target: number): Promise<AnswerGate> {
        const gate = new AnswerGate(target);
        gate.#server.listen(0, '127.0.0.1');
        await once(gate.#server, 'listening');
        return gate;
    }

    get port(): number {
        const address = this.#server.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        return address.port;
    }

    /** Keeps the answers to calls of this method back from now on. */
    hold(method: string): void {
        this.#method = method;
        this.#answered = 0;
    }

    /** Resolves when the answers to so many calls have come and wait here. */
    async answered(count: number): Promise<void> {
        await eventually(`${count} answers`, 10_000, () => this.#answered >= count);
    }

    /** Lets everything through that waits, and all that comes. */
    release(): void {
        this.#method = undefined;
        this.#held.splice(0).forEach((send) => send());
    }

    async stop(): Promise<void> {
        const closed = once(this.#server, 'close');
        this.#server.close();
        this.#sockets.forEach((socket) => socket.destroy());
        await closed;
    }

    #join(client: Socket, target: number): void {
        const moray = connect({ port: target, host: '127.0.0.1', noDelay: true });
        const pairs = [
            [client, moray],
            [moray, client],
        ] as const;
        for (const [socket, other] of pairs) {
            this.#sockets.add(socket);
            socket.on('error', () => other.destroy());
            socket.once('close', () => {
                this.#sockets.delete(socket);
                other.destroy();
            });
        }
        const calls = new Map<number, boolean>();
        const asked = new Messages();
        client.on('data', (chunk: Buffer) => {
            for (const message of asked.take(chunk)) {
                if (this.#method !== undefined && message.includes(`"${this.#method}"`)) {
                    calls.set(message.readUInt32BE(CALL_AT), false);
                }
                moray.write(message);
            }
        });
        const answers = new Messages();
        moray.on('data', (chunk: Buffer) => {
            for (const message of answers.take(chunk)) this.#pass(client, message, calls);
        });
    }

    #pass(client: Socket, message: Buffer, calls: Map<number, boolean>): void {
        const call = message.readUInt32BE(CALL_AT);
        const isAnswered = calls.get(call);
        if (isAnswered === undefined || this.#method === undefined) {
            client.write(message);
            return;
        }
        if (!isAnswered) {
            calls.set(call, true);
            this.#answered += 1;
        }
        this.#held.push(() => client.write(message));
    }
}
