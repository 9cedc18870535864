import type { Clock } from '../../base/clock.js';
import { RecentlyUsed } from '../../base/recently-used.js';

/** How many accounts are remembered, and for how long. */
export interface FoundAccountsLimits {
    readonly maxFound: number;
    /** Milliseconds. */
    readonly foundMs: number;
}

/** Remembers accounts that were found; when it is full it forgets the one not asked for the longest. */
export class FoundAccounts {
    readonly #foundMs: number;
    readonly #clock: Clock;
    /** When each account was found. */
    readonly #foundAt: RecentlyUsed<number>;

    constructor(limits: FoundAccountsLimits, clock: Clock) {
        this.#foundMs = limits.foundMs;
        this.#foundAt = new RecentlyUsed(limits.maxFound);
        this.#clock = clock;
    }

    has(uuid: string): boolean {
        const at = this.#foundAt.get(uuid);
        if (at === undefined) {
            return false;
        }
        // A clock that was set back must not make an account last.
        if (Math.abs(this.#clock.now() - at) >= this.#foundMs) {
            this.#foundAt.delete(uuid);
            return false;
        }
        this.#foundAt.set(uuid, at);
        return true;
    }

    add(uuid: string): void {
        this.#foundAt.set(uuid, this.#clock.now());
    }
}
