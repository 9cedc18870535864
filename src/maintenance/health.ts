import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import { recent } from '../base/recent.js';
import { within } from '../base/within.js';

/** How bad it is when a check fails: `down` when reads need it, else `degraded` (operations 1.6). */
export type HealthImpact = 'down' | 'degraded';

/** Result of one check as `/health` shows it. */
export interface CheckResult {
    readonly ok: boolean;
    /** ISO date since when the check has had this result. */
    readonly since: string;
    readonly latencyMs: number;
    readonly error?: string;
    readonly [fact: string]: unknown;
}

/** The health document (operations 1.6). */
export interface HealthReport {
    readonly status: 'ok' | 'degraded' | 'down';
    readonly checks: Readonly<Record<string, CheckResult>>;
}

/** Thrown by a check to say that a failure is worse or less bad than usual. */
export class HealthProblem extends Error {
    constructor(
        message: string,
        readonly impact: HealthImpact,
        readonly facts: Readonly<Record<string, unknown>> = {},
    ) {
        super(message);
        this.name = 'HealthProblem';
    }
}

/** A check of one dependency. */
export interface HealthCheck {
    readonly name: string;
    readonly impact: HealthImpact;
    /** Resolves to facts worth showing; rejects when the dependency is not well. */
    run(): Promise<Readonly<Record<string, unknown>>>;
}

const CHECK_LIMIT_MS = 3000;
const CACHE_MS = 10_000;
/** Free space below these shares is degraded, then down (operations 1.6). */
const LOW_SHARE = 0.1;
const CRITICAL_SHARE = 0.01;

/**
 * Judges free space or inodes.
 *
 * @param facts to be shown whatever the judgement
 * @param worst how bad it may be: a storage beside others is never what reads need
 * @throws HealthProblem below 10 % (degraded) or 1 % (down)
 */
export function judgeFree(
    what: string,
    free: number | undefined,
    total: number | undefined,
    facts: HealthProblem['facts'] = {},
    worst: HealthImpact = 'down',
): void {
    if (free === undefined || total === undefined || total === 0) {
        return;
    }
    const share = free / total;
    if (share < LOW_SHARE) {
        throw new HealthProblem(
            `only ${(share * 100).toFixed(1)} % of ${what} free`,
            share < CRITICAL_SHARE ? worst : 'degraded',
            facts,
        );
    }
}

interface Judged {
    readonly result: CheckResult;
    readonly impact: HealthImpact | undefined;
}

/** Runs the checks of all dependencies and keeps their results for 10 s (operations 1.6). */
export class HealthMonitor {
    readonly #checks: readonly HealthCheck[];
    readonly #clock: Clock;
    readonly #previous = new Map<string, CheckResult>();
    /** Checks that have not answered yet: a disk that hangs gets no second question. */
    readonly #unanswered = new Map<string, ReturnType<HealthCheck['run']>>();
    /** The report, at most 10 s old; callers at the same time share one run. */
    readonly report: () => Promise<HealthReport>;

    constructor(checks: readonly HealthCheck[], clock: Clock) {
        this.#checks = checks;
        this.#clock = clock;
        this.report = recent(() => this.#run(), CACHE_MS, clock);
    }

    async #run(): Promise<HealthReport> {
        const judged = await Promise.all(
            this.#checks.map(async (check) => [check.name, await this.#judge(check)] as const),
        );
        const impacts = judged.map(([, { impact }]) => impact);
        return {
            status: impacts.includes('down') ? 'down' : impacts.includes('degraded') ? 'degraded' : 'ok',
            checks: Object.fromEntries(judged.map(([name, { result }]) => [name, result])),
        };
    }

    async #judge(check: HealthCheck): Promise<Judged> {
        const started = this.#clock.now();
        try {
            const facts = await within(CHECK_LIMIT_MS, this.#ask(check));
            return { result: this.#note(check.name, started, true, facts), impact: undefined };
        } catch (error) {
            const problem = error instanceof HealthProblem ? error : undefined;
            const message = messageOf(error);
            return {
                result: this.#note(check.name, started, false, { error: message, ...problem?.facts }),
                impact: problem?.impact ?? check.impact,
            };
        }
    }

    #ask(check: HealthCheck): ReturnType<HealthCheck['run']> {
        const { name } = check;
        const asked = this.#unanswered.get(name) ?? check.run().finally(() => this.#unanswered.delete(name));
        this.#unanswered.set(name, asked);
        return asked;
    }

    #note(name: string, started: number, ok: boolean, facts: Readonly<Record<string, unknown>>): CheckResult {
        const previous = this.#previous.get(name);
        const since = previous?.ok === ok ? previous.since : new Date(started).toISOString();
        const result: CheckResult = { ok, since, latencyMs: this.#clock.now() - started, ...facts };
        this.#previous.set(name, result);
        return result;
    }
}
