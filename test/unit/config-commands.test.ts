import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeKeyPair } from '#lib/auth/key-pair.js';
import { parseServerOptions, serverHelp } from '#lib/cli/server-options.js';
import { DC, MANTA } from '../helpers/config-files.js';
import { selfSigned } from '../helpers/self-signed.js';

await t.test('command line of the server', (test) => {
    const path = '/data/imgapi/etc/imgapi.config.json';
    const run = { kind: 'run', configPath: path, debug: 0, check: false, migrate: false } as const;
    for (const [argv, expected] of [
        [[], run],
        [['-h'], { kind: 'help' }],
        [['--help', '-d'], { kind: 'help' }],
        [['--version'], { kind: 'version' }],
        [['-d'], { ...run, debug: 1 }],
        [['-dd', '-f', 'c.json'], { ...run, debug: 2, configPath: 'c.json' }],
        [['--debug', '-d', '--debug', '-d'], { ...run, debug: 3 }],
        [['-ddf', 'x'], { ...run, debug: 2, configPath: 'x' }],
        [['--file=a=b', '--check'], { ...run, configPath: 'a=b', check: true }],
        [['--file', 'x', '--migrate'], { ...run, configPath: 'x', migrate: true }],
        [
            ['--port', '81', '--address', '::1', '--metrics-port=0'],
            { ...run, port: 81, address: '::1', metricsPort: 0 },
        ],
        [['-x'], { kind: 'usage-error', message: 'unknown option(s): -x' }],
        [['-dx', '--foo=1', '-f', 'c'], { kind: 'usage-error', message: 'unknown option(s): -x, --foo' }],
        [['a', 'b'], { kind: 'usage-error', message: 'unexpected argument(s): a b' }],
        [['--', '-x'], { kind: 'usage-error', message: 'unexpected argument(s): -x' }],
        [['-f'], { kind: 'usage-error', message: 'option requires an argument: -f' }],
        [['--file='], { kind: 'usage-error', message: 'option requires an argument: --file' }],
        [['--check=1'], { kind: 'usage-error', message: 'option takes no argument: --check' }],
        [['--port', '65536'], { kind: 'usage-error', message: '--port must be integer 0..65535: "65536"' }],
        [
            ['--metrics-port=x'],
            { kind: 'usage-error', message: '--metrics-port must be integer 0..65535: "x"' },
        ],
    ] as const) {
        test.same(parseServerOptions(argv), expected, argv.join(' '));
    }
    const help = serverHelp();
    for (const option of [
        '-h, --help',
        '--version',
        '-d, --debug',
        '-f, --file PATH',
        '--port N',
        '--migrate',
    ]) {
        test.ok(help.includes(option), option);
    }
    test.end();
});

await t.test('lib/config.js and lib/constants.js', (test) => {
    const run = (script: string, ...args: readonly string[]) => {
        const { status, stdout, stderr } = spawnSync(process.execPath, [join('lib', script), ...args], {
            encoding: 'utf8',
            env: { ...process.env, IMGAPITEST_LOCAL_BASE_DIR: '/base' },
            timeout: 60_000,
        });
        return { status, stdout, stderr };
    };
    const good = join(
        test.testdir({
            'good.json': JSON.stringify({ ...DC, manta: MANTA, httpProxy: 'http://u:hunter2@proxy' }),
            'bad.json': JSON.stringify({ port: 'x', compat: 'y', typo: 1 }),
            'plain.json': '{}',
            'bare.json': JSON.stringify({ databaseType: 'moray' }),
        }),
        'good.json',
    );
    const bad = good.replace('good.json', 'bad.json');
    const plain = good.replace('good.json', 'plain.json');
    const bare = good.replace('good.json', 'bare.json');

    const whole = run('config.js', '-f', good);
    test.equal(whole.status, 0);
    test.match(JSON.parse(whole.stdout), {
        port: 8080,
        dataDir: '/base',
        ufds: { bindPassword: '***' },
        httpProxy: 'http://***@proxy',
    });
    test.ok(whole.stdout.startsWith('{\n    "port": 8080,\n'), 'indented by four spaces');
    for (const [args, status, stdout, stderr] of [
        [['-f', good, 'manta.rootDir'], 0, '/bob/stor/imgapi/dc1\n', ''],
        [['-f', good, 'minImageCreationPlatform.0'], 0, '7.0\n', ''],
        [['-f', good, 'storageTypes'], 0, '[\n    "local"\n]\n', ''],
        [['-f', good, 'port'], 0, '8080\n', ''],
        [['-f', good, 'ufds.bindPassword'], 0, '***\n', ''],
        [['-f', good, '--secrets', 'ufds.bindPassword'], 0, 'pw\n', ''],
        [['-f', good, 'manta.b.c'], 1, '', 'lib/config.js: error: no property manta.b found\n'],
        [['-f', good, 'constructor'], 1, '', 'lib/config.js: error: no property constructor found\n'],
        [['a', 'b'], 1, '', 'lib/config.js: error: too many args: a b\n'],
        [['--x'], 1, '', 'lib/config.js: error: unknown option: "--x"\n'],
        [
            ['-f', bad],
            1,
            '',
            'lib/config.js: error: invalid IMGAPI config: config.port (finite) is required\n',
        ],
        [['-f', plain, '--check'], 0, '', ''],
        [['-f', good, '--check'], 2, 'config.manta.key cannot be read: /k (ENOENT)\n', ''],
        [['-f', bare, '--check'], 2, 'config.moray (object) is required\n', ''],
        [
            ['-f', bad, '--check'],
            2,
            'config.port (finite) is required\ninvalid config.compat: y\n',
            'warning: unknown config key: typo\n',
        ],
    ] as const) {
        test.same(run('config.js', ...args), { status, stdout, stderr }, args.slice(2).join(' '));
    }
    test.match(run('config.js', '-h'), {
        status: 0,
        stdout: /^Usage: lib\/config\.js \[OPTIONS\] \[KEY\]/,
        stderr: '',
    });

    const constants = JSON.parse(run('constants.js').stdout) as unknown;
    test.same(constants, {
        LOCAL_BASE_DIR: '/base',
        DATABASE_LOCAL_DIR: '/base/manifests',
        STORAGE_LOCAL_IMAGES_DIR: '/base/images',
        STORAGE_LOCAL_ARCHIVE_DIR: '/base/archive',
        AUTHKEYS_BASE_DIR: '/base/etc/authkeys',
        MAX_ICON_SIZE: 131072,
        MAX_ICON_SIZE_STR: '128 KiB',
        MAX_IMAGE_SIZE: 21474836480,
        MAX_IMAGE_SIZE_STR: '20 GiB',
        MAX_ORIGIN_DEPTH: 100,
        UNSET_OWNER_UUID: '00000000-0000-0000-0000-000000000000',
        VALID_FILE_COMPRESSIONS: ['gzip', 'bzip2', 'xz', 'none'],
        VALID_STORAGES: ['local', 'manta'],
    });
    test.same(run('constants.js', 'DATABASE_LOCAL_DIR'), {
        status: 0,
        stdout: '/base/manifests\n',
        stderr: '',
    });
    test.same(run('constants.js', 'toString'), { status: 0, stdout: 'undefined\n', stderr: '' });
    test.end();
});

