import t from 'tap';
import { channelProblems } from '#lib/base/config-channels.js';
import { isAddressOrBlock } from '#lib/base/config-rules.js';
import { checkConfig, loadConfig } from '#lib/base/config.js';
import { VERSION } from '#lib/base/constants.js';
import { DC, file, firstProblem, load, MANTA } from '../helpers/config-files.js';

await t.test('defaults of an empty file', (test) => {
    const config = load(test, {});
    test.match(config, {
        port: 8080,
        address: '127.0.0.1',
        serverName: `IMGAPI/${VERSION}`,
        maxSockets: 100,
        logLevel: 'debug',
        mode: 'public',
        authType: 'signature',
        databaseType: 'local',
        storageTypes: ['local'],
        placeholderImageLifespanDays: 7,
        allowLocalCreateImageFromVm: false,
        minImageCreationPlatform: ['7.0', '20130917T001310Z'],
        dataDir: '/data/imgapi',
        listCacheTtlMs: 0,
        shutdownTimeoutSec: 25,
        drainDelaySec: 0,
        traceEvents: false,
        proxyProtocol: false,
        trustedProxies: ['127.0.0.1', '::1'],
        compat: 'reference',
        dockerIdentityToken: false,
        egress: { allowHosts: [], denyHosts: [], guardOperators: false },
    });
    test.same(config.jobs, {
        engine: 'auto',
        dir: '/data/imgapi/jobs',
        maxRunning: 4,
        maxQueued: 1000,
        retries: 5,
        backoffMinMs: 1000,
        backoffMaxMs: 60_000,
        connectTimeout: 10,
        stallTimeout: 60,
        maxRestarts: 3,
        retentionDays: 30,
        retentionCount: 1000,
        stageForManta: true,
        maxStreams: 200,
        imgapiUrl: 'http://127.0.0.1:8080',
    });
    for (const key of ['metrics', 'tls', 'channels', 'manta', 'accelRedirect', 'archiveRetentionDays']) {
        test.notOk(key in config, `${key} is absent`);
    }
    test.ok(
        Object.isFrozen(config) && Object.isFrozen(config.jobs) && Object.isFrozen(config.egress.allowHosts),
    );
    test.end();
});

await t.test('failures of reading', (test) => {
    test.throws(() => loadConfig('/nowhere/c.json'), {
        message: "ENOENT: no such file or directory, open '/nowhere/c.json'",
    });
    const broken = file(test, '{"port": }');
    test.throws(() => loadConfig(broken), { message: new RegExp(`^could not parse ${broken}: .*JSON`) });
    for (const text of ['[]', 'null', '"x"', '3']) {
        test.throws(() => load(test, text), {
            message: 'invalid IMGAPI config: config must be a JSON object',
        });
    }
    test.same(checkConfig('/nowhere/c.json'), ["ENOENT: no such file or directory, open '/nowhere/c.json'"]);
    test.end();
});

await t.test('merging and computed values', (test) => {
    const config = load(test, {
        '//port': 'a comment',
        storageTypes: ['local', 'manta'],
        manta: { ...MANTA, rootDir: '/wrong' },
        jobs: { retries: 0 },
        metrics: {},
        tls: { cert: '/cert.pem' },
        archiveRetentionDays: null,
        placeholderImageLifespanDays: null,
        sapi_service: 'imgapi',
        allowInsecure: 'true',
    });
    test.equal(config.manta?.baseDir, 'imgapi');
    test.equal(config.manta?.rootDir, '/bob/stor/imgapi', 'a given rootDir is overwritten');
    test.match(config.jobs, { retries: 0, maxRunning: 4 }, 'sub-keys of own objects keep their defaults');
    test.same(config.metrics, { port: 8881, address: '127.0.0.1' });
    test.same(config.tls, { cert: '/cert.pem', port: 8443, minVersion: 'TLSv1.2', only: false });
    test.equal(config.placeholderImageLifespanDays, 7, 'null counts as not given');
    test.equal(config.allowInsecure, true);
    test.match(config, { sapi_service: 'imgapi' });
    test.notOk('//port' in config || 'archiveRetentionDays' in config);

    const dc = load(test, { ...DC, manta: { ...MANTA, baseDir: 'b' }, storageTypes: ['manta'] });
    test.equal(dc.manta?.rootDir, '/bob/stor/b/dc1');
    test.same(dc.metrics, { port: 8881, address: '10.0.0.5' }, 'mode dc has metrics');
    test.equal(dc.jobs.imgapiUrl, 'http://10.0.0.5:8080');
    test.equal(load(test, { channels: false }).channels, undefined);
    test.end();
});

