import type { LayerProgress } from './layer.js';

/** Bytes between two lines. */
const TELL_EVERY = 524_288;

/** Tells how far the download of a layer is (jobs-and-imports 5.3). */
export class LayerMeter {
    readonly #tell: (progress: LayerProgress) => void;
    #start = 0;
    #total = -1;
    #told = 0;

    constructor(tell: (progress: LayerProgress) => void) {
        this.#tell = tell;
    }

    /** The bytes begin to come, from the first one. @param total absent: nobody knows */
    opened(total: number | undefined): void {
        this.#start = Math.floor(Date.now() / 1000);
        this.#total = total ?? -1;
        this.#told = 0;
        this.#tell({ status: 'Pulling fs layer' });
    }

    /** @param current bytes there are */
    received(current: number): void {
        if (current - this.#told > TELL_EVERY) {
            this.#told = current;
            const progressDetail = { current, total: this.#total, start: this.#start };
            this.#tell({ status: 'Downloading', progressDetail });
        }
    }

    timedOut(): void {
        this.#tell({ status: 'Connection timed out' });
    }
}
