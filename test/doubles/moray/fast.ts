import bunyan from 'bunyan';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** What a procedure of a fast server gets: an object stream for the answer, to be ended or failed. */
export interface FastRequest extends Writable {
    argv(): readonly unknown[];
    fail(error: Error): void;
}

interface FastServerInstance {
    registerRpcMethod(options: {
        readonly rpcmethod: string;
        readonly rpchandler: (request: FastRequest) => void;
    }): void;
}

const { FastServer } = createRequire(import.meta.url)('fast') as {
    FastServer: new (options: { log: bunyan; server: EventEmitter }) => FastServerInstance;
};

const log = bunyan.createLogger({ name: 'moray-double', streams: [] });

/** Speaks the fast protocol on one connection. A server for each, so that a request knows its socket. */
export function serveFast(
    socket: Socket,
    methods: readonly string[],
    handle: (method: string, request: FastRequest) => void,
): void {
    const connections = new EventEmitter();
    const server = new FastServer({ log, server: connections });
    for (const method of methods) {
        server.registerRpcMethod({
            rpcmethod: method,
            rpchandler: (request) => handle(method, request),
        });
    }
    connections.emit('connection', socket);
}
