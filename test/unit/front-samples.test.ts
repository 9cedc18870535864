// The sample configurations of front servers (operations 4.6), filled as the setup command fills them.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { fillSample } from '#lib/cli/scripts/fill-sample.js';
import { haproxyConfig, hitchConfig } from '#lib/cli/scripts/front-server-samples.js';
import { missingPrograms, programPath } from '../helpers/programs.js';
import { selfSigned } from '../helpers/self-signed.js';

const run = promisify(execFile);

void t.test('placeholders', (t) => {
    const filled = (sample: string, values: Parameters<typeof fillSample>[1]): string =>
        fillSample(sample, values);
    t.equal(filled('a @@B@@:@@C_1@@ d', { B: '10.0.0.1', C_1: 80, SURPLUS: 'x' }), 'a 10.0.0.1:80 d');
    t.equal(filled('a\nb @@B@@ @@C@@\nc', { B: 1, C: null }), 'a\nc', 'null takes the line out');
    t.equal(filled('a\n@@B@@\nc', { B: ['x y', '  z'] }), 'a\nx y\n  z\nc', 'a list is lines');
    t.equal(filled('a\n @@B@@\nc', { B: [] }), 'a\nc');
    t.equal(filled('user@@host @@', {}), 'user@@host @@', 'what is no placeholder stays');
    t.throws(() => filled('x @@B@@', {}), { message: 'there is no value for @@B@@' });
    t.throws(() => filled('x @@B@@ @@C@@', { C: null }), { message: 'there is no value for @@B@@' });
    t.throws(() => filled('x @@B@@', Object.create({ B: '1' }) as Record<string, string>));
    t.throws(() => filled('x @@B@@', { B: ['y'] }), { message: /stands for whole lines/ });
    for (const value of ['', 'a b', 'a\nb', 'a"b', "a'b", 'a#b', 'a\\b', '$b', 'é']) {
        t.throws(() => filled('x @@B@@', { B: value }), { message: /cannot stand for @@B@@/ }, value);
    }
    t.end();
});

function certificate(t: Test): string {
    const { certificate: chain, key } = selfSigned('127.0.0.1');
    const pem = join(t.testdir(), 'cert.pem');
    writeFileSync(pem, chain + key, { mode: 0o600 });
    return pem;
}

void t.test('the usual values', (t) => {
    const proxy = haproxyConfig({ pem: '/data/imgapi/etc/cert.pem', serverPorts: [8080, 8081] });
    t.match(proxy, 'bind *:443 ssl crt /data/imgapi/etc/cert.pem alpn h2,http/1.1\n');
    t.match(proxy, 'bind 127.0.0.1:8443 accept-proxy\n');
    t.match(proxy, 'bind 127.0.0.1:8404\n');
    t.match(proxy, 'user haproxy\n');
    t.equal(proxy.split('    server be1 127.0.0.1:8081\n').length, 3, 'to read from and to write to');
    const behindHitch = haproxyConfig({ pem: '/c', serverPorts: [8080], httpsPort: null, runAs: null });
    t.notMatch(behindHitch, /ssl crt|^ *(user|group) /m);
    t.notMatch(haproxyConfig({ pem: '/c', serverPorts: [8080], proxyPort: null }), 'accept-proxy\n');
    const hitch = hitchConfig({ pem: '/c' });
    t.match(hitch, /port = "443"\n[^]*backend = "\[127\.0\.0\.1\]:8443"\n[^]*user = "_hitch"\n/);
    t.match(hitch, 'alpn-protos = "h2,http/1.1"\n');
    t.match(hitchConfig({ pem: '/c', h2: false }), 'alpn-protos = "http/1.1"\n');
    t.throws(() => haproxyConfig({ pem: '/a b', serverPorts: [8080] }), /@@PEM@@/);
    t.end();
});

void t.test('haproxy takes its sample', { skip: missingPrograms('haproxy') }, async (t) => {
    const pem = certificate(t);
    for (const changes of [{}, { httpsPort: null }, { proxyPort: null }]) {
        const path = join(t.testdirName, 'haproxy.cfg');
        writeFileSync(path, haproxyConfig({ pem, serverPorts: [8080, 8081], ...changes }));
        const { stdout, stderr } = await run(programPath('haproxy') ?? '', ['-c', '-f', path]);
        t.match(stdout, 'Configuration file is valid');
        t.notMatch(stderr, /WARNING|ALERT/);
    }
});

void t.test('hitch takes its sample', { skip: missingPrograms('hitch') }, async (t) => {
    const pem = certificate(t);
    const path = join(t.testdirName, 'hitch.conf');
    writeFileSync(path, hitchConfig({ pem, workers: 4 }));
    const { stderr } = await run(programPath('hitch') ?? '', ['--test', `--config=${path}`]);
    t.match(stderr, 'hitch configuration looks ok');
});
