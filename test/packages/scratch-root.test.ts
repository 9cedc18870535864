// A package from its installation to its removal, on a system of its own: servers run as their units say, images
// are published over TLS, backed up, lost, restored and verified, and the version is changed there and back
// (operations 4.3, 5.2-5.4).
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { NOBODY, publishImage, sha1Hex } from '../helpers/images.js';
import { ScratchRoot, whyNoScratchRoot } from '../helpers/scratch-root.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually, freePort, PROJECT_ROOT } from '../helpers/server-process.js';
import { ServiceManager } from '../helpers/service-manager.js';
import { createKey } from '../helpers/signing.js';

t.setTimeout(300_000);

const LINK = '/opt/smartdc/imgapi';
const CONFIG = '/data/imgapi/etc/imgapi.config.json';
const DIRECTORY_750 = 0o40750;
const [THIS, NEXT] = ['7.0.0', '7.0.1'] as const;

/**
 * Builds the package of a version into a root, not compressed; with the Node.js of that system, as a hundred
 * megabytes more would only be copied.
 */
function buildPackage(root: ScratchRoot, version: string): string {
    const printed = execFileSync(
        'packaging/build-packages',
        ['--version', version, '--out', root.at('/packages'), 'deb'],
        { cwd: PROJECT_ROOT, encoding: 'utf8', env: { ...process.env, DEB_COMPRESSION: 'none' } },
    );
    return printed.trim().slice(root.path.length);
}

/** Paths of a root but of data, of dpkg's own notes, and of what is not on disk. */
function filesOf(root: ScratchRoot): string[] {
    return readdirSync(root.path, { recursive: true, encoding: 'utf8' })
        .filter(
            (path) =>
                !/^(data|packages|var|backup|dev|proc|tmp|run)(\/|$)|^etc\/(passwd|group|shadow|gshadow|subuid|subgid|\.pwd\.lock)/.test(
                    path,
                ),
        )
        .sort();
}

