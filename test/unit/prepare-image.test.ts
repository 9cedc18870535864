// The scripts that prepare instances (jobs-and-imports 1.4). They only ever run on trees of the tests.
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { prepareScript } from '#lib/jobs/from-vm/prepare-scripts.js';
import { GuestTree, type GuestRun } from '../helpers/guest-tree.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';

const DIRECTORY = join(PROJECT_ROOT, 'tools/prepare-image');
const SHELL_SCRIPTS = ['smartos', 'linux', 'bsd'];

function guest(t: Test, commands: Readonly<Record<string, string>> = {}): GuestTree {
    const tree = new GuestTree(commands);
    t.teardown(() => tree.remove());
    return tree;
}

/** The states a run went through. */
function states({ metadata }: GuestRun): readonly string[] {
    return metadata.filter(([key]) => key === 'prepare-image:state').map(([, value]) => value);
}

function succeeded(t: Test, run: GuestRun): void {
    t.strictSame(states(run), ['running', 'success'], JSON.stringify(run));
    t.equal(run.metadata.length, 2);
    t.equal(run.calls[0], 'mdata-put prepare-image:state running', 'the first thing it does');
    t.equal(run.output, '');
}

/** Fails unless the run told of its failure, and returns what it told. */
function failure(t: Test, run: GuestRun): string {
    t.strictSame(states(run), ['running', 'error'], JSON.stringify(run));
    t.strictSame(
        run.metadata.map(([key]) => key),
        ['prepare-image:state', 'prepare-image:error', 'prepare-image:state'],
        'the error is there before the state says so',
    );
    const text = run.metadata[1]?.[1] ?? '';
    t.ok(text.trim().length > 0 && text.split('\n').length <= 50, 'a tail of the log');
    return text;
}

void t.test('what is shipped', async (t) => {
    for (const os of SHELL_SCRIPTS) {
        const path = join(DIRECTORY, `${os}-prepare-image`);
        const { status, stderr } = spawnSync('bash', ['-n', path], { encoding: 'utf8' });
        t.strictSame([status, stderr], [0, ''], os);
    }
    for (const os of [...SHELL_SCRIPTS, 'windows']) {
        const path = join(DIRECTORY, `${os}-prepare-image`);
        t.equal(await prepareScript(os), readFileSync(path, 'utf8'), os);
    }
    const windows = statSync(join(DIRECTORY, 'windows-prepare-image')).size;
    t.ok(windows <= 3000, `windows has ${windows} bytes`);
    const text = readFileSync(join(DIRECTORY, 'windows-prepare-image'), 'utf8');
    const first = text.indexOf("Put 'state' 'running'");
    t.ok(first > 0 && first < text.indexOf("Put 'state' 'success'"));
    t.equal(text.split('{').length, text.split('}').length);
});

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n';
const SHADOW = 'root:$6$old$hash:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n';

/** A machine that has been used. */
function usedLinux(tree: GuestTree, release = DEBIAN): void {
    tree.write('tmp/.keep');
    tree.write('etc/os-release', release);
    tree.write('etc/shadow', SHADOW);
    tree.write(
        'etc/fstab',
        'UUID=1 / ext4\n/dev/vdb /data ext4\n/dev/sr0 /cloudconfig iso9660\n/dev/vda2 swap\n',
    );
    tree.write('var/log/syslog', 'lines');
    tree.write('var/log/apt/history.log', 'lines');
    for (const path of GONE_LINUX) tree.write(path);
    for (const path of EMPTY_LINUX) tree.write(path);
}

