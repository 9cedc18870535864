// The scripts that set a zone up (operations 3.2, 4.2), with fakes for the programs of SmartOS.
import { execFileSync, spawnSync } from 'node:child_process';
import {
    chmodSync,
    existsSync,
    lstatSync,
    readFileSync,
    readdirSync,
    readlinkSync,
    symlinkSync,
    writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PROJECT_ROOT } from '../helpers/server-process.js';

const BOOT = join(PROJECT_ROOT, 'boot');
const ZONE = '5f2a2d3e-6b7c-4a53-8a4e-2f8f5e1c9d10';
const SHELLCHECK = '/usr/bin/shellcheck';

const SCRIPTS = readdirSync(BOOT, { recursive: true })
    .map((name) => join(BOOT, String(name)))
    .filter((path) => lstatSync(path).isFile());

await t.test('every script can be parsed and run', (t) => {
    t.ok(SCRIPTS.length >= 6);
    for (const path of SCRIPTS) {
        const { status, stderr } = spawnSync('bash', ['-n', path], { encoding: 'utf8' });
        t.strictSame([status, stderr], [0, ''], path);
        t.ok((lstatSync(path).mode & 0o111) === 0o111, `${path} is executable`);
        t.match(readFileSync(path, 'utf8'), /^#!\/usr\/bin\/bash\n/);
    }
    t.end();
});

await t.test('shellcheck', { skip: existsSync(SHELLCHECK) ? false : 'shellcheck is not installed' }, (t) => {
    const { status, stdout } = spawnSync(SHELLCHECK, SCRIPTS, { encoding: 'utf8' });
    t.strictSame([status, stdout], [0, '']);
    t.end();
});

/** What programs of SmartOS say; each also notes how it was called, and what it was given to read. */
const PROGRAMS: Readonly<Record<string, string>> = {
    zonename: `echo ${ZONE}`,
    zfs: 'if [ "$1" = get ]; then echo none; fi',
    'mdata-get': 'echo images; exit 0',
    'mdata-put': '',
    hostname: '',
    logadm: '',
    svccfg: '',
    ipadm: 'exit 1',
    ndd: '',
    crontab: 'if [ "$1" = -l ]; then cat "$CRONTAB" 2> /dev/null; else cat > "$CRONTAB"; fi',
};

/** The datacenter's own library, whose functions say how they were called. */
const LIBRARY = `sdc_common_setup() { echo "sdc_common_setup $CONFIG_AGENT_LOCAL_MANIFESTS_DIRS" >> "$CALLS"; }
sdc_log_rotation_add() { echo "sdc_log_rotation_add $*" >> "$CALLS"; }
sdc_log_rotation_setup_end() { echo "sdc_log_rotation_setup_end $*" >> "$CALLS"; }
sdc_setup_complete() { echo "sdc_setup_complete $*" >> "$CALLS"; }
`;

interface Zone {
    readonly root: string;
    readonly prefix: string;
    readonly data: string;
    /** Runs a script in the zone. */
    readonly run: (script: string) => string;
    /** How programs were called since this was last asked. */
    readonly calls: () => readonly string[];
}

function writeProgram(path: string, text: string): void {
    writeFileSync(path, `#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n${text}\n`);
    chmodSync(path, 0o755);
}

function makeZone(test: Test): Zone {
    const top = test.testdir({
        root: { etc: {}, root: {}, var: { svc: {}, log: {} } },
        prefix: { bin: {} },
        programs: {},
        'util.sh': LIBRARY,
        data: { etc: { 'imgapi-a.id_ecdsa': 'key', 'imgapi-a.id_ecdsa.pub': 'public' } },
    });
    const [root = '', prefix = '', data = ''] = ['root', 'prefix', 'data'].map((name) => join(top, name));
    for (const [name, text] of Object.entries(PROGRAMS)) writeProgram(join(top, 'programs', name), text);
    // The real one says whether it understands what it is told.
    const setup = join(PROJECT_ROOT, 'bin', 'imgapi-standalone-setup');
    writeProgram(
        join(prefix, 'bin', 'imgapi-standalone-setup'),
        `[ -e "${data}/etc/haproxy.cfg" ] || echo made by set-up > "${data}/etc/haproxy.cfg"
exec "${process.execPath}" "${setup}" --dry-run "$@"`,
    );
    const callsPath = join(top, 'calls');
    const environment = {
        PATH: `${join(top, 'programs')}:/usr/bin:/bin`,
        CALLS: callsPath,
        CRONTAB: join(top, 'crontab'),
        IMGAPI_BOOT_ROOT: root,
        IMGAPI_BOOT_LIBRARY: join(top, 'util.sh'),
        IMGAPI_PREFIX: prefix,
        IMGAPI_DATA: data,
        IMGAPI_USER: userInfo().username,
    };
    return {
        root,
        prefix,
        data,
        run: (script) => execFileSync(join(BOOT, script), { env: environment, encoding: 'utf8' }),
        calls: () => {
            const lines = existsSync(callsPath)
                ? readFileSync(callsPath, 'utf8').split('\n').filter(Boolean)
                : [];
            writeFileSync(callsPath, '');
            return lines;
        },
    };
}

await t.test('the first boot of a standalone zone, and the next', (t) => {
    const { root, prefix, data, run, calls } = makeZone(t);
    const user = userInfo().username;
    writeFileSync(join(data, 'mine'), 'of the service user');
    symlinkSync(join(data, 'mine'), join(data, 'etc/haproxy.cfg'));
    writeFileSync(join(root, '../crontab'), 'a line of an operator\n10 3 * * * /usr/sbin/logadm\n');
    const output = run('standalone/user-script');
    t.match(output, `configuration ${data}/etc/imgapi.config.json`, 'the set-up understands its options');
    const made = calls();
    for (const call of [
        `zfs set mountpoint=/data zones/${ZONE}/data`,
        'hostname imgapi-images-5f2a2d3e',
        `imgapi-standalone-setup --user ${user} --data-dir ${data} --hostname imgapi-images-5f2a2d3e --front haproxy`,
        `svccfg import ${prefix}/smf/manifests/imgapi.xml`,
        `svccfg import ${prefix}/smf/manifests/haproxy-standalone.xml`,
        'ndd -set /dev/tcp tcp_conn_req_max_q 2048',
    ]) {
        t.ok(made.includes(call), call);
    }
    const [rotated, offered] = ['/var/log/triton', `${prefix}/tools/standalone/tritonpostlogrotate.sh -q`];
    for (const [log, files] of [
        ['imgapi', '/var/svc/log/*imgapi*.log'],
        ['haproxy', '/var/svc/log/*haproxy*.log'],
        ['imgapi-backup', '/var/log/imgapi-backup.log'],
        ['imgapi-logupload', '/var/log/imgapi-logupload.log'],
    ]) {
        const template = `${rotated}/${log}_$nodename_%FT%H:%M:%S.log`;
        const call = `logadm -w ${log} -C 168 -c -p 1h -t ${template} -a ${offered} ${log} ${files}`;
        t.ok(made.includes(call), call);
    }
    t.strictSame(readdirSync(join(root, 'var/log')), ['imgapi-backup.log', 'imgapi-logupload.log', 'triton']);
    const tools = readdirSync(join(PROJECT_ROOT, 'tools/standalone'));
    t.strictSame(tools, ['tritonlogupload.sh', 'tritonpostlogrotate.sh'], 'they are there');
    const front = join(prefix, 'etc/standalone/haproxy.cfg');
    t.ok(lstatSync(front).isFile(), 'a copy, which the service user cannot change');
    t.equal(readFileSync(front, 'utf8'), 'made by set-up\n', 'of what was not there before, and no link');
    t.equal(readlinkSync(join(root, 'root/.ssh/imgapi-a.id_ecdsa')), join(data, 'etc/imgapi-a.id_ecdsa'));
    t.equal(readFileSync(join(root, 'etc/nodename'), 'utf8'), 'imgapi-images-5f2a2d3e\n');
    t.ok(existsSync(join(root, 'var/svc/setup_complete')));
    const files = ['root/.profile', 'etc/motd', '../crontab'];
    const texts = (): readonly string[] => files.map((name) => readFileSync(join(root, name), 'utf8'));
    const before = texts();
    t.strictSame(
        before[2]?.split('\n').map((line) => line.replace(/ >> .*/, '')),
        [
            'a line of an operator',
            '0 * * * * /usr/sbin/logadm',
            `1 * * * * ${prefix}/tools/standalone/tritonlogupload.sh -q -a 5`,
            `17 * * * * ${prefix}/bin/imgapi-standalone-backup -y`,
            '0 5 * * * [ ! -x /opt/local/sbin/pkg_admin ] || /opt/local/sbin/pkg_admin fetch-pkg-vulnerabilities > /dev/null 2>&1',
            '',
        ],
    );

    run('standalone/user-script');
    const later = calls();
    t.ok(later.length > 0 && later.every((call) => /^(?:ipadm|ndd) /.test(call)), 'the network only');
    run('standalone/setup.sh');
    t.strictSame(texts(), before, 'a second set-up adds nothing');
    t.end();
});

await t.test('the first boot of a zone in a datacenter', (t) => {
    const { root, prefix, data, run, calls } = makeZone(t);
    run('setup.sh');
    t.strictSame(
        calls().filter((call) => !call.startsWith('sdc_log_rotation_add')),
        [
            'zonename ',
            `zfs get -H -o value mountpoint zones/${ZONE}/data`,
            `zfs set mountpoint=/data zones/${ZONE}/data`,
            `sdc_common_setup ${prefix}`,
            `svccfg import ${prefix}/smf/manifests/imgapi.xml`,
            'sdc_log_rotation_setup_end ',
            'mdata-put metricPorts 8881',
            'sdc_setup_complete ',
        ],
        'the dataset before the configuration, the mark last',
    );
    t.strictSame(readdirSync(data).sort(), ['archive', 'etc', 'images', 'run']);
    t.match(readFileSync(join(root, 'root/.profile'), 'utf8'), `PATH=$PATH:${prefix}/bin\n`);
    run('configure.sh');
    t.ok(calls().every((call) => /^(?:ipadm|ndd) /.test(call)));
    t.end();
});
