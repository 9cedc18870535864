import type { ConfigRule, Settings, TypeWord } from './config-rules.js';
import { integer, isAbsent, oneOf, settingAt } from './config-rules.js';
import { OWN_KEYS } from './config-table-own.js';
import { VALID_MODES, VERSION } from './constants.js';

/**
 * One key of the configuration file: the loader, `--check`, the reload, the masking of secrets and
 * the documentation read this (backends 1.2, README table A).
 */
export interface ConfigKey {
    /** Dotted path from the top of the file. */
    readonly key: string;
    /** Absent: the value is never checked, as the existing server does (backends 1.2, "-"). */
    readonly type?: TypeWord;
    /** Whether the key must be given; absent: it is optional. */
    readonly required?: (settings: Settings) => boolean;
    readonly rule?: ConfigRule;
    /** Value of a key that is left out; computed defaults are named by {@link ConfigKey.defaultText}. */
    readonly default?: unknown;
    /** How a computed default comes about, for documentation. */
    readonly defaultText?: string;
    /** Whether a reload applies a change; else the process drains and exits (operations 1.4). */
    readonly live: boolean;
    /** Whether the value is masked wherever it is printed or logged (operations 1.3). */
    readonly secret?: true;
    /** One line for the documentation. */
    readonly summary: string;
}

const always = (): boolean => true;
const inDc = (settings: Settings): boolean => settings['mode'] === 'dc';
const given =
    (key: string) =>
    (settings: Settings): boolean =>
        !isAbsent(settingAt(settings, key));

const usesManta = (settings: Settings): boolean =>
    Array.isArray(settings['storageTypes']) && settings['storageTypes'].includes('manta');

const needsWfapi = (settings: Settings): boolean => settingAt(settings, 'jobs.engine') === 'wfapi';

const dcIdentity = (key: string, summary: string): ConfigKey => ({
    key,
    type: 'string',
    required: inDc,
    live: false,
    summary,
});

const notRead = (key: string): ConfigKey => ({
    key,
    live: false,
    summary: 'For tests; the server does not read it.',
});

/** Keys checked first, in the order of their checks (backends 1.4, rows 1-9). */
export const FIRST_KEYS: readonly ConfigKey[] = [
    {
        key: 'port',
        type: 'finite',
        required: always,
        rule: integer(0, 65535),
        default: 8080,
        live: false,
        summary: 'Listen port; 0: any free one.',
    },
    {
        key: 'address',
        type: 'string',
        required: always,
        default: '127.0.0.1',
        live: false,
        summary: 'Listen address.',
    },
    {
        key: 'maxSockets',
        type: 'finite',
        required: always,
        default: 100,
        live: true,
        summary: 'Most sockets to one host for outgoing HTTP requests.',
    },
    {
        key: 'serverName',
        type: 'string',
        default: `IMGAPI/${VERSION}`,
        live: true,
        summary: '`Server` header, and `User-Agent` of outgoing requests.',
    },
    {
        key: 'mode',
        type: 'string',
        required: always,
        rule: oneOf(...VALID_MODES),
        default: 'public',
        live: false,
        summary: 'Server mode: `public`, `private` or `dc`.',
    },
    {
        key: 'datacenterName',
        type: 'string',
        required: inDc,
        live: false,
        summary: 'Name of the datacenter: metrics label `datacenter`, part of the Manta directory.',
    },
    {
        key: 'ufds',
        type: 'object',
        required: inDc,
        live: false,
        summary: 'User database (LDAP); asked whether owners exist, in mode dc only.',
    },
    {
        key: 'ufds.url',
        type: 'string',
        required: inDc,
        live: false,
        summary: 'Its URL, `ldap://` or `ldaps://`; its certificate is not checked.',
    },
    { key: 'ufds.bindDN', type: 'string', required: inDc, live: false, summary: 'Its login.' },
    {
        key: 'ufds.bindPassword',
        type: 'string',
        required: inDc,
        live: false,
        secret: true,
        summary: 'Its password.',
    },
    {
        key: 'moray',
        type: 'object',
        required: inDc,
        live: false,
        summary: 'Moray database; used with `databaseType` `moray`.',
    },
    { key: 'moray.host', type: 'string', required: inDc, live: false, summary: 'Its host.' },
    { key: 'moray.port', type: 'finite', required: inDc, live: false, summary: 'Its port, usually 2020.' },
    {
        key: 'moray.connectTimeout',
        default: 200,
        live: false,
        summary: 'Milliseconds that the first attempt to connect may take; later ones may take longer.',
    },
    {
        key: 'moray.retry',
        live: false,
        summary:
            'Shortest and longest pause between attempts to connect, ms: `minTimeout` (1000), `maxTimeout` (16000). Attempts never end; `retries` has no effect.',
    },
    { key: 'wfapi', type: 'object', required: needsWfapi, live: false, summary: 'Workflow service.' },
    { key: 'wfapi.url', type: 'string', required: given('wfapi'), live: false, summary: 'Its URL.' },
    {
        key: 'wfapi.workflows',
        type: '[string]',
        required: given('wfapi'),
        live: false,
        summary: 'Names of the workflows.',
    },
    {
        key: 'authType',
        type: 'string',
        required: always,
        rule: oneOf('none', 'signature'),
        default: 'signature',
        live: false,
        summary: '`signature`: writes need a signature; `none`: everything is open.',
    },
    {
        key: 'authKeys',
        type: 'object',
        live: true,
        summary: 'User name to a list of SSH public keys (with `authType` `signature`).',
    },
    {
        key: 'storageTypes',
        type: '[string]',
        required: always,
        default: ['local'],
        live: false,
        summary: 'Where image files are kept: `local`, `manta`.',
    },
    { key: 'manta', type: 'object', required: usesManta, live: false, summary: 'Manta area.' },
    { key: 'manta.url', type: 'string', required: given('manta'), live: false, summary: 'Its URL.' },
    { key: 'manta.user', type: 'string', required: given('manta'), live: false, summary: 'Its account.' },
    {
        key: 'manta.key',
        type: 'string',
        required: given('manta'),
        live: false,
        summary: 'Path of the private key file.',
    },
    {
        key: 'manta.keyId',
        type: 'string',
        required: given('manta'),
        live: false,
        summary: 'Fingerprint of the key, MD5 or SHA256 form.',
    },
    {
        key: 'manta.baseDir',
        type: 'string',
        required: given('manta'),
        defaultText: '`imgapi`',
        live: false,
        summary: 'Directory below `/<user>/stor`.',
    },
    {
        key: 'manta.rootDir',
        defaultText: '`/<user>/stor/<baseDir>`, in mode dc plus `/<datacenterName>`',
        live: false,
        summary: 'Always computed; a given value is overwritten.',
    },
    { key: 'manta.insecure', type: 'bool', live: false, summary: 'Skip the check of its TLS certificate.' },
    { key: 'manta.remote', type: 'bool', live: false, summary: 'Manta is across the WAN.' },
    {
        key: 'databaseType',
        type: 'string',
        required: always,
        rule: oneOf('local', 'moray'),
        default: 'local',
        live: false,
        summary: 'Where image records are kept: `local` (files) or `moray`.',
    },
    {
        key: 'placeholderImageLifespanDays',
        type: 'number',
        default: 7,
        live: true,
        summary: 'Days until the record of an unfinished or failed image is removed.',
    },
    {
        key: 'allowLocalCreateImageFromVm',
        type: 'bool',
        default: false,
        live: true,
        summary: 'Whether images can be made of instances without Manta.',
    },
    {
        key: 'imgapiUrlFromDatacenter',
        type: 'object',
        live: true,
        summary: 'Datacenter name to URL of its image server.',
    },
];

