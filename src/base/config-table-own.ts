import type { ConfigKey } from './config-table.js';
import type { ConfigRule, Settings, TypeWord } from './config-rules.js';
import { ADDRESSES, HTTP_URL, SLASHED, integer, isAbsent, oneOf, seconds } from './config-rules.js';
import { DEFAULT_BASE_DIR } from './constants.js';

type Facts = Partial<Pick<ConfigKey, 'default' | 'defaultText' | 'required'>> & {
    readonly rule?: ConfigRule;
};

const live = (key: string, type: TypeWord, summary: string, facts: Facts = {}): ConfigKey => ({
    key,
    type,
    live: true,
    summary,
    ...facts,
});

const fixed = (key: string, type: TypeWord, summary: string, facts: Facts = {}): ConfigKey => ({
    ...live(key, type, summary, facts),
    live: false,
});

const needed =
    (object: string) =>
    (settings: Settings): boolean =>
        !isAbsent(settings[object]);

/** Keys the existing server does not know, in the order of their checks (README table A). */
export const OWN_KEYS: readonly ConfigKey[] = [
    fixed('dataDir', 'string', 'Base directory of all local files.', { default: DEFAULT_BASE_DIR }),
    live(
        'listCacheTtlMs',
        'number',
        'How old a list may be that is answered from memory, ms; 0: always asked anew. Only with `databaseType` `moray`.',
        {
            rule: integer(0, 2000),
            default: 0,
        },
    ),
    live('shutdownTimeoutSec', 'number', 'Longest drain before running requests are cut.', {
        rule: integer(1, 7200),
        default: 25,
    }),
    live('drainDelaySec', 'number', 'Time between the first 503 of `/ping` and the end of listening.', {
        rule: integer(0, 600),
        default: 0,
    }),
    live('traceEvents', 'bool', 'Log begin and end of each request.', { default: false }),
    fixed('metrics', 'object', 'Metrics listener; outside mode dc it runs only when this is given.'),
    fixed('metrics.address', 'string', 'Its address.', { defaultText: 'mode dc: `adminIp`; else `address`' }),
    fixed('metrics.port', 'number', 'Its port; 0: none.', { rule: integer(0, 65535), default: 8881 }),
    live('archiveRetentionDays', 'number', 'Age at which archived manifests are removed; absent: never.', {
        rule: integer(1),
    }),
    fixed('tls', 'object', 'Built-in HTTPS listener.'),
    live('tls.cert', 'string', 'Path of the certificate chain, which may also hold the key.', {
        required: needed('tls'),
    }),
    live('tls.key', 'string', 'Path of the private key.'),
    fixed('tls.address', 'string', 'Its address.', { defaultText: '`address`' }),
    fixed('tls.port', 'number', 'Its port.', { rule: integer(1, 65535), default: 8443 }),
    fixed('tls.minVersion', 'string', 'Oldest TLS version.', {
        rule: oneOf('TLSv1.2', 'TLSv1.3'),
        default: 'TLSv1.2',
    }),
    fixed('tls.ciphers', 'string', 'Cipher list; absent: the one of Node.js.'),
    fixed('tls.only', 'bool', 'No plain listener.', { default: false }),
    fixed(
        'proxyProtocol',
        'bool',
        'Front servers begin connections to the plain listener with a PROXY header, version 1 or 2; only those in `trustedProxies` may connect.',
        { default: false },
    ),
    live('trustedProxies', '[string]', 'Peers whose forwarded headers are believed.', {
        rule: ADDRESSES,
        default: ['127.0.0.1', '::1'],
    }),
    fixed('compat', 'string', 'Whose formats are written to disk.', {
        rule: oneOf('reference'),
        default: 'reference',
    }),
    fixed('jobs', 'object', 'Embedded job engine.'),
    fixed('jobs.engine', 'string', 'Who runs jobs; `auto`: the workflow service when configured.', {
        rule: oneOf('auto', 'embedded', 'wfapi'),
        default: 'auto',
    }),
    fixed('jobs.dir', 'string', 'Directory of the job files.', {
        defaultText: '`jobs` in the base directory',
    }),
    live('jobs.maxRunning', 'number', 'Jobs that run at a time.', { rule: integer(1), default: 4 }),
    live('jobs.maxQueued', 'number', 'Jobs that wait.', { rule: integer(1), default: 1000 }),
    live('jobs.retries', 'number', 'Tries without progress after which an import fails.', {
        rule: integer(0),
        default: 5,
    }),
    live('jobs.backoffMinMs', 'number', 'First pause between retries.', { rule: integer(1), default: 1000 }),
    live('jobs.backoffMaxMs', 'number', 'Longest pause between retries.', {
        rule: integer(1),
        default: 60_000,
    }),
    live('jobs.connectTimeout', 'number', 'Seconds to wait for a connection.', {
        rule: seconds(1),
        default: 10,
    }),
    live('jobs.stallTimeout', 'number', 'Seconds a transfer may stand still.', {
        rule: seconds(1),
        default: 60,
    }),
    live('jobs.maxRestarts', 'number', 'Restarts of the process that a job survives.', {
        rule: integer(0),
        default: 3,
    }),
    live('jobs.retentionDays', 'number', 'Age at which finished jobs are removed.', {
        rule: integer(1),
        default: 30,
    }),
    live('jobs.retentionCount', 'number', 'Finished jobs that are kept.', {
        rule: integer(1),
        default: 1000,
    }),
    live('jobs.stageForManta', 'bool', 'Download to local disk before a transfer to Manta.', {
        default: true,
    }),
    live('jobs.maxStreams', 'number', 'Progress streams at a time.', { rule: integer(1), default: 200 }),
    live('jobs.publicUrl', 'string', 'Base URL of the `workflow-api` header.', { rule: HTTP_URL }),
    live('jobs.imgapiUrl', 'string', 'URL of this server for compute nodes.', {
        rule: HTTP_URL,
        defaultText: '`http://<adminIp, else address>:<port>`',
    }),
    fixed('egress', 'object', 'Guard on URLs that callers give.'),
    live('egress.allowHosts', '[string]', 'Hosts that are always allowed.', { default: [] }),
    live('egress.denyHosts', '[string]', 'Hosts that are never allowed.', { default: [] }),
    live('egress.guardOperators', 'bool', 'Guard the URLs of operators too.', { default: false }),
    live('dockerIdentityToken', 'bool', 'Use identity tokens of Docker registries.', { default: false }),
    live(
        'accelRedirect',
        'object',
        'Leave it to front servers in `trustedProxies` to send files of local storage (nginx: `X-Accel-Redirect`); only for requests with `X-Forwarded-For` or `X-Forwarded-Proto`.',
    ),
    live('accelRedirect.prefix', 'string', 'Where the front server has the `images` directory.', {
        rule: SLASHED,
        required: needed('accelRedirect'),
    }),
];
