// boot/backup.sh and boot/restore.sh (operations 3.3), with fakes for zfs and vmadm that keep datasets in directories.
import {
    chmodSync,
    existsSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    rmSync,
    statSync,
    writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startProgram, type ProgramExit, type RunningProgram } from '../helpers/running-program.js';
import { eventually, PROJECT_ROOT } from '../helpers/server-process.js';

const ZONE = '5f2a2d3e-6b7c-4a53-8a4e-2f8f5e1c9d10';
const LIMIT_MS = 30_000;

/** What both fakes do first: note how they were called, and fail or wait where a test says so. */
const START = `#!/bin/bash
set -o errexit
call="$(basename "$0") $*"
echo "$call" >> "$TOP/calls"
if [[ -s $TOP/fail && $call =~ $(cat "$TOP/fail") ]]; then
    if [[ $1 == send ]]; then echo half; fi
    if [[ $1 == receive ]]; then mkdir "$TOP/\${!#}"; fi
    echo "$call: refused" >&2
    exit 1
fi
if [[ -s $TOP/hold && $call =~ $(cat "$TOP/hold") ]]; then
    if [[ $1 == send ]]; then echo half; fi
    echo "$call" > "$TOP/held"
    while [[ -e $TOP/held ]]; do sleep 0.02; done
fi
last=\${!#}
`;

/** A dataset is a directory with a file "content", a directory for each dataset below it, a file "=PROPERTY" for each property, and a file "@NAME" for each snapshot. */
const ZFS = `${START}
at=$TOP/\${last//@//@}
case $1 in
    list)
        [[ -e $TOP/$last ]] || { echo "cannot open '$last': dataset does not exist" >&2; exit 1; }
        if [[ $* == *"-t snapshot"* ]]; then
            for name in "$TOP/$last"/@*; do [[ ! -e $name ]] || echo "$last\${name#"$TOP/$last/"}"; done
        else
            echo "$last"
            if [[ $* == *" -r "* ]]; then
                for below in "$TOP/$last"/*/; do [[ ! -d $below ]] || echo "$last/$(basename "$below")"; done
            fi
        fi ;;
    get) cat "$at/=$5" 2> /dev/null || echo - ;;
    set) echo "\${2#*=}" > "$at/=\${2%%=*}" ;;
    snapshot) cp "$(dirname "$at")/content" "$at" ;;
    send) cat "$at" ;;
    receive) mkdir "$at"; cat > "$at/content"; cp "$at/content" "$at/@received" ;;
    rename) [[ ! -e $at ]]; mv "$TOP/$2" "$at" ;;
    destroy) [[ -e $at ]]; rm -r "$at" ;;
    *) exit 2 ;;
esac
`;

const VMADM = `${START}
case $1 in
    list) [[ $last == uuid=${ZONE} ]] && cat "$TOP/state" || true ;;
    stop) echo stopped > "$TOP/state" ;;
    start) echo running > "$TOP/state" ;;
    *) exit 2 ;;
esac
`;

interface GlobalZone {
    /** Where backups go. */
    readonly directory: string;
    /** Directory of the zone's datasets. */
    readonly datasets: string;
    readonly stream: string;
    readonly start: (script: string, ...args: string[]) => RunningProgram;
    /** Runs a script for the zone to its end. */
    readonly run: (script: string) => Promise<ProgramExit>;
    /** Has calls that match fail, or wait, from now on; empty: none. */
    readonly tell: (what: 'fail' | 'hold', pattern: string) => void;
    /** Resolves when a call waits. */
    readonly held: () => Promise<unknown>;
    readonly letGo: () => void;
    readonly calls: () => string;
    readonly content: () => string;
    readonly state: () => string;
}