await t.test('--check looks at the files that a start reads', (test) => {
    const base = test.testdir();
    const written = (name: string, text: string): string => {
        writeFileSync(join(base, name), text);
        return join(base, name);
    };
    const pair = makeKeyPair('check');
    const key = written('manta.key', pair.privateKey);
    const ours = selfSigned('ours');
    const cert = written('cert.pem', ours.certificate);
    const certKey = written('key.pem', ours.key);
    const otherKey = written('other-key.pem', selfSigned('others').key);
    const manta = { ...MANTA, key, keyId: pair.fingerprint };
    const path = join(base, 'imgapi.config.json');
    const check = (settings: object) => {
        writeFileSync(path, JSON.stringify(settings));
        const commands = [
            ['main.js', '-f', path, '--check'],
            ['lib/config.js', '-f', path, '--check'],
            ['bin/imgapiadm', 'check-config', '-c', path],
        ];
        return commands.map((args) => {
            const { status, stdout } = spawnSync(process.execPath, args, {
                encoding: 'utf8',
                timeout: 60_000,
            });
            return { status, stdout };
        });
    };
    const all = (stdout: string) => [2, 2, 1].map((status) => ({ status, stdout }));
    const good = [0, 0, 0].map((status) => ({ status, stdout: '' }));
    test.strictSame(check({ manta, tls: { cert, key: certKey } }), good);
    const missing = join(base, 'missing.pem');
    const enoent = `ENOENT: no such file or directory, open '${missing}'`;
    test.strictSame(check({ tls: { cert: missing } }), all(`config.tls.cert ${missing}: ${enoent}\n`));
    test.match(check({ tls: { cert, key: otherKey } })[0], {
        status: 2,
        stdout: /^config\.tls\.cert .*: .*key values mismatch\n$/,
    });
    test.strictSame(
        check({ manta: { ...manta, key: missing }, tls: { cert: missing } }),
        all(
            `config.tls.cert ${missing}: ${enoent}\n` +
                `config.manta.key cannot be read: ${missing} (ENOENT)\n`,
        ),
    );
    const problem = `config.manta.key is no private key: ${cert}\n`;
    test.strictSame(check({ manta: { ...manta, key: cert } }), all(problem));
    test.end();
});

await t.test('a first look with a wrong port leaves no configuration behind', (test) => {
    const data = join(test.testdir(), 'data');
    for (const port of ['abc', '65536', '']) {
        const args = [join('bin', 'run-standalone.js'), '--data', data, `--port=${port}`];
        const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
        test.equal(status, 1, port);
        test.equal(stderr, `--port must be integer 0..65535: "${port}"\n`);
        test.notOk(existsSync(data), 'nothing is written');
    }
    test.end();
});