const GONE_LINUX = [
    'etc/ssh/ssh_host_rsa_key',
    'etc/ssh/ssh_host_rsa_key.pub',
    'root/.bash_history',
    'root/.ssh/authorized_keys',
    'root/.ssh/.hidden',
    'home/ubuntu/.ssh/authorized_keys',
    'home/ubuntu/.bash_history',
    'etc/udev/rules.d/70-persistent-net.rules',
    'etc/sysconfig/network-scripts/ifcfg-eth0',
    'var/lib/dhcp/dhclient.eth0.leases',
    'var/lib/dhclient/dhclient.lease',
    'var/lib/cloud/instance/user-data.txt',
    'lib/smartdc/.firstboot-complete-do-not-delete',
    'var/svc/provision_success',
    'var/svc/mdata-user-script',
    'var/db/mdata-user-data',
    'var/lib/dbus/machine-id',
];
const EMPTY_LINUX = ['etc/hostname', 'etc/machine-id'];

void t.test('linux', async (t) => {
    await t.test('debian', async (t) => {
        const tree = guest(t, { 'apt-get': '' });
        usedLinux(tree);
        tree.write('etc/ssh/sshd_config');
        tree.write('etc/sysconfig/network-scripts/ifcfg-lo');
        tree.write('etc/sysconfig/network', 'NETWORKING=yes\nHOSTNAME=old\n');
        const run = await tree.run('linux-prepare-image');
        succeeded(t, run);
        t.equal(run.code, 0);
        t.strictSame(run.calls.slice(-3), ['sync', 'sleep 3', 'shutdown -h now']);
        t.ok(run.calls.includes('apt-get clean'));
        for (const path of GONE_LINUX) t.equal(tree.read(path), undefined, path);
        for (const path of [...EMPTY_LINUX, 'var/log/syslog', 'var/log/apt/history.log'])
            t.equal(tree.read(path), '', path);
        for (const path of ['etc/ssh/sshd_config', 'etc/sysconfig/network-scripts/ifcfg-lo'])
            t.equal(tree.read(path), 'text', path);
        t.equal(tree.read('etc/fstab'), 'UUID=1 / ext4\n/dev/vda2 swap\n');
        t.equal(tree.read('etc/sysconfig/network'), 'NETWORKING=yes\n');
        t.equal(tree.read('etc/shadow'), SHADOW.replace('$6$old$hash', '*'));
        t.equal(tree.read('tmp/prepare-image.log'), undefined, 'its log is not left behind');
        t.equal(tree.read('etc/default/grub.d/70-serial-console.cfg'), undefined);
    });

    await t.test('metadata', async (t) => {
        const hash = '$6$a/b.c$d&\\e';
        const get = `case "$1" in *hash) printf '%s\\n' '${hash}' ;; *console) echo true ;; esac`;
        const tree = guest(t, { 'apt-get': '', 'mdata-get': get, 'update-grub2': '' });
        usedLinux(tree, 'NAME="Ubuntu"\nID="ubuntu"\nID_LIKE=debian\n');
        const run = await tree.run('linux-prepare-image');
        succeeded(t, run);
        t.equal(
            tree.read('etc/shadow'),
            SHADOW.replace('$6$old$hash', () => hash),
        );
        t.match(tree.read('etc/default/grub.d/70-serial-console.cfg'), /console=ttyS0/);
        t.ok(run.calls.includes('update-grub2'));
    });

    await t.test('distributions', async (t) => {
        const rows: readonly (readonly [release: string, other: string | undefined, clean: string])[] = [
            ['ID="centos"\n', undefined, 'yum -y clean all'],
            ['ID=rocky\nID_LIKE="rhel centos fedora"\n', undefined, 'yum -y clean all'],
            ['ID=mint\nID_LIKE="ubuntu debian"\n', undefined, 'apt-get clean'],
            ['', 'etc/redhat-release', 'yum -y clean all'],
            ['', 'etc/debian_version', 'apt-get clean'],
        ];
        for (const [release, other, clean] of rows) {
            const tree = guest(t, { yum: '', 'apt-get': '' });
            usedLinux(tree, release);
            if (other !== undefined) tree.write(other);
            const run = await tree.run('linux-prepare-image');
            succeeded(t, run);
            t.ok(run.calls.includes(clean), `${release} ${other}`);
        }
        const tree = guest(t, { dnf: '', yum: '' });
        usedLinux(tree, 'ID=fedora\n');
        const run = await tree.run('linux-prepare-image');
        t.ok(run.calls.includes('dnf -y clean all') && !run.calls.some((call) => call.startsWith('yum')));
    });

    await t.test('not in an instance', async (t) => {
        const tree = guest(t, { 'mdata-put': 'exit 1' });
        usedLinux(tree);
        const run = await tree.run('linux-prepare-image');
        t.strictSame([run.code, run.calls.length], [1, 1], 'no more than the first call');
        t.equal(tree.read('root/.ssh/authorized_keys'), 'text');
    });

    await t.test('failures', async (t) => {
        const unknown = guest(t);
        usedLinux(unknown, 'ID=gentoo\n');
        const refused = await unknown.run('linux-prepare-image');
        t.match(failure(t, refused), /unknown distribution: 'gentoo'/);
        t.equal(refused.calls.at(-1), 'shutdown -h now', 'the machine is stopped nevertheless');
        t.equal(unknown.read('etc/ssh/ssh_host_rsa_key'), 'text', 'nothing was done after that');

        const noisy = guest(t, { 'apt-get': 'for i in {1..200}; do echo "line $i" >&2; done; exit 100' });
        usedLinux(noisy);
        const text = failure(t, await noisy.run('linux-prepare-image'));
        t.equal(text.split('\n').length, 50);
        t.ok(text.includes('line 200') && !text.includes('line 100\n'));

        const get = 'case "$1" in *hash) echo the-hash ;; esac';
        const hashed = guest(t, { 'apt-get': '', 'mdata-get': get, find: 'exit 1' });
        usedLinux(hashed);
        t.notMatch(failure(t, await hashed.run('linux-prepare-image')), /the-hash|old\$hash/);

        const silent = guest(t, { 'apt-get': '', tail: 'exit 0' });
        usedLinux(silent, 'ID=gentoo\n');
        t.equal(failure(t, await silent.run('linux-prepare-image')), 'failed with status 1');
    });
});

