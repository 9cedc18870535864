import { metricSources, type MetricSubjects } from '../../app/metric-sources.js';
import { RequestMetrics } from '../../http/metrics.js';
import type { Table } from './markdown-table.js';

/** What the metrics look at is asked for only when somebody reads them, which nobody does here. */
const NO_SUBJECTS = {} as MetricSubjects;

const HELP = /^# HELP (\S+) (.*)$/;
const TYPE = /^# TYPE (\S+) (\S+)$/;
const SAMPLE = /^([a-z_]+?)(?:_bucket|_sum|_count)?\{(.*)\}/;

function labelNames(labels: string): string[] {
    return [...labels.matchAll(/([a-z_]+)="/g)]
        .map((match) => match[1] ?? '')
        .filter((name) => name !== 'le');
}

interface Shown {
    help: string;
    type: string;
    labels: readonly string[];
}

/** Name, type, help and labels of the request metrics, from what they look like to a reader. */
async function requestMetrics(): Promise<ReadonlyMap<string, Shown>> {
    const metrics = new RequestMetrics({ datacenter: '', instance: '', server: '', service: '' });
    metrics.observe({ route: '', method: '', userAgent: '', status: 200, seconds: 0 });
    const shown = new Map<string, Shown>();
    for (const line of (await metrics.text()).split('\n')) {
        const help = HELP.exec(line);
        const type = TYPE.exec(line);
        const sample = SAMPLE.exec(line);
        if (help !== null) {
            shown.set(help[1] ?? '', { help: help[2] ?? '', type: '', labels: [] });
        }
        const current = shown.get((type ?? sample)?.[1] ?? '');
        if (current !== undefined && type !== null) {
            current.type = type[2] ?? '';
        }
        if (current !== undefined && sample !== null && current.labels.length === 0) {
            current.labels = labelNames(sample[2] ?? '');
        }
    }
    return shown;
}

/** Every metric of our own. */
export async function metricsTable(): Promise<Table> {
    const row = (name: string, { type, labels, help }: Shown): string[] => [
        `\`${name}\``,
        type,
        labels.map((label) => `\`${label}\``).join(' '),
        help,
    ];
    return {
        columns: ['Metric', 'Type', 'Labels', 'Meaning'],
        rows: [
            ...[...(await requestMetrics())].map(([name, shown]) => row(name, shown)),
            ...metricSources(NO_SUBJECTS).map(({ name, type, help, labels = [] }) =>
                row(name, { type, help, labels }),
            ),
        ],
    };
}
