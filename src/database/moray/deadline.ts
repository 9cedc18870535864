import { TimeoutError } from './failures.js';

/** The end of the time that a call may take, whatever it consists of. */
export class Deadline {
    readonly #end: number;

    /** @param milliseconds from now */
    constructor(milliseconds: number) {
        this.#end = performance.now() + milliseconds;
    }

    /** Milliseconds left; 0 when it has passed. */
    get remaining(): number {
        return Math.max(0, this.#end - performance.now());
    }

    /** @throws TimeoutError when it has passed */
    check(): void {
        if (this.remaining === 0) {
            throw new TimeoutError('no time left');
        }
    }
}