const SMARTOS = { svccfg: '', svcadm: '', svcs: 'echo online', halt: '' };
const TOOL = 'opt/local/bin/sm-prepare-image';
const TOOL_TEXT = `#!/usr/bin/bash
rm -f /.zonecontrol/metadata.sock
printf '%s' "$DEBUG $yn_start $yn_nfs $yn_subips $yn_halt" > "$PREPARE_IMAGE_ROOT/ran"
`;

void t.test('smartos', async (t) => {
    await t.test('success', async (t) => {
        const tree = guest(t, SMARTOS);
        tree.write(TOOL, TOOL_TEXT);
        const run = await tree.run('smartos-prepare-image');
        succeeded(t, run);
        t.equal(tree.read('ran'), '1 y y y n');
        t.equal(tree.read(TOOL), TOOL_TEXT, 'the tool itself stays as it is');
        t.equal(tree.read('prepare-image.tool'), undefined);
        t.equal(tree.read('prepare-image.log'), undefined);
        t.strictSame(run.calls.slice(1), [
            'svccfg -s svc:/system/zoneinit:default setprop application/done = false',
            'svcadm refresh svc:/system/zoneinit:default',
            'svcs -H -o state svc:/smartdc/mdata:fetch',
            'svcadm disable svc:/smartdc/mdata:fetch',
            'svcs -H -o state svc:/smartdc/mdata:execute',
            'svcadm disable svc:/smartdc/mdata:execute',
            'mdata-put prepare-image:state success',
            'sync',
            'shutdown -y -g0 -i5',
            'sleep 5',
            'halt -l',
        ]);
    });

    await t.test('services that are not there or disabled', async (t) => {
        const tree = guest(t, { ...SMARTOS, svccfg: 'exit 1', svcs: 'echo disabled' });
        tree.write(TOOL, TOOL_TEXT);
        const run = await tree.run('smartos-prepare-image');
        succeeded(t, run);
        t.notOk(run.calls.some((call) => call.startsWith('svcadm disable')));
    });

    await t.test('failures', async (t) => {
        const without = guest(t, SMARTOS);
        t.match(failure(t, await without.run('smartos-prepare-image')), /is not installed/);
        const failing = guest(t, SMARTOS);
        failing.write(TOOL, 'echo "no room" >&2\nexit 7\n');
        const run = await failing.run('smartos-prepare-image');
        t.match(failure(t, run), /no room/);
        t.equal(run.calls.at(-1), 'halt -l');
        t.equal(failing.read('prepare-image.tool'), undefined);
    });
});

