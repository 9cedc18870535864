import { Gate } from './gate.js';

/** Which calls something is for; what is absent does not matter. */
export interface CallMatch<Kind extends string> {
    readonly kind?: Kind | readonly Kind[];
    readonly method?: string;
    /** The whole decoded path, or what it must match. */
    readonly path?: string | RegExp | ((path: string) => boolean);
}

/** Which of the calls that match. */
export interface CallLimits<Kind extends string> extends CallMatch<Kind> {
    /** How many are left alone first. */
    readonly skip?: number;
    /** How many it is for; by default all. */
    readonly times?: number;
}

/** When a call is held: before anything is done, or when all is done but the answer. */
export type HoldPoint = 'before' | 'after';

/** A call as rules see it. */
export interface MatchedCall<Kind extends string> {
    readonly method: string;
    readonly kind: Kind;
    readonly path: string;
}

/** Whether something is for a call. */
export function matches<Kind extends string>(
    { kind, method, path }: CallMatch<Kind>,
    call: MatchedCall<Kind>,
): boolean {
    if (method !== undefined && method !== call.method) return false;
    if (kind !== undefined && !(typeof kind === 'string' ? [kind] : kind).includes(call.kind)) return false;
    if (path === undefined) return true;
    if (typeof path === 'string') return path === call.path;
    return path instanceof RegExp ? call.path.search(path) !== -1 : path(call.path);
}

/** A gate for calls to the double. */
export class Hold extends Gate {
    #dropped = false;

    get dropped(): boolean {
        return this.#dropped;
    }

    /** Cuts the connections of all waiting and all later calls; what they have not done stays undone. */
    drop(): void {
        this.#dropped = true;
        this.resume();
    }
}

/** Counts down which calls a rule is for. */
class Rule<T, Kind extends string> {
    readonly what: T;
    readonly #limits: CallLimits<Kind>;
    #skip: number;
    #left: number;

    constructor(what: T, limits: CallLimits<Kind>) {
        this.what = what;
        this.#limits = limits;
        this.#skip = limits.skip ?? 0;
        this.#left = limits.times ?? Infinity;
    }

    takes(call: MatchedCall<Kind>): boolean {
        if (this.#left === 0 || !matches(this.#limits, call)) return false;
        if (this.#skip > 0) {
            this.#skip -= 1;
            return false;
        }
        this.#left -= 1;
        return true;
    }
}

/** What is decided about a call. */
export interface Fate<Fault> {
    readonly fault: Partial<Fault>;
    readonly before: readonly Hold[];
    readonly after: readonly Hold[];
}

/** What a test has told a double to do wrong. */
export class CallRules<Kind extends string, Fault extends object> {
    readonly #faults = new Set<Rule<Fault, Kind>>();
    readonly #holds = new Set<Rule<{ readonly hold: Hold; readonly when: HoldPoint }, Kind>>();

    /** Does this wrong from now on; what is returned ends it. */
    inject(fault: Fault, limits: CallLimits<Kind>): () => void {
        const rule = new Rule(fault, limits);
        this.#faults.add(rule);
        return () => void this.#faults.delete(rule);
    }

    /** Holds calls from now on. */
    hold(limits: CallLimits<Kind>, when: HoldPoint): Hold {
        const hold = new Hold();
        this.#holds.add(new Rule({ hold, when }, limits));
        return hold;
    }

    /** Ends all faults and lets all held calls go on. */
    clear(): void {
        this.#faults.clear();
        for (const { what } of this.#holds) what.hold.resume();
        this.#holds.clear();
    }

    /** What happens to a call; the later of two faults counts where they differ. */
    decide(call: MatchedCall<Kind>): Fate<Fault> {
        const faults = [...this.#faults].filter((rule) => rule.takes(call));
        const holds = [...this.#holds].filter((rule) => rule.takes(call)).map((rule) => rule.what);
        const at = (point: HoldPoint): Hold[] =>
            holds.filter(({ when }) => when === point).map(({ hold }) => hold);
        return {
            fault: Object.assign({}, ...faults.map((rule) => rule.what)) as Partial<Fault>,
            before: at('before'),
            after: at('after'),
        };
    }
}

/** The connection is cut instead of an answer. */
export class CutOff extends Error {}

/** Waits at each of these. @throws CutOff when the connection is to be cut there */
export async function pass(holds: readonly Hold[]): Promise<void> {
    for (const hold of holds) {
        await hold.pass();
        if (hold.dropped) throw new CutOff();
    }
}
