// The files config-agent renders in a datacenter: SAPI manifests and their templates (operations 4.2).
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Mustache from 'mustache';
import t, { type Test } from 'tap';
import { censor } from '#lib/base/censor.js';
import { checkConfig, loadConfig } from '#lib/base/config.js';
import type { Config } from '#lib/base/config-types.js';
import { PROJECT_ROOT, runToEnd } from '../helpers/server-process.js';

const DIRECTORY = join(PROJECT_ROOT, 'etc', 'sapi_manifests');

type Metadata = Readonly<Record<string, unknown>>;

function read(manifest: string, file: string): string {
    return readFileSync(join(DIRECTORY, manifest, file), 'utf8');
}

/** What config-agent makes of a template; nothing may depend on whether it escapes for HTML. */
function render(test: Test, manifest: string, metadata: Metadata): string {
    const template = read(manifest, 'template');
    const plain = Mustache.render(template, metadata, undefined, { escape: String });
    test.equal(Mustache.render(template, metadata), plain, 'values are never escaped for HTML');
    return plain;
}

const MINIMAL: Metadata = {
    datacenter_name: 'us-east-1',
    dns_domain: 'example.com',
    ufds_admin_uuid: '930896af-bf8c-48d4-885c-6573a94b1853',
    ufds_admin_login: 'admin',
    ufds_ldap_root_dn: 'cn=root',
    ufds_ldap_root_pw: "s3cret&<'pw>",
    SERVICE_NAME: 'imgapi',
    UFDS_SERVICE: 'ufds.us-east-1.example.com',
    MORAY_SERVICE: 'moray.us-east-1.example.com',
    WORKFLOW_SERVICE: 'workflow.us-east-1.example.com',
    CNAPI_SERVICE: 'cnapi.us-east-1.example.com',
    VMAPI_SERVICE: 'vmapi.us-east-1.example.com',
    NAPI_SERVICE: 'napi.us-east-1.example.com',
    SAPI_SERVICE: 'sapi.us-east-1.example.com',
    auto: {
        ZONENAME: '6d0e5b2c-0f0d-4d0e-9c0e-0c3b2ad1a8a1',
        SERVER_UUID: '44454c4c-5400-1034-8053-b5c04f383432',
        ADMIN_IP: '10.99.99.22',
    },
};

const WITH_MANTA: Metadata = {
    ...MINIMAL,
    IMGAPI_MANTA_URL: 'https://manta.example.com',
    IMGAPI_MANTA_USER: 'admin',
    IMGAPI_KEY_ID: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
    IMGAPI_MANTA_INSECURE: true,
    IMGAPI_MANTA_REMOTE: false,
};

const DATACENTERS = { 'us-west-1': 'http://10.1.2.3', 'eu-1': 'http://10.2.2.3' };

/** The config file of this metadata: its path. */
function configFile(test: Test, metadata: Metadata): string {
    const path = join(test.testdir({}), 'imgapi.config.json');
    writeFileSync(path, render(test, 'imgapi', metadata));
    return path;
}

/** The configuration in force: all that the template writes is known and valid. */
function load(test: Test, metadata: Metadata): Config {
    const path = configFile(test, metadata);
    const warnings: string[] = [];
    test.strictSame(checkConfig(path, { onWarning: (one) => warnings.push(one) }), [], 'no problem');
    const config = loadConfig(path, { environment: {}, onWarning: (one) => warnings.push(one) });
    test.strictSame(warnings, expectedWarnings(metadata), 'no key that is not known');
    return config;
}

function expectedWarnings({ experimental_fluentd_host: host }: Metadata): readonly string[] {
    return host === undefined ? [] : ['config.fluentd_host: "evt" records are logged, but not sent on'];
}

await t.test('the manifests', (test) => {
    const manifests = Object.fromEntries(
        readdirSync(DIRECTORY).map((name) => [name, JSON.parse(read(name, 'manifest.json')) as unknown]),
    );
    test.strictSame(manifests, {
        imgapi: {
            name: 'imgapi',
            path: '/data/imgapi/etc/imgapi.config.json',
            post_cmd: '/usr/sbin/svcadm refresh imgapi',
        },
        imgapi_private_key: {
            name: 'imgapi_private_key',
            path: '/root/.ssh/imgapi.key',
            post_cmd: '/usr/bin/chmod 600 /root/.ssh/imgapi.key; /usr/bin/chown nobody /root/.ssh/imgapi.key',
        },
        imgapi_public_key: {
            name: 'imgapi_public_key',
            path: '/root/.ssh/imgapi.key.pub',
            post_cmd: '/usr/bin/chown nobody /root/.ssh/imgapi.key.pub',
        },
        mantaprofile: { name: 'mantaprofile', path: '/root/.mantaprofile' },
    });
    for (const name of Object.keys(manifests)) {
        test.strictSame(readdirSync(join(DIRECTORY, name)).sort(), ['manifest.json', 'template'], name);
    }
    test.end();
});

