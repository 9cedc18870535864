import { X509Certificate } from 'node:crypto';
import {
    chmodSync,
    existsSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    rmSync,
    statSync,
    symlinkSync,
    writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import t, { type Test } from 'tap';
import sshpk from 'sshpk';
import { readMantaKey } from '#lib/remotes/manta/manta-key.js';
import { runTool, type ToolExit } from '../helpers/admin-tool.js';
import { differences, treeOf } from '../helpers/data-tree.js';
import { PROJECT_ROOT, temporaryDirectory } from '../helpers/server-process.js';

const NOT_ROOT = process.getuid?.() === 0 ? false : 'needs the rights of root';

interface SetupPlace {
    readonly directory: string;
    readonly data: string;
    readonly etc: string;
    /** Values that the fake `mdata-get` knows, by key. */
    readonly metadata: (values: Readonly<Record<string, string>>) => void;
    readonly setUp: (...args: string[]) => Promise<ToolExit>;
    readonly generate: (
        args: readonly string[],
        environment?: Readonly<Record<string, string>>,
    ) => Promise<ToolExit>;
}

/** As in a zone: prints the value and a line feed; exit status 1 for a key that is not there. */
const MDATA_GET = `#!/bin/sh
if [ -f "$MDATA/$1" ]; then cat "$MDATA/$1"; echo; else echo "No metadata for '$1'" >&2; exit 1; fi
`;

function setupPlace(t: Test): SetupPlace {
    const directory = temporaryDirectory();
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const [data, bin, values] = [join(directory, 'data'), join(directory, 'bin'), join(directory, 'mdata')];
    mkdirSync(bin);
    const path = `${bin}:${process.env['PATH'] ?? ''}`;
    const environment = { IMGAPI_DATA: data, PATH: path, MDATA: values };
    return {
        directory,
        data,
        etc: join(data, 'etc'),
        metadata: (given) => {
            mkdirSync(values, { recursive: true });
            for (const [name, text] of [
                ['mdata-get', MDATA_GET],
                ['mdata-put', '#!/bin/sh\nprintf %s "$2" > "$MDATA/$1"\n'],
            ] as const) {
                writeFileSync(join(bin, name), text);
                chmodSync(join(bin, name), 0o755);
            }
            for (const [key, value] of Object.entries(given)) writeFileSync(join(values, key), value);
        },
        setUp: (...args) => runTool(args, environment, { program: 'imgapi-standalone-setup' }),
        generate: (args, more = {}) =>
            runTool(args, { ...environment, ...more }, { program: 'imgapi-standalone-gen-setup-config' }),
    };
}

function documentOf({ stdout, stderr }: ToolExit): Record<string, unknown> {
    try {
        return JSON.parse(stdout.join('\n')) as Record<string, unknown>;
    } catch {
        throw new Error(stderr);
    }
}

void t.test('set-up: everything there is to be, once', async (t) => {
    const place = setupPlace(t);
    const units = join(place.directory, 'units');
    const args = [
        '-m',
        'port=19180',
        '--hostname',
        'images.example.com',
        '--front',
        'hitch',
        '--unit-dir',
        units,
    ];
    const dry = await place.setUp(...args, '--dry-run');
    t.match(dry, { code: 0, stderr: '' });
    t.ok(
        dry.stdout.every((line) => line.startsWith('to do: ')),
        dry.stdout.join(),
    );
    t.notOk(existsSync(place.data));

    const done = await place.setUp(...args);
    t.match(done, { code: 0, stderr: '' }, done.stderr);
    t.match(
        done.stdout.join('\n'),
        /Next:\n1\. Let a user write.*imgapi-standalone-restore.*Start the server/s,
    );
    for (const name of [
        '',
        'etc',
        'etc/authkeys',
        'etc/authkeys/local',
        'images',
        'manifests',
        'archive',
        'run',
    ]) {
        t.equal(statSync(join(place.data, name)).mode & 0o777, 0o750, name);
    }
    const pem = readFileSync(join(place.etc, 'cert.pem'), 'utf8');
    t.doesNotThrow(() => createSecureContext({ cert: pem, key: pem }));
    const certificate = new X509Certificate(pem);
    t.ok(certificate.verify(certificate.publicKey));
    t.equal(certificate.subjectAltName, `DNS:images.example.com, DNS:${hostname()}, DNS:localhost`);
    t.equal((Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / 86_400_000, 825);
    t.equal(certificate.publicKey.asymmetricKeyType, 'ec');
    t.equal(statSync(join(place.etc, 'cert.pem')).mode & 0o777, 0o640);
    const [key = '', ...more] = readdirSync(place.etc).filter((name) => name.endsWith('.id_ecdsa'));
    t.strictSame(more, []);
    t.match(key, new RegExp(`^imgapi-${hostname()}-\\d{8}T\\d{6}Z\\.id_ecdsa$`));
    t.equal(statSync(join(place.etc, key)).mode & 0o777, 0o600);
    t.match(readFileSync(join(place.etc, 'haproxy.cfg'), 'utf8'), /127\.0\.0\.1:19180/);
    t.match(readFileSync(join(place.etc, 'hitch.conf'), 'utf8'), new RegExp(join(place.etc, 'cert.pem')));
    const unit = readFileSync(join(units, 'imgapi@.service'), 'utf8');
    t.ok(
        unit.includes(join(place.etc, 'imgapi.config.json')) && unit.includes(PROJECT_ROOT),
        'of this place',
    );
    t.notOk(/\/data\/imgapi|\/opt\/smartdc/.test(unit));

    const before = treeOf(place.data);
    const again = await place.setUp(...args);
    t.equal(again.code, 0);
    const steps = again.stdout.slice(0, again.stdout.indexOf(''));
    t.ok(steps.length > 10 && steps.every((line) => line.startsWith('already done: ')), steps.join());
    t.strictSame(differences(before, treeOf(place.data)), []);

    rmSync(join(place.etc, 'cert.pem'));
    t.match(await place.setUp(...args), { code: 0 });
    const changed = differences(before, treeOf(place.data));
    t.strictSame(changed, ['~ etc/cert.pem'], 'what is missing is made, and nothing else');
    writeFileSync(join(place.etc, 'imgapi.config.json'), '{"mode":"other"}');
    t.match(await place.setUp(...args), { code: 1, stderr: /config.*mode/ });
    const wrong = [
        ['--front', 'x'],
        ['--hostname', 'a b'],
        ['--user', '-x'],
        ['-m', 'what=1'],
        ['-m', 'mode'],
    ];
    for (const each of wrong)
        t.match(await place.setUp(...each), { code: 1, stderr: /error: / }, each.join(' '));
});

void t.test('a zone with Manta: variables from its metadata, its key told to the outside', async (t) => {
    const place = setupPlace(t);
    const serverName = `it's "quoted" \\ {{mode}} é`;
    place.metadata({
        mode: 'private',
        channels: 'standard',
        serverName,
        mantaUrl: 'https://manta.example.com/a"b',
        mantaInsecure: 'true',
        mantaUser: 'o\'brien "x"',
        mantaBaseDir: 'a/b',
        instPubKey: '',
    });
    t.match(await place.setUp(), { code: 0, stderr: '' });
    const config = JSON.parse(readFileSync(join(place.etc, 'imgapi.config.json'), 'utf8')) as {
        manta: { key: string; keyId: string };
        channels: { name: string; default?: boolean }[];
    };
    t.match(config, {
        mode: 'private',
        serverName,
        authType: 'signature',
        databaseType: 'local',
        storageTypes: ['manta', 'local'],
        manta: { url: 'https://manta.example.com/a"b', insecure: true, user: 'o\'brien "x"', baseDir: 'a/b' },
    });
    t.strictSame(
        config.channels.map(({ name }) => name),
        ['experimental', 'dev', 'staging', 'release', 'support'],
    );
    t.strictSame(
        config.channels.filter((one) => one.default).map(({ name }) => name),
        ['dev'],
    );
    await readMantaKey(config.manta);
    const told = readFileSync(join(place.directory, 'mdata/instPubKey'), 'utf8');
    t.equal(sshpk.parseKey(told, 'ssh').fingerprint('sha256').toString(), config.manta.keyId);

    const generated = documentOf(await place.generate([]));
    t.strictSame(generated['manta'], config.manta, 'the same again');
    rmSync(config.manta.key);
    t.match(await place.generate([]), {
        code: 1,
        stdout: [],
        stderr: /the key that instPubKey belongs to cannot be read/,
    });
    const env = `#!/bin/sh\nexit 7\n`;
    writeFileSync(join(place.directory, 'bin/mdata-get'), env);
    t.match(await place.generate([]), { code: 1, stderr: /mdata-get mode failed/ });

    const environment = { IMGAPI_CONFIG: join(place.etc, 'imgapi.config.json'), NAME: serverName };
    const shown = await runTool([], environment, { program: 'manta-env' });
    t.strictSame(shown.stdout, [
        `export MANTA_URL='https://manta.example.com/a"b'`,
        `export MANTA_USER='o'\\''brien "x"'`,
        `export MANTA_KEY_ID='${config.manta.keyId}'`,
        `export MANTA_TLS_INSECURE='1'`,
    ]);
});

void t.test('a key that could not be told is told the next time', async (t) => {
    const place = setupPlace(t);
    place.metadata({ mode: 'private' });
    const put = join(place.directory, 'bin/mdata-put');
    const works = readFileSync(put, 'utf8');
    writeFileSync(put, '#!/bin/sh\necho no >&2; exit 1\n');
    t.match(await place.setUp(), { code: 1, stderr: /mdata-put instPubKey failed: no/ });
    writeFileSync(put, works);
    t.match(await place.setUp(), { code: 0, stderr: '' });
    t.match(readFileSync(join(place.directory, 'mdata/instPubKey'), 'utf8'), /^ecdsa-/);
    const again = await place.setUp();
    t.ok(again.stdout.includes('already done: instPubKey in the metadata of this zone'));
});

void t.test('root neither takes directories of others nor follows links', { skip: NOT_ROOT }, async (t) => {
    const place = setupPlace(t);
    const foreign = join(place.directory, 'foreign');
    mkdirSync(foreign, { mode: 0o755 });
    const facts = (): number[] => [statSync(foreign).mode & 0o777, statSync(foreign).uid];
    const config = join(foreign, 'imgapi.json');
    const elsewhere = { IMGAPI_DATA: place.data, IMGAPI_CONFIG: config };
    const made = await runTool(['--user', 'nobody'], elsewhere, { program: 'imgapi-standalone-setup' });
    t.match(made, { code: 0, stderr: '' });
    t.strictSame(facts(), [0o755, 0], 'what was there stays whose it is');
    const nobody = statSync(place.etc).uid;
    t.not(nobody, 0);

    rmSync(place.etc, { recursive: true });
    rmSync(config);
    symlinkSync(foreign, place.etc);
    const followed = await place.setUp('--user', 'nobody');
    t.match(followed, { code: 1, stderr: /etc is a symbolic link/ });
    t.strictSame(readdirSync(foreign), []);
    t.strictSame(facts(), [0o755, 0]);
});

void t.test('variables: who wins, and what is refused', async (t) => {
    const place = setupPlace(t);
    const file = join(place.directory, 'vars');
    writeFileSync(file, '# a comment\nport=2\nserverName=file=1\n\n');
    place.metadata({ mode: 'private', serverName: 'metadata' });
    const environment = {
        IMGAPI_SETUP_PORT: '1',
        IMGAPI_SETUP_serverName: 'environment',
        IMGAPI_SETUP_LOG_LEVEL: 'warn',
    };
    const config = documentOf(
        await place.generate(['--vars', file, '-m', 'port=3', '-m', 'authType=none'], environment),
    );
    t.match(config, {
        mode: 'private',
        port: 3,
        serverName: 'file=1',
        logLevel: 'warn',
        authType: 'none',
        storageTypes: ['local'],
    });
    t.equal(config['manta'], undefined);
    writeFileSync(
        file,
        JSON.stringify({ port: 99999, channels: [{ name: 'a', description: 'b', default: true }] }),
    );
    const cases: [string[], RegExp][] = [
        [['--vars', file], /port/],
        [['-m', 'port=x'], /port must be a number/],
        [['-m', 'mode=dc'], /mode must be "public" or "private"/],
        [['-m', 'mantaUser=x'], /belong together/],
        [['-m', 'channels=dev'], /channels must be "standard" or a JSON array/],
        [['-m', 'tlsKey=/x'], /tlsKey is of no use/],
        [['-m', 'unknown=1'], /unknown variable after -m: "unknown"/],
        [['-m', 'mantaUrl=https://x', '-m', 'mantaUser=x'], /there is no instPubKey, and no key/],
    ];
    await Promise.all(
        cases.map(async ([args, stderr]) =>
            t.match(await place.generate(args), { code: 1, stdout: [], stderr }, args.join(' ')),
        ),
    );
    const none = await runTool(['-c', file], {}, { program: 'manta-env' });
    t.match(none, { code: 1, stderr: /manta-env: error: / });
});
