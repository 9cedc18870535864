import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sshpk from 'sshpk';
import t from 'tap';
import { SignatureAuthenticator } from '#lib/auth/signature.js';
import { systemClock } from '#lib/base/clock.js';
import { VERSION } from '#lib/base/constants.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import { UsageError } from '#lib/cli/imgapiadm/command.js';
import { migrateStor } from '#lib/cli/imgapiadm/migrate-stor.js';
import { DATA_OPTIONS, wantedChannel } from '#lib/cli/imgapiadm/offline/data-options.js';
import { withRetries } from '#lib/cli/imgapiadm/retries.js';
import { SERVER_ACCESS_OPTIONS, serverAccess, type ServerAccess } from '#lib/cli/imgapiadm/server-access.js';
import { allSubcommands, subcommandsFor } from '#lib/cli/imgapiadm/subcommands.js';
import { toolCommand } from '#lib/cli/imgapiadm/tool-command.js';
import { parseOptions } from '#lib/cli/options.js';
import { RequestSigner } from '#lib/remotes/imgapi/request-signer.js';
import { runTool } from '../helpers/admin-tool.js';
import { recordingLog } from '../helpers/recording-log.js';
import { runHere } from '../helpers/subcommand-run.js';

const SUBCOMMANDS = await allSubcommands();

const UUID = 'c58161c0-2547-11e2-a75e-9fdca1940570';
/** Where nobody listens. */
const NOWHERE = 'http://127.0.0.1:1';

void t.test('only the subcommand that is wanted is loaded', async (t) => {
    const loaded = async (...argv: string[]): Promise<readonly string[]> =>
        (await subcommandsFor(argv)).map(({ name }) => name);
    for (const argv of [
        ['config', '--help'],
        ['-v', 'config', 'gc'],
        ['help', 'config'],
    ]) {
        t.strictSame(await loaded(...argv), ['config'], argv.join(' '));
    }
    const all = SUBCOMMANDS.map(({ name }) => name);
    for (const argv of [
        [],
        ['help'],
        ['-h', 'config'],
        ['help', 'config', '-h'],
        ['toString'],
        ['bogus', 'config'],
    ]) {
        t.strictSame(await loaded(...argv), all, argv.join(' '));
    }
    const { stdout } = await runTool(['help']);
    t.same((await runTool(['help', 'config', '--help'])).stdout, stdout);
});

void t.test('help comes from the tables', async (t) => {
    const help = await runTool(['help']);
    t.equal(help.code, 0);
    t.equal(help.stderr, '');
    const list = help.stdout.join(' ').replace(/\s+/g, ' ');
    const ignore = (): void => undefined;
    const tool = toolCommand(SUBCOMMANDS, {
        onNone: ignore,
        onHelp: ignore,
        onSubcommand: async () => ignore(),
    });
    t.equal(help.stdout.join('\n'), tool.helpInformation().trimEnd());
    for (const { name, summary, options, examples } of SUBCOMMANDS) {
        t.ok(list.includes(` ${name} ${summary} `), name);
        const own = tool.commands.find((command) => command.name() === name)?.helpInformation() ?? '';
        for (const text of [...options.map((option) => `--${option.name}`), ...examples]) {
            t.ok(own.includes(text), `${name}: ${text}`);
        }
    }
    const own = await runTool(['help', 'migrate-stor']);
    t.equal(own.code, 0);
    for (const args of [
        ['migrate-stor', '-h'],
        ['-v', 'migrate-stor', '--url', 'nowhere', 'a', '--help'],
    ]) {
        t.same((await runTool(args)).stdout, own.stdout, args.join(' '));
    }
    for (const args of [
        ['-v', '-h'],
        ['help', '--help'],
        ['-h', 'migrate-stor'],
    ]) {
        t.same((await runTool(args)).stdout, help.stdout, args.join(' '));
    }
    t.match(await runTool(['--version']), { code: 0, stdout: [`imgapiadm ${VERSION}`] });
});