const GONE_BSD = [
    'etc/ssh/ssh_host_rsa_key',
    'var/db/dhclient.leases.vtnet0',
    'root/.history',
    'root/.ssh/authorized_keys',
    'var/svc/provision_success',
    'tmp/file',
    'tmp/.hidden',
    'var/tmp/file',
    'etc/hostid',
    'var/cache/pkg/a.pkg',
];

function usedBsd(tree: GuestTree): void {
    tree.write('root/.profile');
    tree.write('var/log/messages', 'lines');
    for (const path of GONE_BSD) tree.write(path);
}

void t.test('bsd', async (t) => {
    await t.test('FreeBSD', async (t) => {
        const tree = guest(t, { uname: 'echo FreeBSD', pw: '[ "$2" != toor ] || exit 67' });
        usedBsd(tree);
        tree.write(
            'etc/rc.conf',
            'sshd_enable="YES"\nhostname="old"\nifconfig_vtnet0="DHCP"\ndefaultrouter="10.0.0.1"\n',
        );
        tree.write('etc/fstab', '/dev/vtbd0p2 / ufs\n/dev/vtbd1 /data ufs\n');
        tree.write('var/db/entropy/save.1');
        tree.write('boot/entropy');
        const run = await tree.run('bsd-prepare-image');
        succeeded(t, run);
        for (const path of [...GONE_BSD, 'var/db/entropy/save.1', 'boot/entropy', 'root/prepare-image.log'])
            t.equal(tree.read(path), undefined, path);
        t.equal(tree.read('etc/rc.conf'), 'sshd_enable="YES"\n');
        t.equal(tree.read('etc/fstab'), '/dev/vtbd0p2 / ufs\n');
        t.equal(tree.read('var/log/messages'), '');
        t.equal(tree.read('firstboot'), '');
        t.equal(tree.read('root/.profile'), 'text');
        t.strictSame(
            run.calls.filter((call) => call.startsWith('pw')),
            ['pw usershow root', 'pw usermod root -h -', 'pw usershow toor'],
        );
        t.strictSame(run.calls.slice(-2), ['sleep 3', 'shutdown -p now']);
    });

    await t.test('OpenBSD', async (t) => {
        const tree = guest(t, { uname: 'echo OpenBSD', usermod: '' });
        usedBsd(tree);
        const own = ['etc/hostname.vio0', 'etc/myname', 'etc/mygate', 'var/db/host.random'];
        for (const path of own) tree.write(path);
        tree.write('etc/fstab', 'a.a / ffs\n/dev/sd1a /data ffs\n');
        const run = await tree.run('bsd-prepare-image');
        succeeded(t, run);
        for (const path of [...GONE_BSD, ...own]) t.equal(tree.read(path), undefined, path);
        t.equal(tree.read('etc/fstab'), 'a.a / ffs\n');
        t.equal(tree.read('firstboot'), undefined);
    });

    await t.test('failures', async (t) => {
        const other = guest(t, { uname: 'echo Minix' });
        usedBsd(other);
        const run = await other.run('bsd-prepare-image');
        t.match(failure(t, run), /unknown system: Minix/);
        t.equal(run.calls.at(-1), 'shutdown -p now');
        t.equal(other.read('tmp/file'), 'text');
    });
});
