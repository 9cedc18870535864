import type { Clock } from '../../base/clock.js';

/** How many accounts are remembered, and for how long. */
export interface FoundAccountsLimits {
    readonly maxFound: number;
    /** Milliseconds. */
    readonly foundMs: number;
}

/** Remembers accounts that were found; when it is full it forgets the one not asked for the longest. */
export class FoundAccounts {
    readonly #limits: FoundAccountsLimits;
    readonly #clock: Clock;
    /** When each account was found; the order is that of use. */
    readonly #foundAt = new Map<string, number>();

    constructor(limits: FoundAccountsLimits, clock: Clock) {
        this.#limits = limits;
        this.#clock = clock;
    }

    has(uuid: string): boolean {
        const at = this.#foundAt.get(uuid);
        if (at === undefined) {
            return false;
        }
        this.#foundAt.delete(uuid);
        // A clock that was set back must not make an account last.
        if (Math.abs(this.#clock.now() - at) >= this.#limits.foundMs) {
            return false;
        }
        this.#foundAt.set(uuid, at);
        return true;
    }

    add(uuid: string): void {
        this.#foundAt.delete(uuid);
        this.#foundAt.set(uuid, this.#clock.now());
        for (const oldest of this.#foundAt.keys()) {
            if (this.#foundAt.size <= this.#limits.maxFound) {
                return;
            }
            this.#foundAt.delete(oldest);
        }
    }
}