await t.test('a datacenter with nothing special', (test) => {
    const config = load(test, MINIMAL);
    test.match(config, {
        port: 80,
        address: '0.0.0.0',
        logLevel: 'info',
        mode: 'dc',
        authType: 'none',
        databaseType: 'moray',
        storageTypes: ['local'],
        datacenterName: 'us-east-1',
        adminUuid: '930896af-bf8c-48d4-885c-6573a94b1853',
        serviceName: 'imgapi',
        instanceUuid: '6d0e5b2c-0f0d-4d0e-9c0e-0c3b2ad1a8a1',
        serverUuid: '44454c4c-5400-1034-8053-b5c04f383432',
        adminIp: '10.99.99.22',
        metrics: { address: '10.99.99.22', port: 8881 },
        allowLocalCreateImageFromVm: false,
        ufds: {
            url: 'ldaps://ufds.us-east-1.example.com',
            bindDN: 'cn=root',
            bindPassword: "s3cret&<'pw>",
        },
        moray: {
            host: 'moray.us-east-1.example.com',
            port: 2020,
            connectTimeout: 200,
            retry: { retries: 2, minTimeout: 500 },
        },
        wfapi: {
            url: 'http://workflow.us-east-1.example.com',
            workflows: ['create-from-vm', 'import-remote-image'],
            forceMd5Check: true,
        },
        cnapi: { url: 'http://cnapi.us-east-1.example.com' },
        vmapi: { url: 'http://vmapi.us-east-1.example.com' },
        docker: { url: 'http://docker.us-east-1.example.com' },
        dockerRegistryInsecure: false,
        httpProxy: '',
        sapi_service: 'sapi.us-east-1.example.com',
        ufds_admin_login: 'admin',
        vmapi_service: 'vmapi.us-east-1.example.com',
        cnapi_service: 'cnapi.us-east-1.example.com',
        napi_service: 'napi.us-east-1.example.com',
    });
    for (const key of ['manta', 'allowInsecure', 'fluentd_host', 'imgapiUrlFromDatacenter']) {
        test.notOk(key in config, `${key} is left out`);
    }
    test.notOk(Object.keys(config).some((key) => key.startsWith('//')));
    test.end();
});

await t.test('with Manta', (test) => {
    const config = load(test, WITH_MANTA);
    test.strictSame(config.storageTypes, ['manta', 'local']);
    test.strictSame(config.manta, {
        url: 'https://manta.example.com',
        user: 'admin',
        key: '/root/.ssh/imgapi.key',
        keyId: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
        insecure: true,
        remote: false,
        baseDir: 'imgapi',
        rootDir: '/admin/stor/imgapi/us-east-1',
    });
    const other = load(test, {
        ...WITH_MANTA,
        STORAGE_MANTA_BASEDIR: 'images',
        IMGAPI_MANTA_INSECURE: 'false',
        IMGAPI_MANTA_REMOTE: 'true',
    });
    test.match(other.manta, { insecure: false, remote: true, rootDir: '/admin/stor/images/us-east-1' });
    test.match(load(test, { ...WITH_MANTA, IMGAPI_MANTA_INSECURE: undefined }).manta, { insecure: false });
    test.end();
});

await t.test('settings an operator may make', (test) => {
    const insecure = (value: unknown) =>
        load(test, { ...MINIMAL, IMGAPI_ALLOW_INSECURE: value }).allowInsecure;
    test.strictSame([true, 'true', 'false', false].map(insecure), [true, true, false, undefined]);
    const local = load(test, { ...MINIMAL, IMGAPI_ALLOW_LOCAL_CREATE_IMAGE_FROM_VM: true });
    test.equal(local.allowLocalCreateImageFromVm, true);
    const registry = (value: unknown) =>
        load(test, { ...MINIMAL, docker_registry_insecure: value }).dockerRegistryInsecure;
    test.strictSame([true, 'true', false, 'false'].map(registry), [true, true, false, false]);
    test.equal(
        load(test, { ...MINIMAL, experimental_fluentd_host: 'f.example.com' }).fluentd_host,
        'f.example.com',
    );

    test.equal(load(test, { ...MINIMAL, http_proxy: '' }).httpProxy, '');
    const proxied = load(test, { ...MINIMAL, http_proxy: 'http://user:pa%26ss@10.0.0.9:3128' });
    test.equal(proxied.httpProxy, 'http://user:pa%26ss@10.0.0.9:3128');
    test.notMatch(JSON.stringify(censor(proxied)), /pa%26ss|s3cret/, 'no password in a log');
    test.end();
});

