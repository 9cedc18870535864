// Packages are the same bytes whoever makes them, and hold what the server needs and no more (operations 5.2, 5.3).
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sha1Hex } from '../helpers/images.js';
import { PROJECT_ROOT, temporaryDirectory } from '../helpers/server-process.js';

t.setTimeout(300_000);

const PLACE = 'root/opt/smartdc/imgapi';

await t.test('the tarball for zone images', async (t) => {
    const base = temporaryDirectory();
    t.teardown(() => rmSync(base, { recursive: true, force: true }));
    const build = (umask: string, zone: string): string => {
        const out = join(base, umask);
        execFileSync('sh', ['-c', `umask ${umask} && packaging/build-packages --out ${out} zone`], {
            cwd: PROJECT_ROOT,
            env: { ...process.env, TZ: zone, SOURCE_DATE_EPOCH: '1700000000' },
        });
        const [name = ''] = readdirSync(out);
        t.match(name, /^imgapi-pkg-.+-20231114T221320Z-g[0-9a-f]{7}\.tar\.gz$/);
        return join(out, name);
    };
    const [first, second] = [build('022', 'UTC'), build('077', 'Asia/Tokyo')];
    t.equal(sha1Hex(readFileSync(first)), sha1Hex(readFileSync(second)), 'the same bytes');

    const listing = execFileSync('tar', ['-tvzf', first], { encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 });
    const lines = listing.split('\n').filter((line) => line !== '');
    t.ok(
        lines.every((line) => /^(-rw-r--r--|-rwxr-xr-x|drwxr-xr-x|lrwxrwxrwx) 0\/0 /.test(line)),
        'owners and modes',
    );
    const names = new Set(lines.map((line) => line.split(/\s+/)[5]?.replace(/\/$/, '')));
    for (const name of [
        ...['main.js', 'package.json', 'lib/main.js', 'lib/config.js', 'lib/constants.js', 'bin/imgapi'],
        ...['bin/imgapiadm', 'bin/imgapi-manta-setup', 'build/node/bin/node', 'build/docs/public/index.html'],
        ...['etc/defaults.json', 'etc/haproxy.cfg.in', 'etc/hitch.conf.in', 'etc/systemd/imgapi@.service'],
        ...['etc/standalone', 'smf/manifests', 'sapi_manifests/imgapi/template', 'tools/prepare-image'],
        ...['tools/standalone/tritonlogupload.sh', 'tools/standalone/tritonpostlogrotate.sh'],
        ...['etc/logrotate/imgapi', 'smf/manifests/hitch-standalone.xml'],
        ...['workflows/create-from-vm', 'node_modules/restify/package.json', 'node_modules/spdy/index.js'],
    ]) {
        t.ok(names.has(`${PLACE}/${name}`), name);
    }
    for (const name of ['setup.sh', 'backup.sh', 'restore.sh', 'standalone/user-script']) {
        t.ok(names.has(`root/opt/smartdc/boot/${name}`), name);
    }
    t.ok(names.has('site'));
    for (const name of ['node_modules/tap', 'node_modules/typescript', 'src', 'test', 'node_modules/.bin']) {
        t.notOk(names.has(`${PLACE}/${name}`), `no ${name}`);
    }

    const tree = join(base, 'tree');
    execFileSync('sh', ['-c', `mkdir ${tree} && tar -xzf ${first} -C ${tree}`]);
    const facts = JSON.parse(readFileSync(join(tree, PLACE, 'package.json'), 'utf8')) as {
        readonly dependencies: Readonly<Record<string, string>>;
    };
    // Those for which there is no native part are replaced: it was made for another system.
    const imports = Object.keys(facts.dependencies).map((name) => `await import('${name}');`);
    execFileSync(process.execPath, ['--input-type=module', '--eval', imports.join('\n')], {
        cwd: join(tree, PLACE),
    });
    t.pass('every library can be loaded');

    // Where it was unpacked, with the node beside it and none in PATH, and called through a link.
    const node = join(tree, PLACE, 'build/node/bin/node');
    rmSync(node, { force: true });
    symlinkSync(process.execPath, node);
    const linked = join(base, 'a program');
    symlinkSync(join(tree, PLACE, 'bin/imgapiadm'), linked);
    const version = execFileSync(linked, ['--version'], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } });
    t.match(version, /^imgapiadm \d/);
});