void t.test('a wrong command line: exit status 251', async (t) => {
    const migrate = (...args: string[]): string[] => ['migrate-stor', '--url', NOWHERE, ...args];
    const cases: [string[], string][] = [
        [[], 'no subcommand given'],
        [['frob'], 'unknown subcommand: "frob"'],
        [['--colour', 'help'], 'unknown option: --colour'],
        [['help', 'frob'], 'unknown subcommand: "frob"'],
        [['help', 'migrate-stor', 'x'], 'too many arguments: x'],
        [migrate('-y'), 'where to? Give --to local or manta.'],
        [migrate('-y', '--to', 's3'), '--to must be local or manta: "s3"'],
        [migrate('-y', '--to'), 'option requires an argument: --to'],
        [migrate('-y', '--to=manta', '--force'), 'unknown option: --force'],
        [migrate('-y', '--to=manta', '--yes=no'), 'option takes no argument: --yes'],
        [migrate('-y', '--to=manta', '-p', '0'), '--parallel must be 1..64: "0"'],
        [migrate('-y', '--to=manta', '-p65'), '--parallel must be 1..64: "65"'],
        [migrate('-y', '--to=manta', '-p', '-1'), '--parallel must be 1..64: "-1"'],
        [migrate('-y', '--to=manta', UUID, 'x'), 'not a UUID: "x"'],
        [migrate('--to=manta'), 'there is no terminal to ask on: give --yes, or --dry-run'],
        [migrate('-y', '--to=manta', '-i', 'key'), 'whose key is it? Give --user.'],
        [['migrate-stor', '-y', '--to=manta', '--url', 'ftp://x'], 'no http or https URL: "ftp://x"'],
    ];
    for (const [args, message] of cases) {
        const [name = '', ...rest] = args;
        const isSubcommand = name === migrateStor.name;
        const { code, stdout, stderr } = isSubcommand
            ? await runHere(migrateStor, rest)
            : await runTool(args);
        const [line] = typeof stderr === 'string' ? stderr.split('\n') : stderr;
        t.equal(code, 251, args.join(' '));
        t.same(stdout, []);
        t.equal(line, `imgapiadm${isSubcommand ? ' migrate-stor' : ''}: error: ${message}`);
    }
    const { code, stderr } = await runTool(migrate('--force'));
    t.equal(code, 251);
    t.equal(
        stderr,
        'imgapiadm migrate-stor: error: unknown option: --force\n' +
            'imgapiadm migrate-stor: see "imgapiadm help migrate-stor"\n',
    );
    t.match(await runTool([]), { stderr: 'imgapiadm: see "imgapiadm help"\n' });
});

