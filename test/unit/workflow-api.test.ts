// Where clients are told to ask for jobs (jobs-and-imports 8.2, 9.5).
import type { Config } from '#lib/base/config-types.js';
import { jobReply, workflowApi, type JobCall, type JobFacts } from '#lib/http/workflow-api.js';
import t from 'tap';
import { JobEngineDouble } from '../doubles/job-engine-double.js';
import { FATHER, UNKNOWN } from '../helpers/images.js';

interface Facts {
    readonly config?: Partial<Config>;
    readonly headers?: Readonly<Record<string, string>>;
    readonly remoteAddress?: string;
    readonly encrypted?: boolean;
    /** Of a workflow service. */
    readonly url?: string;
}

function call(facts: Facts): JobCall {
    const local = new JobEngineDouble();
    const engine = facts.url === undefined ? local : new JobEngineDouble('wfapi', facts.url);
    const config = {
        mode: 'private',
        address: '192.0.2.1',
        port: 8080,
        trustedProxies: ['127.0.0.1'],
        jobs: {},
        ...facts.config,
    } as unknown as Config;
    const exchange = {
        headers: { host: 'images.example.com', ...facts.headers },
        remoteAddress: facts.remoteAddress ?? '198.51.100.1',
        encrypted: facts.encrypted ?? false,
    } as unknown as JobCall['exchange'];
    return { config, exchange, services: { jobs: { engine, local } } };
}

const HTTPS = { 'x-forwarded-proto': 'https' };
const jobs = (publicUrl: string): Partial<Config> => ({ jobs: { publicUrl } as Config['jobs'] });

const ROWS: readonly (readonly [string, Facts, string])[] = [
    ['as addressed', {}, 'http://images.example.com'],
    ['with a port', { headers: { host: 'images.example.com:444' } }, 'http://images.example.com:444'],
    ['an address of IPv6', { headers: { host: '[::1]:8080' } }, 'http://[::1]:8080'],
    ['over TLS', { encrypted: true }, 'https://images.example.com'],
    ['TLS at a trusted proxy', { headers: HTTPS, remoteAddress: '127.0.0.1' }, 'https://images.example.com'],
    ['TLS at somebody', { headers: HTTPS }, 'http://images.example.com'],
    ['no host, as in HTTP/1.0', { headers: { host: '' } }, 'http://192.0.2.1:8080'],
    ['what is no host', { headers: { host: 'a/b?c' } }, 'http://192.0.2.1:8080'],
    ['what is no host, either', { headers: { host: 'user@example.com' } }, 'http://192.0.2.1:8080'],
    ['in a datacenter', { config: { mode: 'dc', adminIp: '10.0.0.5' } }, 'http://10.0.0.5:8080'],
    ['over IPv6', { config: { mode: 'dc', adminIp: 'fd00::5' } }, 'http://[fd00::5]:8080'],
    ['as configured', { config: { ...jobs('https://a.example/x/') } }, 'https://a.example/x'],
    [
        'as configured in a datacenter',
        { config: { mode: 'dc', adminIp: '10.0.0.5', ...jobs('https://a.example') } },
        'https://a.example',
    ],
    [
        'a workflow service',
        { url: 'http://wf.example/', config: jobs('https://a.example') },
        'http://wf.example',
    ],
];

void t.test('the base URL', async (t) => {
    for (const [name, facts, expected] of ROWS) {
        const asked = call(facts);
        t.equal(workflowApi(asked, asked.services.jobs.engine), expected, name);
    }
});

void t.test('the answer', async (t) => {
    const facts: JobFacts = { imageUuid: FATHER, jobUuid: UNKNOWN };
    const keys = { image_uuid: FATHER, job_uuid: UNKNOWN };
    const here = 'http://images.example.com';
    const there = 'http://wf.example';
    const rows: readonly [JobFacts, object, object][] = [
        [facts, keys, { 'workflow-api': there }],
        [
            { ...facts, result: 'started' },
            { ...keys, result: 'started', changed: [] },
            { 'workflow-api': there, 'x-imgapi-copy': 'started' },
        ],
        [
            { ...facts, result: 'updated', changed: ['name'], local: true },
            { ...keys, result: 'updated', changed: ['name'] },
            { 'workflow-api': here, 'x-imgapi-copy': 'updated' },
        ],
        [
            { ...facts, result: 'attached', oldForm: true },
            keys,
            { 'workflow-api': there, 'x-imgapi-copy': 'attached' },
        ],
    ];
    for (const [given, value, headers] of rows) {
        const reply = jobReply(call({ url: there }), given);
        t.strictSame(reply, { kind: 'json', value, headers });
        t.equal(JSON.stringify(reply.kind === 'json' && reply.value), JSON.stringify(value), 'in this order');
    }
});