await t.test('base directory: environment, then dataDir, then built in', (test) => {
    const environment = { IMGAPITEST_LOCAL_BASE_DIR: '/env' };
    test.equal(load(test, { dataDir: '/file' }).dataDir, '/file');
    test.equal(load(test, { dataDir: '/file' }, { environment }).dataDir, '/env');
    test.equal(load(test, {}, { environment }).jobs.dir, '/env/jobs');
    test.equal(
        load(test, { dataDir: '' }, { environment: { IMGAPITEST_LOCAL_BASE_DIR: '' } }).dataDir,
        '/data/imgapi',
    );
    test.end();
});

/** One row: settings with a problem, and the message of the problem. */
const PROBLEMS: readonly (readonly [settings: object, message: string])[] = [
    [{ port: '80' }, 'config.port (finite) is required'],
    [{ port: null }, 'config.port (finite) is required'],
    [{ address: 1 }, 'config.address (string) is required'],
    [{ maxSockets: 'x' }, 'config.maxSockets (finite) is required'],
    [{ serverName: 4 }, 'config.serverName (string) is required'],
    [{ mode: 7 }, 'config.mode (string) is required'],
    [{ mode: 'secret' }, 'invalid config.mode: secret'],
    [{ mode: 'dc' }, 'config.datacenterName (string) is required'],
    [{ ...DC, ufds: undefined }, 'config.ufds (object) is required'],
    [{ ...DC, ufds: {} }, 'config.ufds.url (string) is required'],
    [{ ...DC, ufds: { ...DC.ufds, bindDN: 1 } }, 'config.ufds.bindDN (string) is required'],
    [{ ...DC, ufds: { ...DC.ufds, bindPassword: null } }, 'config.ufds.bindPassword (string) is required'],
    [{ ...DC, moray: undefined }, 'config.moray (object) is required'],
    [{ ...DC, moray: { port: 1 } }, 'config.moray.host (string) is required'],
    [{ ...DC, moray: { host: 'm', port: '1' } }, 'config.moray.port (finite) is required'],
    [{ ...DC, wfapi: {} }, 'config.wfapi.url (string) is required'],
    [{ ...DC, wfapi: { url: 'u', workflows: [1] } }, 'config.wfapi.workflows ([string]) is required'],
    [{ wfapi: { url: 'u' } }, 'config.wfapi.workflows ([string]) is required'],
    [{ jobs: { engine: 'wfapi' } }, 'config.wfapi (object) is required'],
    [{ authType: null }, 'config.authType (string) is required'],
    [{ authType: 'ldap' }, 'invalid config.authType: ldap'],
    [{ authKeys: [] }, 'config.authKeys (object) is required'],
    [{ authKeys: { bob: 'ssh-rsa' } }, 'config.authKeys["bob"] value ([string]) is required'],
    [{ storageTypes: 'local' }, 'config.storageTypes ([string]) is required'],
    [{ storageTypes: ['local', 's3'] }, 'invalid storage type: s3'],
    [{ storageTypes: ['manta'] }, 'config.manta (object) is required'],
    ...(['url', 'user', 'key', 'keyId'] as const).map(
        (key) => [{ manta: { ...MANTA, [key]: 1 } }, `config.manta.${key} (string) is required`] as const,
    ),
    [{ manta: { ...MANTA, baseDir: 5 } }, 'config.manta.baseDir (string) is required'],
    [{ manta: { ...MANTA, insecure: 'x' } }, 'config.manta.insecure (bool) is required'],
    [{ manta: { ...MANTA, remote: 1 } }, 'config.manta.remote (bool) is required'],
    [{ databaseType: {} }, 'config.databaseType (string) is required'],
    [{ databaseType: 'mysql' }, 'invalid config.databaseType: mysql'],
    [{ placeholderImageLifespanDays: '7' }, 'config.placeholderImageLifespanDays (number) is required'],
    [{ allowLocalCreateImageFromVm: 1 }, 'config.allowLocalCreateImageFromVm (bool) is required'],
    [{ imgapiUrlFromDatacenter: 'x' }, 'config.imgapiUrlFromDatacenter (object) is required'],
    [{ imgapiUrlFromDatacenter: { e: 1 } }, 'config.imgapiUrlFromDatacenter["e"] value (string) is required'],
    ...(['adminIp', 'adminUuid', 'serviceName', 'instanceUuid', 'serverUuid'] as const).map(
        (key) => [{ ...DC, [key]: undefined }, `config.${key} (string) is required`] as const,
    ),
    [{ databaseType: 'moray' }, 'config.moray (object) is required'],
    [{ databaseType: 'moray', moray: { port: 1 } }, 'config.moray.host (string) is required'],
    [{ databaseType: 'moray', moray: { host: 'm' } }, 'config.moray.port (finite) is required'],
    [{ storageTypes: [] }, 'config.storageTypes must not be empty'],
    [{ dataDir: 1 }, 'config.dataDir (string) is required'],
    [{ listCacheTtlMs: 'x' }, 'config.listCacheTtlMs (number) is required'],
    [{ listCacheTtlMs: 2001 }, 'config.listCacheTtlMs must be integer 0..2000'],
    [{ shutdownTimeoutSec: 0 }, 'config.shutdownTimeoutSec must be integer 1..7200'],
    [{ drainDelaySec: 1.5 }, 'config.drainDelaySec must be integer 0..600'],
    [{ traceEvents: 'yes' }, 'config.traceEvents (bool) is required'],
    [{ metrics: 8881 }, 'config.metrics (object) is required'],
    [{ port: 65536 }, 'config.port must be integer 0..65535'],
    [{ metrics: { port: 65536 } }, 'config.metrics.port must be integer 0..65535'],
    [{ archiveRetentionDays: 0 }, 'config.archiveRetentionDays must be integer >= 1'],
    [{ tls: {} }, 'config.tls.cert (string) is required'],
    [{ tls: { cert: 'c', port: 0 } }, 'config.tls.port must be integer 1..65535'],
    [{ tls: { cert: 'c', minVersion: 'SSLv3' } }, 'invalid config.tls.minVersion: SSLv3'],
    [{ tls: { cert: 'c', only: 1 } }, 'config.tls.only (bool) is required'],
    [{ proxyProtocol: 1 }, 'config.proxyProtocol (bool) is required'],
    [{ trustedProxies: '::1' }, 'config.trustedProxies ([string]) is required'],
    [
        { trustedProxies: ['10.0.0.0/33'] },
        'config.trustedProxies must be an array of addresses or CIDR blocks',
    ],
    [{ compat: 'none' }, 'invalid config.compat: none'],
    [{ jobs: { engine: 'none' } }, 'invalid config.jobs.engine: none'],
    [{ jobs: { maxRunning: 0 } }, 'config.jobs.maxRunning must be integer >= 1'],
    [{ jobs: { connectTimeout: 0.5 } }, 'config.jobs.connectTimeout must be seconds >= 1'],
    [{ jobs: { publicUrl: 'x' } }, 'config.jobs.publicUrl must be a URL'],
    [{ egress: { allowHosts: 'x' } }, 'config.egress.allowHosts ([string]) is required'],
    [{ dockerIdentityToken: 'x' }, 'config.dockerIdentityToken (bool) is required'],
    [{ accelRedirect: {} }, 'config.accelRedirect.prefix (string) is required'],
    [
        { accelRedirect: { prefix: '/x' } },
        'config.accelRedirect.prefix must be a string starting and ending with /',
    ],
    [{ logLevel: 'loud' }, 'invalid config.logLevel: loud'],
    [{ channels: 'x' }, 'config.channels ([object]) is required'],
];