await t.test('other datacenters', (test) => {
    const urls = (value: unknown) =>
        load(test, { ...MINIMAL, IMGAPI_URL_FROM_DATACENTER: value }).imgapiUrlFromDatacenter;
    const text = JSON.stringify(DATACENTERS);
    test.strictSame(urls(text), DATACENTERS, 'an object in the config file');
    test.strictSame(urls(JSON.stringify(text)), DATACENTERS, 'JSON text in the config file');
    test.equal(urls(''), undefined);
    test.equal(urls('""'), undefined, 'empty text');

    const wrong = configFile(test, { ...MINIMAL, IMGAPI_URL_FROM_DATACENTER: '"[1]"' });
    test.strictSame(checkConfig(wrong), ['config.imgapiUrlFromDatacenter (object) is required']);
    const bad = configFile(test, { ...MINIMAL, IMGAPI_URL_FROM_DATACENTER: JSON.stringify('{"eu-1":5}') });
    test.strictSame(checkConfig(bad), ['config.imgapiUrlFromDatacenter["eu-1"] value (string) is required']);
    // Mustache has no JSON of an object to show: the metadata must be text, or nothing is applied.
    const object = configFile(test, { ...MINIMAL, IMGAPI_URL_FROM_DATACENTER: DATACENTERS });
    test.match(checkConfig(object), [/^could not parse /]);
    test.end();
});

await t.test('main.js --check', async (test) => {
    const settings = {
        IMGAPI_ALLOW_INSECURE: true,
        IMGAPI_ALLOW_LOCAL_CREATE_IMAGE_FROM_VM: true,
        IMGAPI_URL_FROM_DATACENTER: JSON.stringify(DATACENTERS),
        http_proxy: 'http://10.0.0.9:3128',
        docker_registry_insecure: true,
    };
    const check = async (metadata: Metadata) => {
        const path = configFile(test, metadata);
        const { code, stdout, stderr } = await runToEnd(['--check', '-f', path], test.testdirName);
        return { code, lines: stdout.split('\n').filter(Boolean), stderr };
    };
    const good = { code: 0, lines: [], stderr: '' };
    test.strictSame(await check(MINIMAL), good, 'nothing special');
    test.strictSame(await check({ ...MINIMAL, ...settings }), good, 'every setting');
    // The key is delivered by a manifest of its own.
    const missing = ['config.manta.key cannot be read: /root/.ssh/imgapi.key (ENOENT)'];
    const withManta = await check({ ...WITH_MANTA, ...settings });
    test.strictSame(
        withManta,
        { code: 2, lines: missing, stderr: '' },
        'with Manta, nothing but the key is missing',
    );
});

await t.test('keys and the profile', (test) => {
    const pem = '-----BEGIN EC PRIVATE KEY-----\nMHcC+/=&\n-----END EC PRIVATE KEY-----';
    test.equal(render(test, 'imgapi_private_key', { IMGAPI_PRIVATE_KEY: pem }), `${pem}\n`);
    const line = 'ecdsa-sha2-nistp256 AAAA+/= us-east-1 imgapi key';
    test.equal(render(test, 'imgapi_public_key', { IMGAPI_PUBLIC_KEY: line }), `${line}\n`);

    const environment = (metadata: Metadata): string[] => {
        const profile = render(test, 'mantaprofile', metadata);
        const script = `${profile}\nenv`;
        const printed = execFileSync('/bin/sh', ['-eu', '-c', script], { env: {}, encoding: 'utf8' });
        return printed.split('\n').filter((one) => one.startsWith('MANTA_'));
    };
    test.strictSame(environment(WITH_MANTA).sort(), [
        'MANTA_KEY_ID=SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
        'MANTA_TLS_INSECURE=1',
        'MANTA_URL=https://manta.example.com',
        'MANTA_USER=admin',
    ]);
    const secure = environment({ ...WITH_MANTA, IMGAPI_MANTA_INSECURE: 'false' });
    test.notOk(secure.includes('MANTA_TLS_INSECURE=1'));
    test.strictSame(environment(MINIMAL), [], 'nothing without Manta');
    test.end();
});
