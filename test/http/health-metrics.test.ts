// What /health and /metrics say of a server of each kind (operations 1.6, 1.8), and that the samples for
// Grafana and Prometheus name nothing else.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse as parseYaml } from 'yaml';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { datacenterConfig } from '../helpers/datacenter.js';
import { parseExposition, queryParts, type ShownMetric } from '../helpers/exposition.js';
import { HttpClient } from '../helpers/http-client.js';
import { createImage, gzipFile, uploadFile } from '../helpers/images.js';
import { startManta } from '../helpers/manta-place.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually, freePort, LIMIT_MS, PROJECT_ROOT, ServerProcess } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';
import { expectCleanEnd } from '../helpers/start-server.js';

t.setTimeout(LIMIT_MS);

type Exposition = ReadonlyMap<string, ShownMetric>;
type Checks = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const REQUEST_LABELS = [
    ...['route', 'method', 'user_agent', 'status_code'],
    ...['datacenter', 'instance', 'server', 'service'],
];

/** Every metric of ours: type and labels (operations 1.8). */
const METRICS: Readonly<Record<string, readonly [type: string, ...labels: string[]]>> = {
    http_requests_completed: ['counter', ...REQUEST_LABELS],
    http_request_duration_seconds: ['histogram', ...REQUEST_LABELS, 'le'],
    imgapi_images: ['gauge', 'state', 'type'],
    imgapi_image_bytes: ['gauge', 'stor'],
    imgapi_transfers_in_flight: ['gauge', 'direction'],
    imgapi_transfer_bytes_total: ['counter', 'direction', 'stor'],
    imgapi_transfer_failures_total: ['counter', 'direction', 'reason'],
    imgapi_stor_errors_total: ['counter', 'stor', 'op'],
    imgapi_dependency_up: ['gauge', 'dependency'],
    imgapi_cache_requests_total: ['counter', 'cache', 'result'],
    imgapi_auth_failures_total: ['counter', 'reason'],
    imgapi_archive_backlog: ['gauge'],
    imgapi_placeholders_purged_total: ['counter'],
    imgapi_jobs: ['gauge', 'task', 'execution'],
    imgapi_progress_streams: ['gauge'],
    imgapi_local_free_bytes: ['gauge'],
    imgapi_tls_expiry_seconds: ['gauge'],
};

/** Without samples on servers where nothing has gone wrong, and nobody has started a job. */
const MAY_BE_EMPTY = ['imgapi_stor_errors_total', 'imgapi_jobs'];

const FILLED = Object.keys(METRICS).filter((name) => !MAY_BE_EMPTY.includes(name));

interface Scraped {
    readonly port: number;
    readonly client: HttpClient;
    readonly scrape: () => Promise<Exposition>;
}

/** A server that shows metrics and speaks TLS. */
async function start(test: Test, config: Readonly<Record<string, unknown>>): Promise<Scraped> {
    const port = await freePort();
    const pem = join(test.testdir({}), 'cert.pem');
    const { certificate, key } = selfSigned('127.0.0.1');
    writeFileSync(pem, certificate + key);
    const tls = { cert: pem, port: await freePort() };
    const server = await ServerProcess.start({ config: { metrics: { port }, tls, ...config } });
    test.teardown(() => expectCleanEnd(server));
    return {
        port: server.port,
        client: new HttpClient(server.port),
        scrape: async () => parseExposition((await new HttpClient(port).get('/metrics')).text),
    };
}

/** Starts a datacenter's server that depends on all it can depend on. */
async function startDatacenterServer(test: Test): Promise<Scraped> {
    const ufds = await UfdsDouble.start();
    test.teardown(() => ufds.stop());
    const { config: manta } = await startManta(test);
    const wfapi = { url: 'http://127.0.0.1:1', workflows: [] };
    const own = { wfapi, manta, storageTypes: ['manta', 'local'] };
    return start(test, datacenterConfig(ufds.config, { config: own }));
}

