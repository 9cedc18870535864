/** Time over which the rate is taken, seconds (jobs-and-imports 8.3). */
const WINDOW_SECONDS = 10;

/** Bytes of the last seconds, a slot each. */
export class RecentBytes {
    readonly #slots = new Array<number>(WINDOW_SECONDS).fill(0);
    /** Second, since the epoch, that was counted last. */
    #second = 0;
    #firstSecond: number | undefined;

    add(now: number, bytes: number): void {
        const second = this.#moveTo(now);
        this.#firstSecond ??= second;
        this.#slots[second % WINDOW_SECONDS] = (this.#slots[second % WINDOW_SECONDS] ?? 0) + bytes;
    }

    /** Bytes a second; while less than the whole window is known, over what is. */
    rate(now: number): number {
        const second = this.#moveTo(now);
        const known = second - (this.#firstSecond ?? second) + 1;
        const sum = this.#slots.reduce((total, one) => total + one, 0);
        return Math.round(sum / Math.min(WINDOW_SECONDS, Math.max(1, known)));
    }

    /** Empties the slots of the seconds in which nothing came. */
    #moveTo(now: number): number {
        const second = Math.floor(now / 1000);
        const passed = second - this.#second;
        if (passed < 0 || passed >= WINDOW_SECONDS) {
            // A clock that was set back makes what was counted meaningless.
            this.#slots.fill(0);
            this.#firstSecond = undefined;
        } else {
            for (let one = this.#second + 1; one <= second; one += 1) {
                this.#slots[one % WINDOW_SECONDS] = 0;
            }
        }
        this.#second = second;
        return second;
    }
}
