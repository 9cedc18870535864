// The SMF manifests (operations 4.1), as far as anything but SMF can judge them.
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t, { type Test } from 'tap';
import { hitchConfig } from '#lib/cli/scripts/front-server-samples.js';
import { runAs, writePair } from '../helpers/front-server.js';
import { missingPrograms, programPath } from '../helpers/programs.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually, freePort, PROJECT_ROOT } from '../helpers/server-process.js';

const XMLLINT = '/usr/bin/xmllint';
const DIRECTORY = join(PROJECT_ROOT, 'smf', 'manifests');
const WAIT_MS = 20_000;

function ask(manifest: string, path: string): string {
    const file = join(DIRECTORY, manifest);
    return execFileSync(XMLLINT, ['--nonet', '--xpath', `string(${path})`, file], {
        encoding: 'utf8',
    }).trimEnd();
}

/** Attributes of a method. */
function method(manifest: string, name: string): { readonly exec: string; readonly seconds: string } {
    const path = `//exec_method[@name="${name}"]`;
    return { exec: ask(manifest, `${path}/@exec`), seconds: ask(manifest, `${path}/@timeout_seconds`) };
}

/** A property that methods use. */
function property(manifest: string, key: string): string {
    return ask(manifest, `//property_group[@name="application"]/propval[@name="${key}"]/@value`);
}

const skip = existsSync(XMLLINT) ? false : 'xmllint is not installed';

await t.test('what all say', { skip }, (t) => {
    const names = readdirSync(DIRECTORY);
    t.strictSame(names.sort(), ['haproxy-standalone.xml', 'hitch-standalone.xml', 'imgapi.xml']);
    for (const name of names) {
        const linted = spawnSync(XMLLINT, ['--nonet', '--noout', join(DIRECTORY, name)], {
            encoding: 'utf8',
        });
        t.strictSame([linted.status, linted.stderr], [0, ''], `${name} is XML`);
        t.equal(ask(name, 'count(//single_instance)'), '1');
        t.equal(ask(name, '//create_default_instance/@enabled'), 'true');
        t.equal(ask(name, '//dependency[1]/service_fmri/@value'), 'svc:/network/physical');
        t.equal(ask(name, '//dependency[2]/service_fmri/@value'), 'svc:/system/filesystem/local');
        t.equal(
            ask(name, '//property_group[@name="startd"]/propval[@name="ignore_error"]/@value'),
            'core,signal',
        );
    }
    t.end();
});

await t.test('the server', { skip }, (t) => {
    const name = 'imgapi.xml';
    t.equal(ask(name, '/service_bundle/service/@name'), 'smartdc/site/imgapi');
    t.strictSame(method(name, 'start'), { exec: '/opt/smartdc/imgapi/bin/imgapi &', seconds: '30' });
    t.match(readFileSync(join(PROJECT_ROOT, 'bin', 'imgapi'), 'utf8'), / --abort-on-uncaught-exception /);
    t.strictSame(method(name, 'refresh'), { exec: ':kill -HUP', seconds: '30' });
    t.strictSame(method(name, 'stop'), { exec: ':kill', seconds: '900' });
    t.equal(ask(name, '//method_context/@working_directory'), '/opt/smartdc/imgapi');
    const credential = '//method_credential';
    t.strictSame(
        ['user', 'group', 'privileges'].map((key) => ask(name, `${credential}/@${key}`)),
        ['nobody', 'nobody', 'basic,net_privaddr'],
    );
    t.equal(ask(name, '//envvar[@name="LD_PRELOAD_32"]/@value'), '/usr/lib/extendedFILE.so.1');
    t.end();
});

/** A configuration whose listener says a word. */
function haproxyConfig(port: number, word: string): string {
    return `defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend front
    bind 127.0.0.1:${port}
    http-request return status 200 content-type text/plain string ${word}
`;
}

/** Runs a method of a front server's manifest as SMF does, with the paths of this machine. */
function runner(
    test: Test,
    front: 'haproxy' | 'hitch',
    paths: Readonly<Record<string, string>>,
): (name: string) => number | null {
    return (name) => {
        const { exec } = method(`${front}-standalone.xml`, name);
        const command = exec
            .replaceAll(`/opt/local/sbin/${front}`, programPath(front) ?? front)
            .replace(/%\{(\w+)\}/g, (_token, key: string) => paths[key] ?? 'no such property');
        const { status, stderr } = spawnSync('/bin/sh', ['-c', `exec ${command}`], { encoding: 'utf8' });
        test.comment(`${name}: ${status} ${stderr}`);
        return status;
    };
}