function makeGlobalZone(test: Test, content = 'images'): GlobalZone {
    const top = test.testdir({
        programs: {},
        zones: { [ZONE]: { data: { content } } },
        state: 'running\n',
        calls: '',
    });
    for (const [name, text] of [
        ['zfs', ZFS],
        ['vmadm', VMADM],
    ] as const) {
        writeFileSync(join(top, 'programs', name), text);
        chmodSync(join(top, 'programs', name), 0o755);
    }
    const environment = { PATH: `${join(top, 'programs')}:/usr/bin:/bin`, TOP: top };
    const directory = join(top, 'back up');
    const datasets = join(top, 'zones', ZONE);
    const start: GlobalZone['start'] = (script, ...args) =>
        startProgram('bash', [join(PROJECT_ROOT, 'boot', script), ...args], environment);
    return {
        directory,
        datasets,
        stream: join(directory, 'imgapi/imgapi-data.zfs'),
        start,
        run: (script) => start(script, ZONE, directory).exited,
        tell: (what, pattern) => writeFileSync(join(top, what), pattern),
        held: () => eventually('a call that waits', LIMIT_MS, () => existsSync(join(top, 'held'))),
        letGo: () => rmSync(join(top, 'held')),
        calls: () => {
            const text = readFileSync(join(top, 'calls'), 'utf8');
            writeFileSync(join(top, 'calls'), '');
            return text;
        },
        content: () => readFileSync(join(datasets, 'data/content'), 'utf8'),
        state: () => readFileSync(join(top, 'state'), 'utf8').trim(),
    };
}

void t.test('a zone is backed up, loses its data, and has it again', async (t) => {
    const zone = makeGlobalZone(t);
    t.match(await zone.run('backup.sh'), {
        code: 0,
        stderr: '',
        stdout: /Snapshot .*\nSending it to .*\nDone\n$/,
    });
    t.equal(readFileSync(zone.stream, 'utf8'), 'images');
    t.equal(statSync(zone.stream).mode & 0o777, 0o600);
    t.strictSame(readdirSync(join(zone.directory, 'imgapi')), ['imgapi-data.zfs']);
    t.strictSame(readdirSync(join(zone.datasets, 'data')), ['content'], 'no snapshot stays');
    t.equal(zone.state(), 'running');

    writeFileSync(join(zone.datasets, 'data/content'), 'damaged');
    zone.calls();
    const restored = await zone.run('restore.sh');
    t.match(restored, {
        code: 0,
        stderr: '',
        stdout: /When all is well: zfs destroy -r zones\/.*\/data-before-\d{8}T\d{6}Z\n$/,
    });
    t.equal(zone.content(), 'images');
    const [data = '', before = '', ...more] = readdirSync(zone.datasets);
    t.strictSame([data, more], ['data', []]);
    t.equal(readFileSync(join(zone.datasets, before, 'content'), 'utf8'), 'damaged', 'it is kept');
    t.strictSame(readdirSync(join(zone.datasets, 'data')).sort(), ['=mountpoint', '=zoned', 'content']);
    t.equal(zone.state(), 'running');
    const calls = zone.calls();
    t.match(
        calls,
        /receive -u .*set mountpoint=\/data .*set zoned=on .*vmadm stop .*rename .*rename .*vmadm start /s,
    );

    // Of a zone that does not run, and has no data any more.
    rmSync(join(zone.datasets, 'data'), { recursive: true });
    writeFileSync(join(zone.datasets, '../../state'), 'stopped\n');
    zone.calls();
    t.match(await zone.run('restore.sh'), { code: 0, stdout: /Done\n$/ });
    t.equal(zone.content(), 'images');
    t.equal(zone.state(), 'stopped');
    t.notMatch(zone.calls(), /vmadm (?:stop|start)/);
});

void t.test('command lines that are wrong change nothing', async (t) => {
    const zone = makeGlobalZone(t);
    const wrong = [
        [],
        [ZONE],
        [ZONE, zone.directory, 'x'],
        ['../x', zone.directory],
        ['', zone.directory],
        ['-r', zone.directory],
        [ZONE, ''],
    ];
    for (const script of ['backup.sh', 'restore.sh']) {
        for (const args of wrong) {
            t.match(
                await zone.start(script, ...args).exited,
                { code: 1, stdout: '', stderr: /error: / },
                `${script} ${args.join()}`,
            );
        }
    }
    t.strictSame([zone.calls(), existsSync(zone.directory), zone.content()], ['', false, 'images']);
});

