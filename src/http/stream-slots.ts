import type { ConfigSource } from '../base/config-types.js';
import { serviceUnavailable } from '../base/errors.js';

/** Bounds the streams of progress that a process has open (jobs-and-imports 8.3). */
export class StreamSlots {
    readonly #config: ConfigSource;
    #taken = 0;

    constructor(config: ConfigSource) {
        this.#config = config;
    }

    /** How many are open. */
    get taken(): number {
        return this.#taken;
    }

    /**
     * Takes one.
     *
     * @returns to be called when the stream is over; calls after the first do nothing
     * @throws 503 `too many progress streams`
     */
    take(): () => void {
        if (this.#taken >= this.#config.current.jobs.maxStreams) {
            throw serviceUnavailable('too many progress streams');
        }
        this.#taken += 1;
        let isHeld = true;
        return () => {
            this.#taken -= isHeld ? 1 : 0;
            isHeld = false;
        };
    }
}
