// The example for logrotate (operations 3.2), run by Debian's.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runTool } from '../helpers/admin-tool.js';
import { giveToNobody, logPlace, NOBODY, onlyRoot, stored, type LogPlace } from '../helpers/log-place.js';
import { missingPrograms, programPath } from '../helpers/programs.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';

const EXAMPLE = readFileSync(join(PROJECT_ROOT, 'etc/logrotate/imgapi'), 'utf8');

/** Number of the system call `prctl`. */
const PRCTL: Readonly<Record<string, number>> = { x64: 157, arm64: 167 };
/**
 * Runs the rest of its arguments like a service of systemd with MemoryDenyWriteExecute=true, by
 * prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN).
 */
const RESTRICTED = [
    'perl',
    '-e',
    `syscall(${PRCTL[process.arch] ?? 0}, 65, 1, 0, 0, 0) == 0 or die "no PR_SET_MDWE: $!"; exec @ARGV or die $!`,
] as const;

function run([program = '', ...args]: readonly string[], environment: NodeJS.ProcessEnv = {}): string {
    return execFileSync(program, args, { encoding: 'utf8', env: { ...process.env, ...environment } });
}

/** Why nothing can be run by {@link RESTRICTED}, or false. */
function cannotRestrict(): string | false {
    const [program, ...args] = RESTRICTED;
    const { status, stderr } = spawnSync(program, [...args, 'true'], { encoding: 'utf8' });
    return status === 0 ? false : `this system has no MDWE: ${stderr}`;
}

interface Rotation {
    readonly place: LogPlace;
    /** Of the server's own log. */
    readonly live: string;
    readonly log: string;
    /** Rotates it, and returns what was said. */
    readonly rotate: () => string;
}

async function prepare(t: Test, prefix: readonly string[]): Promise<Rotation> {
    const place = await logPlace(t);
    const live = join(place.directory, 'live');
    const config = join(place.directory, 'logrotate.conf');
    const text = EXAMPLE.replaceAll('/var/log/imgapi', live)
        .replaceAll('/var/log/triton', place.logs)
        .replaceAll('/opt/smartdc/imgapi', PROJECT_ROOT);
    writeFileSync(config, text, { mode: 0o644 });
    const logrotate = programPath('logrotate') ?? 'logrotate';
    const command = [...prefix, ...[logrotate, '--force', '--state', join(place.directory, 'state'), config]];
    return {
        place,
        live,
        log: join(live, 'imgapi_some-node.log'),
        rotate: () => run(command, place.environment),
    };
}

const skip = missingPrograms('logrotate');

for (const [what, prefix, whyNot] of [
    ['', [], false],
    [' by a service that may not make memory executable', RESTRICTED, cannotRestrict()],
] as const) {
    await t.test(`a log is rotated and uploaded${what}`, { skip: skip || whyNot }, async (t) => {
        const { place, live, log, rotate } = await prepare(t, prefix);
        mkdirSync(live);
        writeFileSync(log, '');
        t.equal(rotate(), '');
        t.strictSame(readdirSync(place.logs), [], 'nothing was logged');
        writeFileSync(log, 'a line\n');
        t.equal(rotate(), '');
        t.equal(readFileSync(log, 'utf8'), '', 'the server goes on with the same file');
        const [rotated = '', ...more] = readdirSync(place.logs).filter((name) => name !== 'upload');
        t.match(rotated, /^imgapi_some-node_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.log$/);
        t.strictSame(more, []);
        t.strictSame(place.waiting(), [rotated.replace(/\d\d\.log$/, '00.log')]);
        t.match(await place.upload(), { code: 0 });
        t.match(stored(place).join(), /^imgapi\/\d{4}\/\d\d\/\d\d\/\d\d\/some-node\.log$/);
    });
}

await t.test('whoever uploads can read the log', { skip: skip || onlyRoot() }, async (t) => {
    const { place, live, log, rotate } = await prepare(t, []);
    giveToNobody(place);
    // As the example says, with another group and place.
    const install = /install (-d .*)-g imgapi \/var\/log\/imgapi$/m.exec(EXAMPLE)?.[1] ?? '';
    run(['install', ...install.trim().split(' '), '-g', String(NOBODY), live]);
    // As systemd makes it for a service with UMask=0027.
    writeFileSync(log, 'a line\n');
    chmodSync(log, 0o640);
    t.match(statSync(log), { uid: 0, gid: NOBODY });
    t.equal(rotate(), '');
    const uploaded = await runTool(['upload-logs'], place.environment);
    t.match(uploaded, { code: 0 }, uploaded.stderr);
    t.equal(stored(place).length, 1);
});