function checksOf(test: Test, document: unknown, names: readonly string[]): Checks {
    const { status, checks } = document as { readonly status: string; readonly checks: Checks };
    test.strictSame(Object.keys(document as object), ['status', 'checks']);
    test.equal(status, 'degraded', 'a certificate that ends tomorrow');
    test.strictSame(Object.keys(checks), names);
    for (const [name, { ok, since, latencyMs, error }] of Object.entries(checks)) {
        test.ok(!Number.isNaN(Date.parse(String(since))) && typeof latencyMs === 'number', name);
        test.equal(typeof error, ok === true ? 'undefined' : 'string', name);
    }
    test.match(checks['stor.local'], { freeBytes: Number, freeInodes: Number });
    test.match(checks['tls'], { ok: false, daysLeft: Number });
    return checks;
}

/** What every exposition has. @returns the names of the metrics without samples */
function checkExposition(test: Test, exposition: Exposition): readonly string[] {
    const names = [...exposition.keys()];
    const own = names.filter((name) => !/^(?:nodejs|process)_/.test(name));
    test.strictSame([...own].sort(), Object.keys(METRICS).sort(), 'these and no others');
    for (const [name, [type, ...labels]] of Object.entries(METRICS)) {
        const shown = exposition.get(name);
        test.equal(shown?.type, type, name);
        test.not(shown?.help, '', name);
        if (shown?.labels !== undefined) test.strictSame(shown.labels, labels, `labels of ${name}`);
    }
    for (const name of [
        'nodejs_eventloop_lag_seconds',
        'nodejs_gc_duration_seconds',
        'nodejs_heap_size_used_bytes',
    ]) {
        test.ok(names.includes(name), name);
    }
    return own.filter((name) => exposition.get(name)?.labels === undefined);
}

const expositions: Exposition[] = [];

await t.test('a datacenter', async (test) => {
    const { client, scrape } = await startDatacenterServer(test);
    const { status, json } = await client.get('/health');
    test.equal(status, 200);
    const checks = checksOf(test, json, [
        ...['database', 'stor.local', 'stor.manta', 'records', 'ufds', 'jobs', 'wfapi', 'lock', 'tls'],
    ]);
    test.strictSame(
        Object.keys(checks).filter((name) => checks[name]?.['ok'] !== true),
        ['wfapi', 'tls'],
    );
    const exposition = await scrape();
    checkExposition(test, exposition);
    expositions.push(exposition);
});

await t.test('standalone, with signatures', async (test) => {
    const key = createKey('operator');
    const config = { authKeys: { operator: [key.publicLine] } };
    const { port, client: guest, scrape } = await start(test, config);
    const client = new HttpClient(port, key);
    const shown = await guest.get('/health');
    test.strictSame([shown.status, shown.json], [200, { status: 'degraded' }], 'no details for guests');
    const details = await client.get('/health');
    const checks = checksOf(test, details.json, [
        ...['database', 'stor.local', 'records', 'authkeys', 'jobs', 'lock', 'tls'],
    ]);
    test.match(checks['authkeys'], { ok: true, count: 1 });

    const uuid = await createImage(client);
    await guest.post('/images', {});
    const wrong = `/images/${uuid}/file?compression=gzip&sha1=${'0'.repeat(40)}`;
    test.equal((await client.put(wrong, gzipFile('bytes'))).status, 400);
    await uploadFile(client, uuid, gzipFile('bytes'));
    await client.post(`/images/${uuid}?action=activate`);
    await client.get(`/images/${uuid}`);
    const exposition = await eventually('all samples', 10_000, async () => {
        const now = await scrape();
        return FILLED.every((name) => now.get(name)?.labels !== undefined) && now;
    });
    test.strictSame([...checkExposition(test, exposition)].sort(), [...MAY_BE_EMPTY].sort());
    expositions.push(exposition);
});