const whyNot = whyNoScratchRoot();
await t.test('the life of a package', { skip: whyNot ?? false }, async (t) => {
    const root = new ScratchRoot();
    const manager = await ServiceManager.start(root);
    t.teardown(async () => {
        await manager.close();
        root.remove();
    });
    const port = await freePort();
    const tlsPort = await freePort();
    const unit = `imgapi@${port}.service`;
    const pair = selfSigned('127.0.0.1');
    const key = createKey('operator');
    const secure = HttpClient.overTls(tlsPort, pair.certificate, key);
    t.teardown(() => secure.close());
    const before = filesOf(root);

    /** Has dpkg do something with a package; on a scratch root, it need not wait for the disk. */
    async function dpkg(...args: readonly string[]): Promise<void> {
        const result = await root.run(['dpkg', '--force-unsafe-io', ...args]);
        t.equal(result.status, 0, `dpkg ${args.join(' ')}: ${result.stdout}${result.stderr}`);
    }

    /** Version of the server that answers. */
    async function servedVersion(): Promise<unknown> {
        return eventually('an answer', 20_000, () =>
            secure.get('/ping').then(
                ({ status, document }) => (status === 200 ? document['version'] : undefined),
                () => undefined,
            ),
        );
    }

    const first = buildPackage(root, THIS);
    await t.test('it installs: user, directories, units, link', async (t) => {
        await dpkg('--install', first);
        const facts = (path: string): number => statSync(root.at(path)).mode;
        t.match(root.read('/etc/passwd'), /^imgapi:x:\d+:\d+:/m);
        t.equal(facts('/data/imgapi'), DIRECTORY_750);
        t.equal(facts('/data/imgapi/etc/authkeys/local'), DIRECTORY_750);
        t.ok(lstatSync(root.at(LINK)).isSymbolicLink());
        t.strictSame(
            readdirSync(root.at('/usr/lib/systemd/system')).sort(),
            readdirSync(join(PROJECT_ROOT, 'etc/systemd')).sort(),
        );
        t.match(
            root.read('/usr/share/doc/imgapi/examples/imgapi.logrotate'),
            / \/opt\/smartdc\/imgapi\/tools\//,
        );
        t.strictSame(manager.calls, ['daemon-reload'], 'nothing is enabled or started, as nothing is set up');
        const version = await root.run(['imgapi', '--version']);
        t.equal(version.stdout, `IMGAPI ${THIS}\n`, version.stderr);
        const modules = readdirSync(root.at(`${LINK}-${THIS}/node_modules`));
        t.ok(modules.includes('restify') && !modules.includes('tap') && !modules.includes('typescript'));
    });

    await t.test('a server runs as its unit says, with a key of an operator and TLS', async (t) => {
        const variables = [
            'mode=private',
            `port=${port}`,
            'tlsCert=/data/imgapi/etc/cert.pem',
            'logLevel=info',
        ];
        const setUp = await root.run([
            'imgapi-standalone-setup',
            ...variables.flatMap((variable) => ['-m', variable]),
        ]);
        t.equal(setUp.status, 0, setUp.stdout + setUp.stderr);
        t.ok(manager.calls.some((call) => call.startsWith('enable imgapi.target') && call.includes(unit)));
        const { tls, ...others } = JSON.parse(root.read(CONFIG)) as { readonly tls: object };
        root.write(CONFIG, JSON.stringify({ ...others, tls: { ...tls, port: tlsPort } }));
        root.write('/data/imgapi/etc/cert.pem', pair.certificate + pair.key);
        root.write('/data/imgapi/etc/authkeys/local/operator.keys', `${key.publicLine}\n`);
        await manager.startService(unit);
        t.equal(await servedVersion(), THIS);
        t.equal(
            (await secure.post('/images', {}, { sign: false })).status,
            401,
            'who does not sign may not write',
        );
    });

    const file = gzipSync(randomBytes(3_000_000));
    const uuid = await publishImage(secure, { owner: NOBODY }, file);
    /** That the image is as it was published. */
    async function expectImage(t: Test, when: string): Promise<void> {
        const { document } = await secure.get(`/images/${uuid}`);
        const [entry] = document['files'] as readonly { readonly sha1: string }[];
        t.equal(entry?.sha1, sha1Hex(file), when);
        t.equal(sha1Hex((await secure.get(`/images/${uuid}/file`)).body), sha1Hex(file), when);
    }
    await expectImage(t, 'published');

    await t.test('what is lost comes back from the backup', async (t) => {
        root.write('/etc/default/imgapi', 'IMGAPI_BACKUP_OPTIONS="--dest /backup"\n');
        mkdirSync(root.at('/backup'));
        t.equal((await root.run(['chown', 'imgapi:imgapi', '/backup'])).status, 0);
        const marked = await root.run(['imgapi-standalone-restore', '--yes']);
        t.equal(marked.status, 0, marked.stderr);
        const backup = await manager.runOnce('imgapi-backup.service');
        t.equal(backup.status, 0, backup.stderr);

        t.equal(await manager.stopService(unit), 0, 'it drains');
        for (const name of ['images', 'manifests', 'archive', 'run']) {
            rmSync(root.at(`/data/imgapi/${name}`), { recursive: true });
        }
        await manager.startService(unit);
        await servedVersion();
        t.equal((await secure.get(`/images/${uuid}`)).status, 404, 'it is lost');

        const restored = await root.run([
            'imgapi-standalone-restore',
            '--yes',
            '--checksum',
            '--from',
            '/backup',
        ]);
        t.equal(restored.status, 0, restored.stdout + restored.stderr);
        await servedVersion();
        await expectImage(t, 'restored');
        const checked = await root.run(['imgapiadm', 'check-files']);
        t.equal(checked.status, 0, checked.stdout + checked.stderr);
    });

    const second = buildPackage(root, NEXT);
    await t.test('another version takes over, and the one before again', async (t) => {
        const config = root.read(CONFIG);
        root.write(CONFIG, '{"port": "none"}');
        const refused = await root.run(['dpkg', '--force-unsafe-io', '--install', second]);
        t.not(refused.status, 0, 'a configuration that it cannot read');
        t.match(refused.stderr, /config\.port/);
        t.equal(await servedVersion(), THIS, 'the server runs on');
        t.ok(
            existsSync(root.at(`${LINK}-${THIS}/main.js`)),
            'and finds the files that it has not loaded yet',
        );
        root.write(CONFIG, config);
        await dpkg('--configure', 'imgapi');
        t.equal(await servedVersion(), NEXT);
        t.notOk(existsSync(root.at(`${LINK}-${THIS}`)), 'the package has one version only');
        await expectImage(t, 'after the upgrade');

        const back = await root.run(['imgapi-upgrade', '--rollback']);
        t.equal(back.status, 0, back.stderr);
        t.equal(await servedVersion(), THIS, 'it was kept');
        await expectImage(t, 'after the rollback');
        await dpkg('--install', first);
        t.equal(await servedVersion(), THIS, 'the package of an older version is a way back, too');
        t.notOk(existsSync(root.at(`${LINK}-${NEXT}`)));
        await expectImage(t, 'at the end');
    });

    await t.test('it goes, and leaves the data', async (t) => {
        await dpkg('--remove', 'imgapi');
        t.notOk(manager.isRunning(unit), 'the server has been stopped');
        t.strictSame(
            filesOf(root).filter((path) => !before.includes(path)),
            ['etc/default/imgapi'],
            'what an operator has written stays until a purge',
        );
        const purged = await root.run(['dpkg', '--purge', 'imgapi']);
        t.match(purged.stdout, /\/data\/imgapi/, 'it says what stays');
        t.strictSame(filesOf(root), before);
        t.ok(existsSync(root.at(`/data/imgapi/manifests/${uuid}.raw`)));
    });
});
