import {
    copyFileSync,
    existsSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    rmSync,
    utimesSync,
    writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import type { Subcommand } from '#lib/cli/imgapiadm/command.js';
import { rotateKeyCommand } from '#lib/cli/imgapiadm/rotate-key.js';
import { statusCommand } from '#lib/cli/imgapiadm/status.js';
import { AdminTool, runTool, type ToolExit } from '../helpers/admin-tool.js';
import { backupPlace, type BackupPlace } from '../helpers/backup-place.js';
import { differences } from '../helpers/data-tree.js';
import { makeMantaKey } from '../helpers/manta-keys.js';
import { startManta } from '../helpers/manta-place.js';
import { selfSigned } from '../helpers/self-signed.js';
import { freePort, LIMIT_MS } from '../helpers/server-process.js';
import { runHere, type SubcommandExit } from '../helpers/subcommand-run.js';
import { SupervisedServer } from '../helpers/supervised-server.js';

interface Fault {
    readonly check: string;
    readonly state: string;
}

interface Running extends BackupPlace {
    readonly server: SupervisedServer;
    readonly port: number;
    readonly manta: Awaited<ReturnType<typeof startManta>>;
    readonly config: () => { readonly manta: { readonly key: string; readonly keyId: string } };
    readonly tool: (name: string, ...args: string[]) => Promise<ToolExit>;
    /** Runs a subcommand in this process: quicker. */
    readonly quick: (subcommand: Subcommand, ...args: string[]) => Promise<SubcommandExit>;
}

/** A server that a service manager looks after, with a key for Manta in `etc`. */
async function startRunning(t: Test, count: number): Promise<Running> {
    const manta = await startManta(t);
    const port = await freePort();
    const place = backupPlace(t, count, { port, address: '127.0.0.1' });
    const key = makeMantaKey(join(place.base, 'etc'), 'ecdsa');
    writeFileSync(`${key.file}.pub`, `${key.publicLine}\n`);
    manta.double.addKey('admin', key.publicLine);
    place.writeConfig({ manta: { ...manta.config, key: key.file, keyId: key.fingerprint } });
    const path = join(place.base, 'etc/imgapi.config.json');
    const server = await SupervisedServer.start(t, place.directory, path, port);
    const environment = { ...place.environment, ...server.environment };
    return {
        ...place,
        server,
        port,
        manta,
        config: () => JSON.parse(readFileSync(path, 'utf8')) as ReturnType<Running['config']>,
        quick: (subcommand, ...args) => runHere(subcommand, args, environment),
        tool: (name, ...args) => runTool(args, environment, { program: `imgapi-standalone-${name}` }),
    };
}

function faultsOf({ stdout }: SubcommandExit): readonly Fault[] {
    return stdout.slice(0, -1).map((line) => JSON.parse(line) as Fault);
}

void t.test('another key for Manta', { timeout: LIMIT_MS }, async (t) => {
    const place = await startRunning(t, 0);
    const { manta, server } = place;
    const before = place.config();
    const old = before.manta;
    const etc = join(place.base, 'etc');
    t.match(await place.tool('rotate-key'), { code: 1, stderr: /nothing was changed/ });
    t.notOk(existsSync(join(etc, 'newinstkey')));
    const refused = await place.quick(rotateKeyCommand, '--yes', '--wait', '0');
    t.match(refused, { code: 252, stderr: [/Manta has not accepted the new key within 0 s/] });
    t.strictSame(place.config().manta, old);
    const [name = ''] = readdirSync(join(etc, 'newinstkey')).filter((each) => each.endsWith('.id_ecdsa'));
    const publicKey = readFileSync(join(etc, 'newinstkey', `${name}.pub`), 'utf8').trim();
    for (const text of [manta.config.url, 'admin', 'SHA256:', publicKey]) {
        t.ok(
            refused.stdout.some((line) => line.includes(text)),
            text,
        );
    }
    manta.double.addKey('admin', publicKey);

    // The server comes back, but Manta has gone: the old key is put back.
    const firstPid = server.pids.at(-1);
    const environment = { ...place.environment, ...server.environment };
    const options = { program: 'imgapi-standalone-rotate-key' };
    const failing = new AdminTool(['--yes', '--settle', '1', '--wait', '0'], environment, options);
    await failing.printed(8);
    manta.double.inject({ refuse: { status: 403, code: 'KeyDoesNotExist', message: 'gone' } });
    const failed = await failing.exited;
    t.match(failed, { code: 1, stderr: /the old key is in use again/ });
    manta.double.clearFaults();
    t.strictSame(place.config().manta, old);
    t.not(server.pids.at(-1), firstPid);

    const done = await place.tool('rotate-key', '--yes', '--settle', '0');
    t.match(done, { code: 0, stderr: '' }, done.stderr);
    t.match(done.stdout[0], /New key, of an earlier run/);
    t.ok(
        done.stdout.some((line) => line.includes(`remove the old key from the account admin: ${old.keyId}`)),
    );
    const now = place.config().manta;
    t.equal(now.key, join(etc, name));
    t.match(now.keyId, /^SHA256:/);
    t.strictSame({ ...place.config(), manta: 0 }, { ...before, manta: 0 }, 'nothing else in it has changed');
    t.notOk(existsSync(old.key) || existsSync(join(etc, 'newinstkey')));
    const kept = readdirSync(join(etc, 'oldinstkeys'));
    t.ok(kept.includes(basename(old.key)) && kept.includes(`${basename(old.key)}.pub`), kept.join());
    t.ok(kept.some((each) => each.startsWith('imgapi.config.json.')));
    await server.answers();

    // Nobody is seen who would start the server again.
    const pid = server.pids.at(-1);
    const fresh = makeMantaKey(place.directory, 'ecdsa');
    mkdirSync(join(etc, 'newinstkey'));
    copyFileSync(fresh.file, join(etc, 'newinstkey/imgapi-y.id_ecdsa'));
    writeFileSync(join(etc, 'newinstkey/imgapi-y.id_ecdsa.pub'), `${fresh.publicLine}\n`);
    manta.double.addKey('admin', fresh.publicLine);
    const args = ['--yes', '--settle', '0'];
    const told = await runHere(rotateKeyCommand, args, { ...place.environment, PATH: '/nowhere' });
    t.match(told, { code: 0 }, told.stderr.join());
    t.ok(told.stdout.includes('Restart it now.'));
    t.equal(server.pids.at(-1), pid, 'left alone');
});

void t.test(
    'a restore beside a running server: stopped for it, and started again',
    { timeout: LIMIT_MS },
    async (t) => {
        const place = await startRunning(t, 7);
        const before = place.data();
        t.match(await place.tool('backup', '-y', '--dest', place.dest), { code: 0 });
        const pid = place.server.pids.at(-1);
        const restored = await place.tool('restore', '-y', '--force', '--from', place.dest);
        t.match(restored, { code: 0 }, restored.stderr);
        t.match(restored.stdout.join('\n'), /Started imgapi@\d+\.service again/);
        t.not(place.server.pids.at(-1), pid);
        t.match(place.server.calls, /stop imgapi@\d+\.service(.|\n)*start imgapi@\d+\.service/);
        t.strictSame(differences(before, place.data()), []);
        t.notOk(existsSync(join(place.base, 'restore.tmp')));
    },
);

void t.test('status: nothing to say, or a block for each fault', { timeout: LIMIT_MS }, async (t) => {
    const place = await startRunning(t, 1);
    writeFileSync(join(place.base, 'run/backup.status'), '0\n');
    t.strictSame(await place.tool('status'), { code: 0, signal: null, stdout: [], stderr: '' });
    const { certificate, key } = selfSigned('localhost');
    const pem = join(place.base, 'etc/cert.pem');
    writeFileSync(pem, certificate + key);
    writeFileSync(join(place.base, 'run/backup.status'), '3\n');
    writeFileSync(join(place.server.bin, 'timer'), 'inactive');
    place.manta.double.inject({ refuse: { status: 403, code: 'AuthorizationFailed', message: 'no' } });
    const three = await place.quick(statusCommand, '-j');
    t.equal(three.code, 4);
    t.strictSame(
        faultsOf(three).map(({ check }) => check),
        ['tls', 'backup', 'manta', 'timer'],
    );
    t.match(JSON.parse(three.stdout.at(-1) ?? ''), { summary: { faults: 4 } });
    place.manta.double.clearFaults();
    rmSync(pem);
    rmSync(join(place.server.bin, 'timer'));
    const [hours, future] = [new Date(Date.now() - 7_200_000), new Date(Date.now() + 7_200_000)];
    writeFileSync(join(place.base, 'run/backup.status'), '0\n');
    utimesSync(join(place.base, 'run/backup.status'), future, future);
    t.match(faultsOf(await place.quick(statusCommand, '-j')), [
        { check: 'backup', state: 'the last backup is later than now' },
    ]);
    utimesSync(join(place.base, 'run/backup.status'), hours, hours);
    t.strictSame(faultsOf(await place.quick(statusCommand, '-j')), [
        {
            check: 'backup',
            state: 'the last backup is old',
            cmd: `cat ${place.base}/run/backup.status`,
            info: 'it ended 2h00m ago',
            see: 'imgapi-standalone-backup --help',
        },
    ]);
    t.match(await place.tool('status', '--backup-age', '180', '-v'), {
        code: 0,
        stdout: [],
        stderr: /http: ok.*0 faults in/s,
    });

    await place.server.stop();
    writeFileSync(
        join(place.server.bin, 'units'),
        `imgapi@${place.port}.service loaded failed failed Image server\n`,
    );
    rmSync(join(place.base, 'run/restored.marker'));
    const down = await place.quick(statusCommand, '--backup-age', '180');
    t.equal(down.code, 4);
    t.match(
        down.stdout.join('\n'),
        /^State: imgapi@\d+\.service is failed\n {2}Cmd: systemctl status.*\n Info: .*\n {2}See: .*\n\nState: the server does not answer\n/,
    );
    place.writeConfig({ mode: 'dc' });
    t.match(await place.tool('status'), { code: 252, stdout: [] });
});
