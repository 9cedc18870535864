/** A metric as Prometheus reads it. */
export interface ShownMetric {
    readonly type: string;
    readonly help: string;
    /** Names of the samples; of a histogram there are three. */
    readonly samples: Set<string>;
    /** Names of labels, in the order of the first sample; `undefined`: there is no sample. */
    labels: readonly string[] | undefined;
}

const META = /^# (HELP|TYPE) (\S+) (.*)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*",?/g;

function labelNames(text: string): string[] {
    return [...text.matchAll(LABEL)].map(([, name = '']) => name);
}

/** The metrics of an exposition by their names, in order. @throws Error for a line that is none of the format */
export function parseExposition(text: string): ReadonlyMap<string, ShownMetric> {
    const metrics = new Map<string, { type: string; help: string } & ShownMetric>();
    for (const line of text.split('\n').filter(Boolean)) {
        const [, kind, name = '', rest = ''] = META.exec(line) ?? [];
        if (kind !== undefined) {
            const metric = metrics.get(name) ?? {
                type: '',
                help: '',
                samples: new Set<string>(),
                labels: undefined,
            };
            metrics.set(name, { ...metric, [kind.toLowerCase()]: rest });
            continue;
        }
        const [, sample, labels = '', value] = SAMPLE.exec(line) ?? [];
        if (sample === undefined || Number.isNaN(Number(value?.replace('+Inf', '1')))) {
            throw new Error(`no line of an exposition: ${line}`);
        }
        const metric = metrics.get(sample) ?? metrics.get(sample.replace(/_(?:bucket|sum|count)$/, ''));
        if (metric === undefined) throw new Error(`a sample of no metric: ${line}`);
        metric.samples.add(sample);
        metric.labels ??= labelNames(labels);
    }
    return metrics;
}

/** What a query of Prometheus asks for. */
export interface QueryParts {
    /** Metrics, with the labels that they are selected by. */
    readonly metrics: readonly { readonly name: string; readonly labels: readonly string[] }[];
    /** Labels that results are grouped by or matched on. */
    readonly grouping: readonly string[];
}

const OPERATORS =
    /\b(?:sum|topk|rate|increase|delta|changes|min_over_time|predict_linear|histogram_quantile|by|and|on|inf)\b/;

/** Takes a query apart, as far as those of our samples need it. @throws Error for a word that is not known */
export function queryParts(query: string): QueryParts {
    const grouping: string[] = [];
    const metrics: { name: string; labels: readonly string[] }[] = [];
    const selected = query.replace(
        /\b([a-z_][a-z0-9_]*)\{([^}]*)\}/g,
        (_all, name: string, labels: string) => {
            const names = labels
                .split(',')
                .map((one) => /^\s*([a-z_]+)\s*(?:=~|!~|!=|=)/.exec(one)?.[1] ?? one);
            metrics.push({ name, labels: names });
            return ' ';
        },
    );
    const rest = selected.replace(/\b(?:by|on) \(([^)]*)\)/g, (_all, names: string) => {
        grouping.push(...names.split(',').map((name) => name.trim()));
        return ' ';
    });
    const words = rest.replace(/\[[^\]]*\]/g, ' ').match(/[a-z_][a-z0-9_]*/gi) ?? [];
    const strange = words.find((word) => !OPERATORS.test(word) && !/^e\d+$/.test(word));
    if (strange !== undefined) throw new Error(`"${strange}" in ${query}`);
    return { metrics, grouping };
}
