import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Config } from '../base/config-types.js';
import { within } from '../base/within.js';

/** Labels that every sample of the request metrics has (operations 1.8). */
export interface StaticLabels {
    readonly datacenter: string;
    readonly instance: string;
    readonly server: string;
    readonly service: string;
}

/** A finished request, as the metrics see it. */
export interface ObservedRequest {
    /** As in the audit record; absent when no route matched. */
    readonly route: string | undefined;
    readonly method: string;
    readonly userAgent: string | undefined;
    readonly status: number;
    readonly seconds: number;
}

/** A further metric whose values are read when somebody looks. */
export interface CollectedMetric {
    readonly type: 'gauge' | 'counter';
    readonly name: string;
    readonly help: string;
    readonly labels?: readonly string[];
    /** Calls `set` for every combination of labels; those not set are not shown. */
    collect(set: (labels: Readonly<Record<string, string>>, value: number) => void): void | Promise<void>;
}

/** The order of labels on the wire. */
const LABELS = [
    'route',
    'method',
    'user_agent',
    'status_code',
    'datacenter',
    'instance',
    'server',
    'service',
] as const;

const MAX_USER_AGENTS = 100;

/** How long one metric may take to be read. */
const COLLECT_TIMEOUT_MS = 5000;

/** Seconds: 2, 4, 6, 8 and 10 of each power of ten from 1 ms on, without the last three. */
const BUCKETS: readonly number[] = [
    0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8,
    10, 20, 40, 60, 80, 100, 200, 400, 600, 800, 1000, 2000, 4000,
];

/** The labels of a configuration; a server outside a datacenter names itself (operations 1.8). */
export function staticLabels(config: Config, hostName: string): StaticLabels {
    return config.mode === 'dc'
        ? {
              datacenter: config.datacenterName ?? '',
              instance: config.instanceUuid ?? '',
              server: config.serverUuid ?? '',
              service: config.serviceName ?? '',
          }
        : { datacenter: 'standalone', instance: hostName, server: '', service: 'imgapi' };
}

/** A sample as the library keeps it. */
interface Sample {
    readonly labels: object;
    readonly sharedLabels: object;
}

/** The library writes `le` in front of the other labels; readers of these metrics know it behind them. */
class RequestDuration extends Histogram<(typeof LABELS)[number]> {
    async getForPromString(): Promise<object> {
        // What the registry calls; the library's types do not show it.
        const parent = Histogram.prototype as unknown as {
            getForPromString(): Promise<{ values: Sample[] }>;
        };
        const metric = await parent.getForPromString.call(this);
        const values = metric.values.map((sample) => ({
            ...sample,
            labels: { ...sample.sharedLabels, ...sample.labels },
            sharedLabels: {},
        }));
        return { ...metric, values };
    }
}

/** The metrics of this process, as Prometheus reads them (operations 1.8). */
export class RequestMetrics {
    readonly #registry = new Registry();
    readonly #static: StaticLabels;
    readonly #userAgents = new Set<string>();
    readonly #completed: Counter<(typeof LABELS)[number]>;
    readonly #duration: Histogram<(typeof LABELS)[number]>;

    constructor(labels: StaticLabels) {
        this.#static = labels;
        const registers = [this.#registry];
        this.#completed = new Counter({
            name: 'http_requests_completed',
            help: 'count of requests completed',
            labelNames: LABELS,
            registers,
        });
        this.#duration = new RequestDuration({
            name: 'http_request_duration_seconds',
            help: 'total time to process requests',
            labelNames: LABELS,
            buckets: [...BUCKETS],
            registers,
        });
    }

    /** Counts a finished request. */
    observe(request: ObservedRequest): void {
        const labels = {
            route: request.route ?? 'unknown',
            method: request.method,
            user_agent: this.#userAgent(request.userAgent),
            status_code: String(request.status),
            ...this.#static,
        };
        this.#completed.inc(labels);
        this.#duration.observe(labels, request.seconds);
    }

    /** Adds a metric that is read on demand; a `collect` that fails or takes 5 s shows no values. */
    register(metric: CollectedMetric): void {
        const options = {
            name: metric.name,
            help: metric.help,
            labelNames: metric.labels ?? [],
            registers: [this.#registry],
        };
        if (metric.type === 'gauge') {
            new Gauge({
                ...options,
                async collect() {
                    this.reset();
                    await collectQuietly(metric, (labels, value) => this.set(labels, value));
                },
            });
        } else {
            new Counter({
                ...options,
                async collect() {
                    this.reset();
                    await collectQuietly(metric, (labels, value) => this.inc(labels, value));
                },
            });
        }
    }

    /** Adds process, event loop and garbage collection metrics; call once a process. */
    registerProcessMetrics(): void {
        collectDefaultMetrics({ register: this.#registry });
    }

    /** Everything in the text format 0.0.4. */
    async text(): Promise<string> {
        return this.#registry.metrics();
    }

    #userAgent(header: string | undefined): string {
        const name = header?.split(' ', 1)[0];
        if (name === undefined || name === '') {
            return 'unknown';
        }
        if (this.#userAgents.size < MAX_USER_AGENTS) {
            this.#userAgents.add(name);
        }
        return this.#userAgents.has(name) ? name : 'other';
    }
}

/** One dependency that cannot be asked must not hide all other metrics. */
async function collectQuietly(
    metric: CollectedMetric,
    set: (labels: Readonly<Record<string, string>>, value: number) => void,
): Promise<void> {
    try {
        await within(COLLECT_TIMEOUT_MS, Promise.resolve(metric.collect(set)));
    } catch {
        // Shown as a metric without samples.
    }
}