await t.test('every problem has its message', (test) => {
    for (const [settings, message] of PROBLEMS) {
        test.equal(firstProblem(test, settings), message);
    }
    test.end();
});

await t.test('the first problem is the one of the earliest check; --check tells all', (test) => {
    const settings = Object.assign(
        {},
        ...[
            { channels: [], logLevel: 'loud', compat: 'none', listCacheTtlMs: -1, storageTypes: [] },
            { imgapiUrlFromDatacenter: 1, allowLocalCreateImageFromVm: 1, databaseType: 'x', authType: 'x' },
            { ufds: 4, mode: 'dc', serverName: 1, maxSockets: 'x', address: 1, port: 'x' },
            { auth: { type: 'signature', keys: {} }, database: { type: 'local', dir: '/x' }, nonsense: 1 },
        ],
    ) as object;
    test.equal(firstProblem(test, settings), 'config.port (finite) is required');
    const warnings: string[] = [];
    const lines = checkConfig(file(test, settings), { onWarning: (line) => warnings.push(line) });
    test.same(lines, [
        'config.port (finite) is required',
        'config.address (string) is required',
        'config.maxSockets (finite) is required',
        'config.serverName (string) is required',
        'config.datacenterName (string) is required',
        'config.ufds (object) is required',
        'config.moray (object) is required',
        'invalid config.authType: x',
        'invalid config.databaseType: x',
        'config.allowLocalCreateImageFromVm (bool) is required',
        'config.imgapiUrlFromDatacenter (object) is required',
        'config.adminIp (string) is required',
        'config.adminUuid (string) is required',
        'config.serviceName (string) is required',
        'config.instanceUuid (string) is required',
        'config.serverUuid (string) is required',
        'config.storageTypes must not be empty',
        'config.listCacheTtlMs must be integer 0..2000',
        'invalid config.compat: none',
        'invalid config.logLevel: loud',
        'empty "config.channels" array',
        'config.auth.type is not read any more: use authType',
        'config.auth.keys is not read any more: use authKeys',
        'config.database.type is not read any more: use databaseType',
        'config.database.dir is not read any more: use dataDir',
    ]);
    test.same(warnings, ['unknown config key: nonsense']);
    test.same(checkConfig(file(test, { storageTypes: ['ftp'] })), [
        'config.storageTypes: invalid storage type: ftp',
    ]);
    test.same(checkConfig(file(test, {})), []);
    test.end();
});

