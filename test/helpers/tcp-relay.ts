import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** One connection through a relay. */
interface Line {
    readonly client: Socket;
    readonly server: Socket;
    /** Bytes of the server that were passed on. */
    passed: number;
}

/**
 * Passes connections on to a server that may come and go, and holds back what it says when a test wants to
 * look at the middle of a transfer.
 */
export class TcpRelay {
    /** Port of the server; a new one is used from the next connection on. */
    target: number;
    readonly port: number;
    readonly #server: Server;
    readonly #lines = new Set<Line>();
    #limit = Infinity;

    private constructor(server: Server, port: number, target: number) {
        this.#server = server;
        this.port = port;
        this.target = target;
        server.on('connection', (socket: Socket) => this.#join(socket));
    }

    static async start(target: number): Promise<TcpRelay> {
        const server = createServer();
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const address = server.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        return new TcpRelay(server, address.port, target);
    }

    get url(): string {
        return `http://127.0.0.1:${this.port}`;
    }

    /** Most bytes of the server that any of the present connections has got. */
    get passed(): number {
        return Math.max(0, ...[...this.#lines].map(({ passed }) => passed));
    }

    /** From now on no connection gets more than this many bytes of the server. */
    hold(bytes: number): void {
        this.#limit = bytes;
    }

    /** Everything may pass again. */
    release(): void {
        this.#limit = Infinity;
        for (const { server } of this.#lines) server.resume();
    }

    /** Cuts all connections, as a server that is killed does. */
    cut(): void {
        for (const { client, server } of this.#lines) {
            // A reset of what is just being ended never ends on Node.js 20, and its process neither.
            if (client.writableEnded) client.destroy();
            else client.resetAndDestroy();
            server.destroy();
        }
    }

    async stop(): Promise<void> {
        this.#server.close();
        this.cut();
        await once(this.#server, 'close');
    }

    #join(client: Socket): void {
        const server = connect(this.target, '127.0.0.1');
        const line: Line = { client, server, passed: 0 };
        this.#lines.add(line);
        const end = (): void => {
            this.#lines.delete(line);
            client.destroy();
            server.destroy();
        };
        client.on('error', end).on('close', end);
        server.on('error', end).on('close', end);
        client.on('data', (chunk) => server.write(chunk)).on('end', () => server.end());
        server.on('end', () => client.end());
        server.on('data', (chunk) => this.#pass(line, chunk));
    }

    #pass(line: Line, chunk: Buffer): void {
        line.passed += chunk.length;
        const isTaken = line.client.write(chunk);
        if (line.passed >= this.#limit) {
            line.server.pause();
        } else if (!isTaken) {
            line.server.pause();
            line.client.once('drain', () => {
                if (line.passed < this.#limit) line.server.resume();
            });
        }
    }
}
