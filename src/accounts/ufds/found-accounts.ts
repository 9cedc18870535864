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
    readonly #found: RecentlyUsed<{ readonly login: string; readonly at: number }>;

    constructor(limits: FoundAccountsLimits, clock: Clock) {
        this.#foundMs = limits.foundMs;
        this.#found = new RecentlyUsed(limits.maxFound);
        this.#clock = clock;
    }

    /** The login of an account; `undefined`: it is not remembered. */
    login(uuid: string): string | undefined {
        const found = this.#found.get(uuid);
        if (found === undefined) {
            return undefined;
        }
        // A clock that was set back must not make an account last.
        if (Math.abs(this.#clock.now() - found.at) >= this.#foundMs) {
            this.#found.delete(uuid);
            return undefined;
        }
        this.#found.set(uuid, found);
        return found.login;
    }

    add(uuid: string, login: string): void {
        this.#found.set(uuid, { login, at: this.#clock.now() });
    }
}