void t.test('datasets below that of the data, which no backup would have', async (t) => {
    const zone = makeGlobalZone(t);
    t.match(await zone.run('backup.sh'), { code: 0 });
    writeFileSync(join(zone.datasets, 'data/content'), 'later images');
    for (const name of ['old images', 'more']) {
        mkdirSync(join(zone.datasets, 'data', name));
        writeFileSync(join(zone.datasets, 'data', name, 'content'), 'made in the zone');
    }
    for (const script of ['backup.sh', 'restore.sh']) {
        zone.calls();
        t.match(
            await zone.run(script),
            {
                code: 103,
                stdout: '',
                stderr: new RegExp(
                    `^${script}: error: there are datasets below zones/${ZONE}/data, .*` +
                        `: zones/${ZONE}/data/more zones/${ZONE}/data/old images\\n$`,
                ),
            },
            script,
        );
        t.notMatch(zone.calls(), /zfs (?!list)|vmadm/, 'nothing is changed');
        zone.tell('fail', 'zfs list -H -r');
        t.match(await zone.run(script), { code: 103, stderr: /could not be listed/ });
        zone.tell('fail', '');
    }
    t.strictSame([zone.content(), zone.state()], ['later images', 'running']);
    t.equal(readFileSync(zone.stream, 'utf8'), 'images');
    for (const name of ['old images', 'more']) {
        rmSync(join(zone.datasets, 'data', name), { recursive: true });
    }
    t.match(await zone.run('backup.sh'), { code: 0 });
});

void t.test('a backup that fails leaves the one before, and no snapshot', async (t) => {
    const zone = makeGlobalZone(t);
    t.match(await zone.run('backup.sh'), { code: 0 });
    writeFileSync(join(zone.datasets, 'data/content'), 'later images');
    const cases: readonly (readonly [pattern: string, code: number])[] = [
        ['zfs list -H -o name', 103],
        ['zfs snapshot', 105],
        ['zfs send', 106],
    ];
    for (const [pattern, code] of cases) {
        zone.tell('fail', pattern);
        t.match(await zone.run('backup.sh'), { code, stderr: /backup\.sh: error: / }, pattern);
        t.equal(readFileSync(zone.stream, 'utf8'), 'images', 'the old stream, not half of a new one');
        t.strictSame(readdirSync(join(zone.directory, 'imgapi')), ['imgapi-data.zfs']);
        t.strictSame(readdirSync(join(zone.datasets, 'data')), ['content']);
    }
    zone.tell('fail', 'zfs destroy');
    t.match(await zone.run('backup.sh'), { code: 108, stderr: /@imgapi-backup-\S+ could not be removed/ });
    t.equal(readFileSync(zone.stream, 'utf8'), 'later images');
    zone.tell('fail', '');
    writeFileSync(join(zone.directory, 'imgapi', `imgapi-data.zfs.${ZONE}.99999999.tmp`), 'left');
    writeFileSync(join(zone.datasets, 'data/@mine'), 'of somebody else');
    t.match(await zone.run('backup.sh'), { code: 0, stdout: /Removing .*, which an earlier run has left/ });
    t.strictSame(readdirSync(join(zone.datasets, 'data')).sort(), ['@mine', 'content']);
    t.strictSame(readdirSync(join(zone.directory, 'imgapi')), ['imgapi-data.zfs']);

    rmSync(zone.stream);
    mkdirSync(zone.stream);
    t.match(await zone.run('backup.sh'), { code: 106, stderr: /could not be written/ });
    t.strictSame(readdirSync(zone.stream), [], 'nothing is put into it');
    rmSync(zone.stream, { recursive: true });
    writeFileSync(join(zone.datasets, 'data/content'), '');
    t.match(await zone.run('backup.sh'), { code: 106 }, 'nothing came');
    t.notOk(existsSync(zone.stream));
    t.strictSame(readdirSync(join(zone.datasets, 'data')).sort(), ['@mine', 'content']);
});