await t.test('unknown keys and old forms: one warning each', (test) => {
    const warnings: string[] = [];
    load(
        test,
        {
            prot: 1,
            '// note': 1,
            jobs: { maxRuning: 2, '//': 'x' },
            auth: { type: 'none' },
            ufds_admin_login: 'x',
        },
        { onWarning: (line) => warnings.push(line) },
    );
    test.same(warnings, [
        'unknown config key: prot',
        'unknown config key: jobs.maxRuning',
        'config.auth.type is not read any more: use authType',
    ]);
    test.end();
});

await t.test('channels', (test) => {
    const channel = (name: unknown, more: object = {}) => ({ name, description: '', ...more });
    for (const [channels, problems] of [
        [undefined, []],
        [null, []],
        [false, []],
        [[channel('dev', { default: true }), channel('staging', { default: false })], []],
        [{}, ['config.channels ([object]) is required']],
        [['dev'], ['config.channels ([object]) is required']],
        [[], ['empty "config.channels" array']],
        [
            [{}],
            [
                'config.channels[0].name (string) is required',
                'config.channels[0].description (string) is required',
            ],
        ],
        [[channel('A')], ['invalid channel name: "A", must match /^[a-z][a-z0-9_-]*$/']],
        [[channel('a'), channel('b', { default: 1 })], ['config.channels[1].default (bool) is required']],
        [
            [channel('a', { default: true }), channel('b', { default: true })],
            [
                'cannot have multiple *default* channels: {"name":"a","description":"","default":true} and {"name":"b","description":"","default":true}',
            ],
        ],
        [[channel('a'), channel('a')], ['duplicate channel name: "a"']],
    ] as const) {
        test.same(channelProblems(channels), problems, JSON.stringify(channels));
    }
    test.end();
});

await t.test('addresses and blocks', (test) => {
    for (const good of ['10.0.0.1', '::1', '10.0.0.0/8', 'fc00::/7', '0.0.0.0/0']) {
        test.ok(isAddressOrBlock(good), good);
    }
    for (const bad of [
        '',
        'localhost',
        '10.0.0.0/',
        '10.0.0.0/33',
        '::/129',
        '10.0.0.0/8/8',
        '10.0.0/8',
        '1.1.1.1/-1',
    ]) {
        test.notOk(isAddressOrBlock(bad), bad);
    }
    test.end();
});
