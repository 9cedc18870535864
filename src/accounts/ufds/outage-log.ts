import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';

/** The same complaint is not repeated within that time, milliseconds (operations 1.2). */
const COMPLAINT_MS = 60_000;

function complaintOf(error: unknown): string {
    return error instanceof Error && error.name === 'InvalidCredentialsError'
        ? 'user database refuses ufds.bindDN and ufds.bindPassword'
        : 'user database is unavailable';
}

/** Logs when the user database stops and begins to answer, not every failure. */
export class OutageLog {
    readonly #log: Logger;
    readonly #clock: Clock;
    #answers: boolean | undefined;
    #last: { readonly complaint: string; readonly at: number } | undefined;

    constructor(log: Logger, clock: Clock) {
        this.#log = log;
        this.#clock = clock;
    }

    failed(error: unknown): void {
        const complaint = complaintOf(error);
        const now = this.#clock.now();
        const isNew = this.#last?.complaint !== complaint || Math.abs(now - this.#last.at) >= COMPLAINT_MS;
        if (isNew) {
            this.#log.error({ err: error }, complaint);
            this.#last = { complaint, at: now };
            this.#answers = false;
        }
    }

    succeeded(): void {
        // What was not complained of gets no all-clear, so that a service that fails now and then is quiet.
        if (this.#answers !== true) {
            this.#log.info('user database answers');
            this.#answers = true;
        }
    }
}