void t.test('it cannot run: exit status 252', async (t) => {
    const directory = t.testdir({ 'config.json': '{"port": 1, "address": "0.0.0.0"}', 'no-key': 'x' });
    const migrate = (...args: string[]): string[] => ['migrate-stor', '--to', 'manta', '-y', ...args];
    const cases: [string[], RegExp][] = [
        [migrate('--url', NOWHERE), /error: GET http:\/\/127\.0\.0\.1:1\/state: .*ECONNREFUSED/],
        [migrate('-c', join(directory, 'config.json')), /GET http:\/\/127\.0\.0\.1:1\/state: /],
        [migrate('-c', join(directory, 'none.json')), /where is the server\? Give --url\. \(ENOENT/],
        [
            migrate('--url', NOWHERE, '-u', 'a', '-i', join(directory, 'no-key')),
            /no-key is not a private key/,
        ],
        [migrate('--url', NOWHERE, '-u', 'a', '-i', join(directory, 'none')), /ENOENT/],
    ];
    for (const [args, message] of cases) {
        const { code, stdout, stderr } = await runHere(migrateStor, args.slice(1));
        t.equal(code, 252, args.join(' '));
        t.same(stdout, []);
        t.match(stderr.join('\n'), message);
    }
    const plain = await runTool(migrate('--url', NOWHERE));
    t.match(plain, { code: 252, stdout: [], stderr: /ECONNREFUSED/ });
    t.notMatch(plain.stderr, /\n {4}at /, 'no stack');
    t.match((await runTool(['-v', ...migrate('--url', NOWHERE)])).stderr, /\n {4}at /, 'a stack with -v');
});

void t.test('where the server is, and as whom', (t) => {
    const directory = t.testdir({
        'any.json': '{"address": "0.0.0.0", "port": 1234}',
        'six.json': '{"address": "::1"}',
        'tls.json': '{"tls": {"cert": "/x", "only": true, "address": "::"}}',
    });
    const access = (args: string[], environment: NodeJS.ProcessEnv = {}): ServerAccess =>
        serverAccess(parseOptions(SERVER_ACCESS_OPTIONS, args), environment);
    const config = (name: string): string => join(directory, name);
    const url = { IMGAPI_CLI_URL: 'http://env' };
    t.equal(access(['--url', 'http://a', '-c', 'b'], url).url, 'http://a');
    t.equal(access(['-c', config('any.json')], url).url, 'http://127.0.0.1:1234');
    t.equal(access(['-c', config('six.json')]).url, 'http://[::1]:8080');
    t.equal(access(['-c', config('tls.json')]).url, 'https://[::1]:8443');
    t.equal(access([], { ...url, IMGAPI_CONFIG: config('any.json') }).url, 'http://env');
    t.equal(access([], { IMGAPI_CONFIG: config('any.json') }).url, 'http://127.0.0.1:1234');

    const signed = { ...url, IMGAPI_CLI_USER: 'alice', IMGAPI_CLI_IDENTITY: 'key' };
    t.same(access([], signed), {
        url: 'http://env',
        insecure: false,
        identity: { user: 'alice', keyPath: 'key' },
    });
    t.same(access(['-u', 'bob'], signed).identity, { user: 'bob', keyPath: 'key' });
    t.same(access([], { ...signed, IMGAPI_CLI_AUTH: 'none' }).identity, undefined);
    t.same(access(['-u', 'a', '-i', 'b'], { ...url, IMGAPI_CLI_AUTH: 'none' }).identity, {
        user: 'a',
        keyPath: 'b',
    });
    t.same(access([], { ...url, IMGAPI_CLI_USER: 'alice' }).identity, undefined);
    for (const [args, environment] of [
        [['-u', 'alice'], url],
        [['-u', 'al"ice', '-i', 'x'], url],
        [['-c', ''], url],
        [[], { ...url, IMGAPI_CLI_AUTH: 'signature' }],
        [[], { ...url, IMGAPI_CLI_AUTH: 'basic' }],
        [[], { ...url, IMGAPI_CLI_IDENTITY: 'key' }],
    ] as const) {
        t.throws(() => access([...args], environment), UsageError, args.join(' '));
    }

    t.equal(access(['--insecure'], url).insecure, true);
    for (const [value, insecure] of [
        ['1', true],
        ['true', true],
        ['0', false],
        ['false', false],
        ['', false],
    ] as const) {
        t.equal(access([], { ...url, IMGAPI_CLI_INSECURE: value }).insecure, insecure, value);
    }
    t.equal(access(['-C', 'dev'], { ...url, IMGAPI_CLI_CHANNEL: 'env' }).channel, 'dev');
    t.equal(access([], { ...url, IMGAPI_CLI_CHANNEL: 'env' }).channel, 'env');
    t.equal(access(['-C', '*'], url).channel, undefined);
    for (const [args, expected] of [
        [[], undefined],
        [['-C', 'dev'], 'dev'],
        [['--url', 'http://h'], 'env'],
        [['--url', 'http://h', '-C', '*'], undefined],
    ] as const) {
        const parsed = parseOptions(DATA_OPTIONS, args);
        t.equal(
            wantedChannel({ parsed, environment: { IMGAPI_CLI_CHANNEL: 'env' } }),
            expected,
            args.join(' '),
        );
    }
    t.end();
});

void t.test('signatures are those the server expects', async (t) => {
    const directory = t.testdir();
    const pem = { type: 'pkcs8', format: 'pem' } as const;
    const keys: Record<string, string> = {
        rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pem).toString(),
        'ecdsa-256': sshpk.generatePrivateKey('ecdsa').toString('openssh'),
        'ecdsa-384': sshpk.generatePrivateKey('ecdsa', { curve: 'nistp384' }).toString('pkcs1'),
        ed25519: sshpk.generatePrivateKey('ed25519').toString('openssh'),
        dsa: generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 })
            .privateKey.export(pem)
            .toString(),
    };
    for (const [name, text] of Object.entries(keys)) {
        const keyPath = join(directory, name);
        writeFileSync(keyPath, text);
        const line = sshpk.parsePrivateKey(text, 'auto').toPublic().toString('ssh');
        const keysOf = (user: string): string[] => (user === 'alice' ? [line] : []);
        const authenticator = new SignatureAuthenticator({
            keys: { keysOf, counts: () => ({}) },
            clock: systemClock,
            log: recordingLog().log,
        });
        const headers = (await RequestSigner.create({ user: 'alice', keyPath })).headers();
        const request = { method: 'GET', url: '/state', httpVersion: '1.1', headers };
        t.equal(authenticator.authenticate(request), 'alice', name);
    }
    const keyPath = join(directory, 'protected');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const secret = { cipher: 'aes-256-cbc', passphrase: 'secret' };
    writeFileSync(keyPath, privateKey.export({ type: 'pkcs1', format: 'pem', ...secret }));
    await t.rejects(RequestSigner.create({ user: 'alice', keyPath }), {
        message: `${keyPath} is protected by a passphrase`,
    });
});

void t.test('again, while the server is away', async (t) => {
    const { signal } = new AbortController();
    const failing = (errors: Error[]): (() => Promise<string>) => {
        const left = [...errors];
        return () => {
            const error = left.shift();
            return error === undefined ? Promise.resolve('done') : Promise.reject(error);
        };
    };
    const lost = new OutgoingError('connect', 'lost');
    const busy = new OutgoingError('status', 'busy', { status: 503 });
    const refused = new OutgoingError('status', 'refused', { status: 500 });
    const pauses: number[] = [];
    const options = {
        signal,
        onRetry: (_error: OutgoingError, pauseMs: number) => void pauses.push(pauseMs),
        pausesMs: [1, 2],
    };
    t.equal(await withRetries(failing([lost, busy]), options), 'done');
    t.same(pauses.splice(0), [1, 2]);
    await t.rejects(withRetries(failing([lost, lost, busy]), options), busy, 'not for ever');
    pauses.splice(0);
    await t.rejects(withRetries(failing([refused]), options), refused);
    await t.rejects(withRetries(failing([new Error('bug')]), options), { message: 'bug' });
    t.same(pauses, [], 'what will fail again is not tried again');

    const stop = new AbortController();
    const waiting = withRetries(failing([lost]), {
        signal: stop.signal,
        onRetry: () => stop.abort(),
        pausesMs: [60_000],
    });
    await t.rejects(waiting, lost, 'a pause ends when told to stop');
});
