import { setTimeout as delay } from 'node:timers/promises';
import { Gate } from '../gate.js';
import { MorayError, noDatabasePeers } from './moray-error.js';

/** When a connection is broken off: before anything was done, or after the change but before the answer. */
export type BreakPoint = 'before' | 'after';

/** What happens to a call. */
export type Fate =
    | { readonly kind: 'answer' }
    | { readonly kind: 'hang' }
    | { readonly kind: 'break'; readonly when: BreakPoint };

interface Rule {
    readonly method: string | undefined;
    /** Calls that it is still for. */
    left: number;
    readonly act: () => Fate;
}

/** Whether a call asks the database: a version is known without it, and so is a ping that is not deep. */
function needsDatabase(method: string, [options]: readonly unknown[]): boolean {
    if (method === 'ping') return (options as { readonly deep?: boolean } | undefined)?.deep === true;
    return method !== 'version';
}

/** What a test has told the double to do wrong. */
export class Faults {
    readonly #rules: Rule[] = [];
    readonly #delays = new Map<string | undefined, number>();
    readonly #gates = new Map<string, Gate>();
    #databaseLost = false;

    /** Answers calls (of this method) later; 0 ends it. */
    delay(ms: number, method?: string): void {
        if (ms === 0) this.#delays.delete(method);
        else this.#delays.set(method, ms);
    }

    /** Answers the next calls (of this method) with an error and does nothing for them. */
    refuse(name: string, times: number, method?: string, context?: Readonly<Record<string, unknown>>): void {
        this.#add(times, method, () => {
            throw new MorayError(name, `${name} by order of the test`, context);
        });
    }

    breakOff(method: string | undefined, times: number, when: BreakPoint): void {
        this.#add(times, method, () => ({ kind: 'break', when }));
    }

    hang(method: string | undefined, times: number): void {
        this.#add(times, method, () => ({ kind: 'hang' }));
    }

    /** Holds calls of this method back, before they do anything, until the gate is opened. */
    pause(method: string): Gate {
        const gate = new Gate();
        this.#gates.set(method, gate);
        return gate;
    }

    loseDatabase(): void {
        this.#databaseLost = true;
    }

    restoreDatabase(): void {
        this.#databaseLost = false;
    }

    /** Ends all faults and opens all gates. */
    clear(): void {
        this.#rules.length = 0;
        this.#delays.clear();
        for (const gate of this.#gates.values()) gate.resume();
        this.#gates.clear();
        this.#databaseLost = false;
    }

    /** Waits as told and decides on a call. @throws what it is to be refused with */
    async decide(method: string, args: readonly unknown[]): Promise<Fate> {
        const wait = this.#delays.get(method) ?? this.#delays.get(undefined);
        if (wait !== undefined) await delay(wait);
        await this.#gates.get(method)?.pass();
        if (this.#databaseLost && needsDatabase(method, args)) throw noDatabasePeers();
        const index = this.#rules.findIndex((rule) => rule.method === undefined || rule.method === method);
        const rule = this.#rules[index];
        if (rule === undefined) return { kind: 'answer' };
        rule.left--;
        if (rule.left === 0) this.#rules.splice(index, 1);
        return rule.act();
    }

    #add(times: number, method: string | undefined, act: () => Fate): void {
        if (times > 0) this.#rules.push({ method, left: times, act });
    }
}
