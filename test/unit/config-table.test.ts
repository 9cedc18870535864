import t from 'tap';
import { censor } from '#lib/base/censor.js';
import { diffConfig } from '#lib/base/config-diff.js';
import { CONFIG_KEYS, OWN_OBJECTS } from '#lib/base/config-table.js';
import type { LoadOptions } from '#lib/base/config.js';
import { firstProblem, load, MANTA } from '../helpers/config-files.js';

await t.test('overrides move the other ports', (test) => {
    const settings = { port: 8080, metrics: { address: '10.1.1.1' }, tls: { cert: 'c' } };
    const moved = load(test, settings, { overrides: { port: 8082, address: '0.0.0.0' } });
    test.match(moved, { port: 8082, address: '0.0.0.0', metrics: { port: 8883, address: '10.1.1.1' } });
    test.equal(moved.tls?.port, 8445);
    test.equal(moved.jobs.imgapiUrl, 'http://0.0.0.0:8082');
    const ports = (content: object, overrides: LoadOptions['overrides'] & object) =>
        load(test, content, { overrides }).metrics?.port;
    test.equal(ports(settings, { port: 8082, metricsPort: 9000 }), 9000);
    test.equal(ports(settings, { metricsPort: 0 }), 0);
    test.equal(ports({ metrics: { port: 0 } }, { port: 9000 }), 0, 'off stays off');
    test.equal(ports({}, { metricsPort: 9000 }), 9000, 'asked for on the command line');
    test.equal(ports(settings, { port: 0 }), 8881, 'a port chosen by the system moves nothing');
    test.equal(load(test, { metrics: {} }, { overrides: { address: '::1' } }).metrics?.address, '::1');
    test.throws(() => ports(settings, { port: 65535 }), {
        message:
            'invalid IMGAPI config: config.metrics.port must be integer 1..65535 (8881 moved by 57455 with --port)',
    });
    test.end();
});

await t.test('what a reload applies', (test) => {
    const before = load(test, { channels: [{ name: 'a', description: '' }], jobs: { retries: 1 }, extra: 1 });
    const diff = (content: object) => diffConfig(before, load(test, content));
    const same = { channels: [{ name: 'a', description: '' }], jobs: { retries: 1 } };
    test.same(diff(same), { live: [], restart: [] }, 'keys that are not read do not count');
    test.same(diff({ jobs: same.jobs, logLevel: 'info', serverName: 'x' }).live.toSorted(), [
        'channels',
        'logLevel',
        'serverName',
    ]);
    test.same(diff({ ...same, jobs: { retries: 2, engine: 'embedded' } }), {
        live: ['jobs.retries'],
        restart: ['jobs.engine'],
    });
    test.same(diff({ ...same, port: 81, manta: MANTA }), {
        live: ['jobs.imgapiUrl'],
        restart: ['port', 'manta'],
    });
    test.match(diff({ ...same, tls: { cert: 'c' } }).restart, ['tls.port'], 'a new listener needs a restart');
    test.end();
});

await t.test('the table of keys', (test) => {
    const keys = CONFIG_KEYS.map((facts) => facts.key);
    test.equal(new Set(keys).size, keys.length, 'no key twice');
    const live = new Set(CONFIG_KEYS.filter((facts) => facts.live).map((facts) => facts.key));
    for (const key of [
        ...['logLevel', 'authKeys', 'channels', 'serverName', 'maxSockets', 'imgapiUrlFromDatacenter'],
        ...['allowInsecure', 'httpProxy', 'dockerRegistryInsecure', 'placeholderImageLifespanDays'],
        ...['minImageCreationPlatform', 'allowLocalCreateImageFromVm', 'tls.cert', 'tls.key'],
        ...['listCacheTtlMs', 'shutdownTimeoutSec', 'drainDelaySec', 'traceEvents', 'archiveRetentionDays'],
        ...['trustedProxies', 'egress.allowHosts', 'jobs.publicUrl', 'dockerIdentityToken'],
        'accelRedirect.prefix',
    ]) {
        test.ok(live.has(key), `${key} is live`);
    }
    for (const key of ['port', 'mode', 'dataDir', 'metrics.port', 'tls.port', 'jobs.engine']) {
        test.notOk(live.has(key), `${key} needs a restart`);
    }
    for (const { key, secret, type } of CONFIG_KEYS) {
        const name = key.split('.').at(-1) ?? key;
        const masked = (censor({ [name]: 'x' }) as Record<string, unknown>)[name] === '***';
        test.equal(masked, secret === true || (type === 'bool' && masked), `masking of ${key}`);
    }
    for (const { key, default: value, rule, type } of CONFIG_KEYS) {
        if (value !== undefined && type !== undefined) {
            const [top = key, sub] = key.split('.');
            const own = (OWN_OBJECTS as readonly string[]).includes(top);
            const settings =
                sub === undefined
                    ? { [key]: value }
                    : own
                      ? { [top]: { cert: 'c', prefix: '/', [sub]: value } }
                      : {};
            test.equal(
                firstProblem(test, settings),
                'no problem',
                `default of ${key} fits ${rule?.kind ?? type}`,
            );
        }
    }
    test.end();
});
