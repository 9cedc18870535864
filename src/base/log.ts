import bunyan from 'bunyan';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { censor, errorRecord } from './censor.js';
import { messageOf } from './errors.js';
import { LOG_LEVELS, parseLogLevel } from './log-level.js';

/** Where log lines go. */
export interface LogSink {
    write(line: string): unknown;
}

/** What {@link createLogger} can be told. */
export interface LogOptions {
    /** Of the program; default `imgapi`. */
    readonly name?: string;
    /** Name or number; default `debug`. */
    readonly level?: string | number;
    /** Whether records name the source line; default: at level trace and lower. */
    readonly src?: boolean;
    /** Default: stdout. */
    readonly stream?: LogSink;
}

function isRecord(value: unknown): value is Record<string, unknown> {
    return typeof value === 'object' && value !== null;
}

/** A node request is reduced to what tells about it; the audit record's own object passes. */
function requestRecord(request: unknown): unknown {
    if (!isRecord(request) || !isRecord(request['socket'])) {
        return request;
    }
    const { method, url, headers, httpVersion, socket } = request as unknown as IncomingMessage;
    return {
        method,
        url,
        headers,
        httpVersion,
        remoteAddress: socket.remoteAddress,
        remotePort: socket.remotePort,
    };
}

/** A node response, incoming or outgoing; the audit record's own object passes. */
function responseRecord(response: unknown): unknown {
    if (!isRecord(response) || !('socket' in response)) {
        return response;
    }
    const { statusCode, headers } = response as unknown as IncomingMessage;
    const outgoing = response as unknown as ServerResponse;
    return {
        statusCode,
        headers: typeof outgoing.getHeaders === 'function' ? { ...outgoing.getHeaders() } : headers,
    };
}

/** A request this process sends. */
function clientRequestRecord(request: unknown): unknown {
    if (!isRecord(request) || typeof request['getHeaders'] !== 'function') {
        return request;
    }
    const { method, host, path, getHeaders } = request as {
        method?: unknown;
        host?: unknown;
        path?: unknown;
        getHeaders: () => object;
    };
    return { method, url: path, address: host, headers: { ...getHeaders.call(request) } };
}

/** The serializers of operations 1.3: each gives a plain record of the thing, or the value itself. */
export const serializers: bunyan.Serializers = {
    err: (error: unknown) => (error instanceof Error ? errorRecord(error) : error),
    req: requestRecord,
    res: responseRecord,
    client_req: clientRequestRecord,
    client_res: responseRecord,
    image: (image: unknown) => (isRecord(image) && isRecord(image['raw']) ? image['raw'] : image),
};

/** Where in the source a record was made. */
interface SourceLocation {
    readonly file: string | null;
    readonly line: number | null;
    readonly func?: string;
}

/** How the engine makes stacks: borrowed for a moment, then put back. */
interface StackSettings {
    stackTraceLimit: number;
    prepareStackTrace: unknown;
}

/** Frames that are looked at to find the caller behind bunyan's own. */
const CALLER_DEPTH = 6;

/**
 * The place that called the logger: the first frame below `above` that is not bunyan's. Bunyan's own
 * search finds nothing on Node 20, which gives the global object no stack any more.
 */
function callerOf(above: (...args: never[]) => unknown): SourceLocation | undefined {
    const settings = Error as unknown as StackSettings;
    const { stackTraceLimit, prepareStackTrace } = settings;
    const holder: { stack?: unknown } = {};
    settings.stackTraceLimit = CALLER_DEPTH;
    settings.prepareStackTrace = (_error: unknown, frames: unknown) => frames;
    Error.captureStackTrace(holder, above);
    const frames = holder.stack as readonly NodeJS.CallSite[];
    settings.stackTraceLimit = stackTraceLimit;
    settings.prepareStackTrace = prepareStackTrace;
    const caller = frames.find((frame) => frame.getFileName()?.endsWith('/bunyan.js') === false);
    if (caller === undefined) {
        return undefined;
    }
    const func = caller.getFunctionName();
    return {
        file: caller.getFileName() ?? null,
        line: caller.getLineNumber(),
        ...(func === null ? {} : { func }),
    };
}

/** Writes each record as one censored line of JSON; no record leaves the process another way. */
class CensoredLines {
    readonly #sink: LogSink;

    constructor(sink: LogSink) {
        this.#sink = sink;
    }

    // A property of its own, so that the search for the caller can start above it.
    readonly write = (record: Readonly<Record<string, unknown>>): void => {
        const located = 'src' in record ? { ...record, src: callerOf(this.write) ?? {} } : record;
        this.#sink.write(`${this.#line(located)}\n`);
    };

    #line(record: Readonly<Record<string, unknown>>): string {
        try {
            return JSON.stringify(censor(record));
        } catch (error) {
            // A getter or toJSON of something logged threw: keep the core fields and say so.
            const { name, hostname, pid, level, msg, time, v } = record;
            const reason = messageOf(error);
            return JSON.stringify(
                censor({ name, hostname, pid, level, unserializable: reason, msg, time, v }),
            );
        }
    }
}

/** The one stream of a process and what applies to all loggers that share it. */
interface SharedStream {
    level: number;
    src?: boolean;
}

/**
 * A bunyan logger whose children share its level and `src`, so that a change while the server runs
 * reaches components that made their loggers at start (operations 1.7, `loglevel`).
 */
class ServerLogger extends bunyan {
    constructor(parent: ServerLogger | bunyan.LoggerOptions, ...rest: readonly unknown[]) {
        // Bunyan's constructor takes more than its types tell when it makes a child.
        super(...([parent, ...rest] as unknown as [bunyan.LoggerOptions]));
        if (parent instanceof ServerLogger) {
            (this as unknown as { streams: unknown }).streams = (
                parent as unknown as { streams: unknown }
            ).streams;
        }
    }
}

function sharedStream(logger: object): SharedStream | undefined {
    return (logger as { streams?: readonly SharedStream[] }).streams?.[0];
}

// Bunyan keeps both beside the streams, one copy a logger; here they are read from the shared stream.
Object.defineProperties(ServerLogger.prototype, {
    _level: {
        get(this: object): number {
            return sharedStream(this)?.level ?? Number.POSITIVE_INFINITY;
        },
        set(): void {
            // The stream has it.
        },
    },
    src: {
        get(this: object): boolean {
            return sharedStream(this)?.src ?? false;
        },
        set(this: object, value: boolean): void {
            const shared = sharedStream(this);
            if (shared !== undefined) {
                shared.src = value;
            }
        },
    },
});

/**
 * Changes the level of a logger, its parents and all their children; at level trace and lower
 * records name their source lines from then on unless `src` says otherwise (operations 1.3).
 *
 * @throws Error when `level` is neither a name nor a number of a level
 */
export function setLogLevel(logger: bunyan, level: string | number, src?: boolean): void {
    const number = parseLogLevel(level);
    if (number === undefined) {
        throw new Error(`invalid log level: ${level}`);
    }
    logger.level(number);
    logger.src = src ?? number <= LOG_LEVELS.trace;
}

/**
 * The logger of the server or another program: JSON lines with its name, every record censored.
 *
 * @throws Error when `level` is no level
 */
export function createLogger(options: LogOptions = {}): bunyan {
    const stream = new CensoredLines(options.stream ?? process.stdout);
    const logger = new ServerLogger({
        name: options.name ?? 'imgapi',
        serializers,
        streams: [{ type: 'raw', stream: stream as unknown as NodeJS.WritableStream, level: 'debug' }],
    });
    setLogLevel(logger, options.level ?? 'debug', options.src);
    return logger;
}
