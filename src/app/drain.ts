import type Logger from 'bunyan';
import type { HttpServer } from '../http/server.js';

/** What a drain works on. */
export interface DrainOptions {
    readonly http: HttpServer;
    readonly log: Logger;
    /** Seconds to go on accepting, for load balancers to notice (`drainDelaySec`). */
    readonly delaySeconds: number;
    /** Seconds after which what still runs is cut off (`shutdownTimeoutSec`). */
    readonly limitSeconds: number;
    /**
     * Refuses changes from the moment it is called, ends background tasks and gives the lock away;
     * called once, when nothing modifying runs or the time is up.
     */
    releaseWriter(): Promise<void>;
}

const POLL_MS = 50;
const REPORT_MS = 5000;
/** Also after the limit, clients that send get so long to read their last answer, milliseconds. */
const LAST_ANSWER_MS = 1000;

/** Waits until `done` or the deadline; tells which. */
async function waitUntil(done: () => boolean, deadline: number, everyPoll: () => void): Promise<boolean> {
    while (!done()) {
        if (Date.now() >= deadline) {
            return false;
        }
        everyPoll();
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return true;
}

function progressReporter(http: HttpServer, log: Logger): () => void {
    let next = Date.now() + REPORT_MS;
    return () => {
        if (Date.now() >= next) {
            next += REPORT_MS;
            log.info({ inFlight: http.inFlight().length }, 'waiting for requests to finish');
        }
    };
}

/**
 * Lets running requests finish, then ends the rest (operations 1.4, steps 3-6). The lock is released
 * as soon as no modifying request is left, so that a reader takes over while long downloads still run.
 */
export async function drain(options: DrainOptions): Promise<void> {
    const { http, log } = options;
    const deadline = Date.now() + options.limitSeconds * 1000;
    const report = progressReporter(http, log);
    // They last as long as jobs do; their clients ask again, and somebody else.
    http.endStreams();
    await waitUntil(() => false, Math.min(deadline, Date.now() + options.delaySeconds * 1000), report);
    http.stopAccepting();
    http.closeIdleConnections();
    const nothingModifying = () => http.inFlight().every((request) => !request.modifying);
    const released = await waitUntil(nothingModifying, deadline, report);
    if (released) {
        await options.releaseWriter();
    }
    if (!(await waitUntil(() => http.inFlight().length === 0, deadline, report))) {
        log.warn({ inFlight: http.inFlight() }, 'time is up: cutting off the requests that still run');
        http.abortAll();
        await waitUntil(() => http.inFlight().length === 0, Date.now() + 2000, report);
    }
    if (!released) {
        await options.releaseWriter();
    }
    await http.close(Math.max(LAST_ANSWER_MS, deadline - Date.now()));
}