/** What mode dc needs beside, checked after the others (backends 1.4, row 10). */
export const DC_KEYS: readonly ConfigKey[] = [
    dcIdentity('adminIp', 'Address of the metrics listener in mode dc.'),
    dcIdentity(
        'adminUuid',
        'Account of the operator: gets what is imported with the owner `00000000-0000-0000-0000-000000000000`; clones keep its images as origin.',
    ),
    dcIdentity('serviceName', 'Metrics label `service`.'),
    dcIdentity('instanceUuid', 'Metrics label `instance`.'),
    dcIdentity('serverUuid', 'Metrics label `server`.'),
];

/** Keys without a check of their type (backends 1.2), and those with a check of their own. */
const UNCHECKED_KEYS: readonly ConfigKey[] = [
    {
        key: 'logLevel',
        default: 'debug',
        live: true,
        summary: 'Bunyan level, name or number; `trace` or lower also logs source locations.',
    },
    { key: 'channels', live: true, summary: 'Channels: `name`, `description`, `default`.' },
    {
        key: 'allowInsecure',
        live: true,
        summary: 'Whether TLS certificates of other image servers go unchecked.',
    },
    {
        key: 'minImageCreationPlatform',
        default: ['7.0', '20130917T001310Z'],
        live: true,
        summary: 'Oldest platform of a compute node that makes images of instances: version and time stamp.',
    },
    { key: 'wfapi.forceReplace', live: false, summary: 'Replace workflow definitions at start.' },
    { key: 'wfapi.forceMd5Check', live: false, summary: 'Replace workflow definitions that differ.' },
    {
        key: 'cnapi',
        live: false,
        summary: 'Compute node service; images can be made of instances only with it and `vmapi`.',
    },
    { key: 'cnapi.url', live: false, summary: 'Its URL; never asked through a proxy.' },
    {
        key: 'vmapi',
        live: false,
        summary:
            'VM service, asked for the usage of images and for instances that images are made of; absent: neither is available.',
    },
    { key: 'vmapi.url', live: false, summary: 'Its URL; never asked through a proxy.' },
    { key: 'docker', live: false, summary: 'Not read by the server.' },
    { key: 'docker.url', live: false, summary: 'Not read by the server.' },
    {
        key: 'dockerRegistryInsecure',
        live: true,
        summary: 'Accept plain HTTP and bad certificates of Docker registries.',
    },
    {
        key: 'lxdRegistries',
        default: {
            images: 'https://us.lxd.images.canonical.com',
            ubuntu: 'https://cloud-images.ubuntu.com/releases',
        },
        live: true,
        summary: 'Name of a server of LXD images (`images` in `images:alpine/3.16`) to its URL.',
    },
    {
        key: 'httpProxy',
        live: true,
        summary: 'Proxy for requests to other image servers and registries; VMAPI is never asked through it.',
    },
    { key: 'fluentd_host', live: false, summary: 'Turns `evt` log records on.' },
    { key: 'sapi_service', live: false, summary: 'Host of SAPI, for `imgapi-manta-setup` and its like.' },
    {
        key: 'ufds_admin_login',
        live: false,
        summary: "Login of the operator's account, for `imgapi-manta-setup`.",
    },
    ...['vmapi_service', 'cnapi_service', 'napi_service'].map(notRead),
];

/** Every key the server knows. */
export const CONFIG_KEYS: readonly ConfigKey[] = [...FIRST_KEYS, ...DC_KEYS, ...OWN_KEYS, ...UNCHECKED_KEYS];

/** Objects whose missing sub-keys take their defaults; all others replace as a whole (README A). */
export const OWN_OBJECTS = ['metrics', 'tls', 'jobs', 'egress', 'accelRedirect'] as const;
