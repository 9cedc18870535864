/** A gate that holds calls back until it is opened. */
export class Gate {
    #open!: () => void;
    readonly #opened = new Promise<void>((resolve) => (this.#open = resolve));
    #waiting = 0;
    #changed = (): void => undefined;

    /** How many calls wait at the gate. */
    get waiting(): number {
        return this.#waiting;
    }

    /** Resolves as soon as this many calls wait. For one caller at a time. */
    arrived(count = 1): Promise<void> {
        return new Promise((resolve) => {
            this.#changed = () => {
                if (this.#waiting >= count) resolve();
            };
            this.#changed();
        });
    }

    /** Lets all waiting and all later calls through. */
    resume(): void {
        this.#open();
    }

    /** For the server: waits until the gate is open. */
    async pass(): Promise<void> {
        this.#waiting++;
        this.#changed();
        await this.#opened;
        this.#waiting--;
    }
}
