import { Gate } from '../gate.js';

/** What a call is. */
export type CallKind = 'put' | 'link' | 'mkdir' | 'delete' | 'get' | 'head' | 'list' | 'other';

/** Which calls something is for; what is absent does not matter. */
export interface CallMatch {
    readonly kind?: CallKind | readonly CallKind[];
    readonly method?: string;
    /** The whole decoded path, or what it must match. */
    readonly path?: string | RegExp | ((path: string) => boolean);
}

/** Which of the calls that match. */
export interface CallLimits extends CallMatch {
    /** How many are left alone first. */
    readonly skip?: number;
    /** How many it is for; by default all. */
    readonly times?: number;
}

/** An error that is answered instead of what was asked for. */
export interface Refusal {
    readonly status: number;
    readonly code: string;
    readonly message: string;
}

/** What goes wrong with a call. Several at once are fine. */
export interface Fault {
    /** Answers with an error and does nothing. */
    readonly refuse?: 500 | 503 | 507 | Refusal;
    /** Takes the request and says nothing. */
    readonly hang?: boolean;
    /** Reads or sends bodies no faster than this. */
    readonly bytesPerSecond?: number;
    /** Cuts the connection after so many bytes of a body. */
    readonly cutAfter?: number;
    /** Cuts the connection instead of answering, with the change made or not. */
    readonly cutAnswer?: 'made' | 'not-made';
    /** Answers a put with another MD5 than that of the bytes. */
    readonly wrongMd5?: boolean;
    /** Tells or sends other bytes than were stored: the MD5, or the first byte. */
    readonly corrupt?: 'bytes' | 'md5';
    /** Never says that a body may come. */
    readonly noContinue?: boolean;
}

/** When a call is held: before anything is done, or when all is done but the answer. */
export type HoldPoint = 'before' | 'after';

/** A call as rules see it. */
export interface MatchedCall {
    readonly method: string;
    readonly kind: CallKind;
    readonly path: string;
}

/** Whether something is for a call. */
export function matches({ kind, method, path }: CallMatch, call: MatchedCall): boolean {
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
class Rule<T> {
    readonly what: T;
    readonly #limits: CallLimits;
    #skip: number;
    #left: number;

    constructor(what: T, limits: CallLimits) {
        this.what = what;
        this.#limits = limits;
        this.#skip = limits.skip ?? 0;
        this.#left = limits.times ?? Infinity;
    }

    takes(call: MatchedCall): boolean {
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
export interface Fate {
    readonly fault: Fault;
    readonly before: readonly Hold[];
    readonly after: readonly Hold[];
}

/** What a test has told the double to do wrong. */
export class Faults {
    readonly #faults = new Set<Rule<Fault>>();
    readonly #holds = new Set<Rule<{ readonly hold: Hold; readonly when: HoldPoint }>>();

    /** Does this wrong from now on; what is returned ends it. */
    inject(fault: Fault, limits: CallLimits): () => void {
        const rule = new Rule(fault, limits);
        this.#faults.add(rule);
        return () => void this.#faults.delete(rule);
    }

    /** Holds calls from now on. */
    hold(limits: CallLimits, when: HoldPoint): Hold {
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
    decide(call: MatchedCall): Fate {
        const faults = [...this.#faults].filter((rule) => rule.takes(call));
        const holds = [...this.#holds].filter((rule) => rule.takes(call)).map((rule) => rule.what);
        const at = (point: HoldPoint): Hold[] =>
            holds.filter(({ when }) => when === point).map(({ hold }) => hold);
        return {
            fault: Object.assign({}, ...faults.map((rule) => rule.what)) as Fault,
            before: at('before'),
            after: at('after'),
        };
    }
}