/** All metrics by the names of their samples, with the labels they have; those of a scrape come with every one. */
function selectable(): ReadonlyMap<string, readonly string[]> {
    const known = new Map<string, readonly string[]>();
    for (const [name, { samples, labels }] of expositions.flatMap((one) => [...one])) {
        const own = labels ?? METRICS[name]?.slice(1) ?? [];
        for (const sample of samples.size === 0 ? [name] : samples) {
            const before = known.get(sample) ?? ['job', 'instance'];
            known.set(sample, [...new Set([...before, ...own])]);
        }
    }
    return known;
}

function checkQuery(test: Test, query: string, where: string): void {
    const known = selectable();
    // Made by Prometheus for each target.
    const up = ['job', 'instance'];
    const { metrics, grouping } = queryParts(query);
    test.ok(metrics.length > 0, `${where}: asks for something`);
    for (const { name, labels } of metrics) {
        const there = name === 'up' ? up : known.get(name);
        test.ok(there !== undefined, `${where}: ${name} is there`);
        for (const label of [...labels, ...grouping]) {
            test.ok(there?.includes(label), `${where}: ${name} has ${label}`);
        }
    }
}

function sample(...path: string[]): string {
    return readFileSync(join(PROJECT_ROOT, 'etc', ...path), 'utf8');
}

interface Panel {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
    readonly datasource?: { readonly uid: string };
    readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

await t.test('the dashboard', (test) => {
    const { panels, templating, id } = JSON.parse(sample('grafana', 'imgapi-dashboard.json')) as {
        readonly id: null;
        readonly panels: readonly Panel[];
        readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
    };
    test.equal(id, null, 'it can be imported');
    test.strictSame(
        templating.list.map(({ name, type }) => [name, type]),
        [
            ['datasource', 'datasource'],
            ['job', 'query'],
            ['instance', 'query'],
        ],
    );
    test.equal(new Set(panels.map((one) => one.id)).size, panels.length, 'ids are unique');
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    test.equal(new Set(cells).size, cells.length, 'no panel covers another');
    const charts = panels.filter(({ type }) => type !== 'row');
    for (const { title, targets = [], datasource } of charts) {
        test.equal(datasource?.uid, '${datasource}', title);
        test.ok(targets.length > 0, title);
        for (const { expr } of targets) {
            checkQuery(test, expr.replaceAll('$__rate_interval', '5m'), title);
            test.match(expr, 'job=~"$job", instance=~"$instance"', title);
        }
    }
    const text = charts.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join('\n');
    for (const name of Object.keys(METRICS)) test.match(text, name, 'each metric of ours is shown');
    test.end();
});

interface Alert {
    readonly alert: string;
    readonly expr: string;
    readonly labels: { readonly severity: string };
    readonly annotations: { readonly summary: string };
}

await t.test('the alerts', (test) => {
    const text = sample('prometheus', 'imgapi-alerts.yml');
    const { groups } = parseYaml(text) as {
        readonly groups: readonly { readonly rules: readonly Alert[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    test.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'names are unique');
    for (const { alert, expr, labels, annotations } of rules) {
        checkQuery(test, expr, alert);
        test.match(labels.severity, /^(?:critical|warning)$/, alert);
        test.match(annotations.summary, /\$labels\./, alert);
        const advice = new RegExp(`# Do: [^\\n]+\\n(?: +#[^\\n]*\\n)* +- alert: ${alert}\\n`);
        test.match(text, advice, `${alert}: what to do`);
    }
    const { scrape_configs: jobs, rule_files: files } = parseYaml(sample('prometheus', 'prometheus.yml')) as {
        readonly scrape_configs: readonly { readonly job_name: string }[];
        readonly rule_files: readonly string[];
    };
    test.strictSame([jobs.map((job) => job.job_name), files], [['imgapi'], ['imgapi-alerts.yml']]);
    test.end();
});