/**
 * Which process went to the background; it ends with the test. hitch writes it down only after its start has
 * ended with 0.
 */
async function backgroundPid(test: Test, file: string): Promise<number> {
    const written = await eventually(file, WAIT_MS, () => {
        return existsSync(file) && /^(\d+)\s*$/.exec(readFileSync(file, 'utf8'))?.[1];
    });
    const pid = Number(written);
    test.teardown(() => process.kill(pid));
    return pid;
}

const noHaproxy = skip || missingPrograms('haproxy');

await t.test('HAProxy', { skip: noHaproxy }, async (t) => {
    const name = 'haproxy-standalone.xml';
    t.equal(ask(name, '/service_bundle/service/@name'), 'site/haproxy');
    t.equal(property(name, 'config_file'), '/opt/smartdc/imgapi/etc/standalone/haproxy.cfg');
    t.equal(property(name, 'pid_file'), '/var/run/haproxy.pid');

    const directory = t.testdir({});
    const paths = { config_file: join(directory, 'haproxy.cfg'), pid_file: join(directory, 'haproxy.pid') };
    const port = await freePort();
    const says = (word: string): Promise<unknown> =>
        eventually(word, WAIT_MS, async () => {
            const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
            return (await answer?.text()) === word;
        });
    const run = runner(t, 'haproxy', paths);
    writeFileSync(paths.config_file, haproxyConfig(port, 'one'));
    t.equal(run('start'), 0);
    const pid = await backgroundPid(t, paths.pid_file);
    await says('one');
    writeFileSync(paths.config_file, haproxyConfig(port, 'two'));
    t.equal(run('refresh'), 0);
    await says('two');
    t.equal(Number(readFileSync(paths.pid_file, 'utf8')), pid, 'the same master process');
    writeFileSync(paths.config_file, 'nonsense\n');
    t.not(run('refresh'), 0, 'a configuration that is wrong is not loaded');
    await says('two');
});

/** The certificate that is shown on a port; `undefined`: nobody listens. */
async function certificateOn(port: number): Promise<string | undefined> {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    try {
        await once(socket, 'secureConnect');
        return socket.getPeerX509Certificate()?.fingerprint256;
    } catch {
        return undefined;
    } finally {
        socket.destroy();
    }
}

await t.test('hitch', { skip: skip || missingPrograms('hitch') }, async (t) => {
    const name = 'hitch-standalone.xml';
    t.equal(ask(name, '/service_bundle/service/@name'), 'site/hitch');
    t.equal(property(name, 'config_file'), '/opt/smartdc/imgapi/etc/standalone/hitch.conf');
    t.equal(property(name, 'pid_file'), '/var/run/hitch.pid');
    t.equal(method(name, 'stop').exec, ':kill');

    const directory = t.testdir({});
    const paths = { config_file: join(directory, 'hitch.conf'), pid_file: join(directory, 'hitch.pid') };
    const [port, proxyPort] = [await freePort(), await freePort()];
    const pem = join(directory, 'cert.pem');
    const put = (): string => {
        const pair = selfSigned('localhost');
        writePair(pem, pair);
        return new X509Certificate(pair.certificate).fingerprint256;
    };
    const shows = (fingerprint: string): Promise<unknown> =>
        eventually('the certificate', WAIT_MS, async () => (await certificateOn(port)) === fingerprint);
    const run = runner(t, 'hitch', paths);
    const first = put();
    writeFileSync(paths.config_file, hitchConfig({ ...runAs, pem, port, proxyPort }));
    t.equal(run('start'), 0);
    const pid = await backgroundPid(t, paths.pid_file);
    await shows(first);
    const second = put();
    t.equal(run('refresh'), 0);
    await shows(second);
    t.equal(Number(readFileSync(paths.pid_file, 'utf8')), pid, 'the same master process');
    writeFileSync(paths.config_file, 'nonsense\n');
    t.not(run('refresh'), 0, 'a configuration that is wrong is not loaded');
    await shows(second);
});
