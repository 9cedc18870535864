import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import { Complaints } from '../../base/complaints.js';

function complaintOf(error: unknown): string {
    return error instanceof Error && error.name === 'InvalidCredentialsError'
        ? 'user database refuses ufds.bindDN and ufds.bindPassword'
        : 'user database is unavailable';
}

/** Logs when the user database stops and begins to answer, not every failure. */
export class OutageLog {
    readonly #log: Logger;
    readonly #complaints: Complaints;
    #answers: boolean | undefined;

    constructor(log: Logger, clock: Clock) {
        this.#log = log;
        this.#complaints = new Complaints(clock);
    }

    failed(error: unknown): void {
        const complaint = complaintOf(error);
        if (this.#complaints.isDue(complaint)) {
            this.#log.error({ err: error }, complaint);
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