void t.test('a backup that is told to stop leaves nothing half-made', async (t) => {
    for (const [signal, code] of [
        ['SIGTERM', 143],
        ['SIGHUP', 129],
        ['SIGINT', 130],
    ] as const) {
        const zone = makeGlobalZone(t);
        zone.tell('hold', 'zfs send');
        const { child, exited } = zone.start('backup.sh', ZONE, zone.directory);
        await zone.held();
        child.kill(signal);
        zone.letGo();
        t.match(await exited, { code }, signal);
        t.strictSame(readdirSync(join(zone.directory, 'imgapi')), []);
        t.strictSame(readdirSync(join(zone.datasets, 'data')), ['content']);
    }
});

void t.test('a restore that fails leaves the data there was, and the zone as it was', async (t) => {
    const zone = makeGlobalZone(t);
    t.match(await zone.run('restore.sh'), { code: 103, stderr: /there is no backup/ });
    t.match(await zone.run('backup.sh'), { code: 0 });
    writeFileSync(join(zone.datasets, 'data/content'), 'what there was');
    const cases: readonly (readonly [pattern: string, code: number])[] = [
        [`zfs list -H -o name zones/${ZONE}$`, 103],
        ['vmadm list', 1],
        ['zfs receive', 106],
        ['zfs set mountpoint', 108],
        ['zfs set zoned', 108],
        ['vmadm stop', 1],
        [`zfs rename zones/${ZONE}/data `, 105],
        [`zfs rename zones/${ZONE}/data-restored `, 108],
    ];
    for (const [pattern, code] of cases) {
        zone.tell('fail', pattern);
        t.match(await zone.run('restore.sh'), { code, stderr: /\S/ }, pattern);
        t.equal(zone.content(), 'what there was', pattern);
        t.strictSame(readdirSync(zone.datasets), ['data'], 'nothing else stays');
        t.equal(zone.state(), 'running');
    }
    zone.tell('fail', 'receive|destroy -r');
    t.match(await zone.run('restore.sh'), { code: 106, stderr: /the next run tries again/ });
    t.match(await zone.run('restore.sh'), { code: 105 });
    zone.tell('fail', 'rename .*/data$');
    t.match(await zone.run('restore.sh'), {
        code: 108,
        stderr: /the data is in zones\/.*\/data-before-.*; name it zones\/.*\/data/,
    });
    t.equal(zone.state(), 'stopped', 'a zone without its data is not started');
    const [before = ''] = readdirSync(zone.datasets).filter((name) => name.startsWith('data-before-'));
    t.equal(readFileSync(join(zone.datasets, before, 'content'), 'utf8'), 'what there was');
    zone.tell('fail', 'vmadm start');
    writeFileSync(join(zone.datasets, '../../state'), 'running\n');
    t.match(await zone.run('restore.sh'), { code: 1, stderr: /could not be started/ });
    t.equal(zone.content(), 'images');
});

void t.test('a restore that is told to stop', async (t) => {
    for (const pattern of ['zfs receive', 'vmadm stop', `zfs rename zones/${ZONE}/data `]) {
        const zone = makeGlobalZone(t);
        t.match(await zone.run('backup.sh'), { code: 0 });
        writeFileSync(join(zone.datasets, 'data/content'), 'what there was');
        zone.tell('hold', pattern);
        const { child, exited } = zone.start('restore.sh', ZONE, zone.directory);
        await zone.held();
        child.kill('SIGTERM');
        zone.letGo();
        t.match(await exited, { code: 143 }, pattern);
        t.equal(zone.content(), 'what there was');
        t.strictSame(readdirSync(zone.datasets), ['data']);
        t.equal(zone.state(), 'running');
    }
});
