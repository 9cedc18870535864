// Rotated logs on their way to Manta (operations 3.2).
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LogUpload } from '#lib/cli/imgapiadm/logs/log-upload.js';
import { distantDirectory, rotatedLog } from '#lib/cli/imgapiadm/logs/rotated-logs.js';
import { fileOf, hoursAgo, logPlace, NODE, stored } from '../helpers/log-place.js';
import { eventually } from '../helpers/server-process.js';
import type { SubcommandExit } from '../helpers/subcommand-run.js';

const WAIT_MS = 30_000;

void t.test('what names of rotated logs tell', (t) => {
    t.strictSame(rotatedLog(fileOf('2026-03-01T17:00:03', 'imgapi-backup')), {
        file: fileOf('2026-03-01T17:00:03', 'imgapi-backup'),
        name: 'imgapi-backup',
        node: NODE,
        at: Date.UTC(2026, 2, 1, 17, 0, 3),
    });
    for (const file of [
        '',
        'imgapi.log',
        'imgapi_2026-03-01T17:00:03.log',
        'imgapi__2026-03-01T17:00:03.log',
        '_a_2026-03-01T17:00:03.log',
        '../x_a_2026-03-01T17:00:03.log',
        'x_a/b_2026-03-01T17:00:03.log',
        `${fileOf('2026-03-01T17:00:03')}.gz`,
        fileOf('2026-02-30T17:00:03'),
        fileOf('2026-03-01T24:00:00'),
        fileOf('2026-03-01'),
    ]) {
        t.equal(rotatedLog(file), undefined, file);
    }
    const directory = (stamp: string): string | undefined => {
        const log = rotatedLog(fileOf(stamp));
        return log && distantDirectory(log);
    };
    t.equal(directory('2026-03-01T17:00:00'), 'imgapi/2026/03/01/16');
    t.equal(directory('2026-01-01T00:00:00'), 'imgapi/2025/12/31/23', 'of the hour before');
    t.end();
});

void t.test('a rotated log is offered for upload, and uploaded', async (t) => {
    const place = await logPlace(t);
    const { logs, post, waiting } = place;
    const [old, newest] = [fileOf('2026-03-01T16:00:02'), fileOf('2026-03-01T17:00:03')];
    for (const file of [old, newest, fileOf('2026-03-01T18:00:03', 'haproxy'), 'imgapi_nothing.log', 'x']) {
        writeFileSync(join(logs, file), `of ${file}\n`);
    }
    const before = readdirSync(logs);
    const first = await post('imgapi');
    const upload = join(logs, 'upload');
    t.match(first, { code: 0, stderr: '' });
    const name = fileOf('2026-03-01T17:00:00');
    t.equal(first.stdout, `${join(logs, newest)}: to be uploaded as ${join(upload, name)}\n`);
    t.strictSame(waiting(), [name], 'the newest, with zero seconds');
    t.equal(statSync(join(upload, name)).ino, statSync(join(logs, newest)).ino, 'no copy');
    t.strictSame(await post('-q', 'imgapi'), { code: 0, stdout: '', stderr: '' });
    t.strictSame(waiting(), [name], 'again: nothing more');
    t.match(await post('-q', '-m', 'haproxy'), { code: 0 });
    t.strictSame(
        readdirSync(logs).sort(),
        [...before.filter((file) => !file.startsWith('haproxy')), 'upload'].sort(),
    );

    // As cron runs it, and once more.
    const done = await place.start('tritonlogupload.sh', '-a', '5').exited;
    t.match(done, { code: 0, stderr: '' });
    t.match(
        done.stdout,
        /^imgapi_.*: uploaded to .*\/logs\/imgapi\/2026\/03\/01\/16\/.*\nhaproxy_.*\nUploaded 2 files \(.*\), 0 left\n$/,
    );
    t.strictSame(stored(place), [`haproxy/2026/03/01/17/${NODE}.log`, `imgapi/2026/03/01/16/${NODE}.log`]);
    t.equal(await place.area.read(`logs/imgapi/2026/03/01/16/${NODE}.log`), `of ${newest}\n`);
    t.strictSame([waiting(), place.status()], [[], '0\n']);
    t.ok(existsSync(join(logs, newest)), 'what was linked is kept beside');
    t.match(await place.upload('--json'), { code: 0, stdout: [/"uploaded":0.*"left":0/], stderr: [] });
});

void t.test('a log that was rotated in the middle of an hour', async (t) => {
    const { logs, post, waiting } = await logPlace(t);
    const text = (stamp: string): void => writeFileSync(join(logs, fileOf(stamp)), stamp);
    text('2026-12-31T23:24:59');
    t.match(await post('-f', 'imgapi'), { code: 0 });
    t.strictSame(waiting(), [fileOf('2027-01-01T00:00:00')], 'the next hour, so that it counts for this one');
    text('2027-01-01T00:00:04');
    t.match(await post('imgapi'), { code: 0 });
    t.strictSame(
        waiting(),
        [fileOf('2027-01-01T00:00:00'), fileOf('2027-01-01T00:00:01')],
        'replaces nothing',
    );
    const read = (file: string): string => readFileSync(join(logs, 'upload', file), 'utf8');
    t.strictSame(waiting().map(read), ['2026-12-31T23:24:59', '2027-01-01T00:00:04']);
});

void t.test('command lines that are wrong, and logs that are not there', async (t) => {
    const place = await logPlace(t);
    const { post, logs } = place;
    const wrong = [[], ['a_b'], ['../x'], ['.'], [''], ['a', 'b'], ['--what', 'a']];
    for (const [args, exit] of await Promise.all(
        wrong.map(async (args) => [args, await post(...args)] as const),
    )) {
        t.match(
            exit,
            { code: 1, stdout: '', stderr: /^tritonpostlogrotate\.sh: error: .+\n$/ },
            args.join(' '),
        );
    }
    t.match(await post('-q', 'imgapi'), { code: 1, stdout: '', stderr: /there is no rotated log "imgapi"/ });
    t.match(await post('-h'), { code: 0, stdout: /-f, --force.*-m, --move.*-q, --quiet/s });
    t.strictSame(readdirSync(logs), []);
    for (const args of [
        ['-a', '0'],
        ['-a', 'x'],
        ['-a', '61'],
        ['--wait', '-1'],
        ['--wait', '3601'],
        ['more'],
        ['-x'],
    ]) {
        t.match(await place.upload(...args), { code: 251, stdout: [] }, args.join(' '));
    }
    const { exited } = place.start('tritonlogupload.sh', '-a', 'x');
    t.match(await exited, { code: 1, stderr: 'tritonlogupload.sh: error: --attempts must be 1..60: "x"\n' });

    place.writeConfig({ manta: undefined });
    writeFileSync(join(logs, fileOf('2026-03-01T17:00:03')), 'text');
    t.match(await post('imgapi'), { code: 0, stdout: /logs are not uploaded/ });
    t.strictSame(readdirSync(logs).length, 1, 'without Manta nothing piles up');
    t.match(await place.upload(), { code: 0, stdout: ['Uploaded 0 files (0 B), 0 left'] });
    place.offer(fileOf('2026-03-01T17:00:00'), 'text');
    t.match(await place.upload(), {
        code: 252,
        stderr: [/no "manta" in .*: there is nowhere to upload logs to/],
    });
    t.equal(place.status(), '1\n');
    place.writeConfig({ mode: 'dc', databaseType: 'local' });
    t.match(await place.upload(), { code: 252 });
});

void t.test('nothing replaces a log in Manta, and none is uploaded twice', async (t) => {
    const place = await logPlace(t);
    const [stamp, hour] = ['2026-03-01T17:00:00', `imgapi/2026/03/01/16/${NODE}`];
    const put = async (text: string): Promise<SubcommandExit> => {
        place.offer(fileOf(stamp), text);
        return await place.upload();
    };
    t.match(await put('one'), { code: 0 });
    place.area.double.clearRequests();
    t.match(await put('one'), { code: 0, stdout: [/uploaded to/, /Uploaded 1 file/] });
    t.strictSame(place.area.double.requests({ kind: 'put' }), [], 'it is there');
    t.match(await put('two'), { code: 0 });
    const large = 'x'.repeat(3_000_000);
    t.match(await put(large), { code: 0 });
    t.match(await put('two'), { code: 0 });
    t.match(await put(''), { code: 0 });
    t.strictSame(stored(place), [`${hour}.1.log`, `${hour}.2.log`, `${hour}.3.log`, `${hour}.log`]);
    const read = (suffix: string): Promise<string> => place.area.read(`logs/${hour}${suffix}`);
    t.strictSame(await Promise.all(['.log', '.1.log', '.2.log', '.3.log'].map(read)), [
        'one',
        'two',
        large,
        '',
    ]);
    // Two that find nothing there, and one is first.
    place.offer(fileOf('2026-03-02T17:00:00'), 'mine');
    const hold = place.area.double.hold({ kind: 'put', path: /02\/16/, times: 1 });
    const running = place.upload();
    await hold.arrived();
    await place.area.put(`logs/imgapi/2026/03/02/16/${NODE}.log`, 'theirs');
    hold.resume();
    t.match(await running, { code: 0 });
    t.equal(await place.area.read(`logs/imgapi/2026/03/02/16/${NODE}.log`), 'theirs');
    t.equal(await place.area.read(`logs/imgapi/2026/03/02/16/${NODE}.1.log`), 'mine');
    t.strictSame(place.waiting(), []);
});

void t.test('what is to be done is shown, and not done', async (t) => {
    const place = await logPlace(t);
    const file = fileOf('2026-03-01T17:00:00');
    place.offer(file, 'text');
    place.offer('no log', 'text');
    symlinkSync('/etc/passwd', join(place.logs, 'upload', fileOf('2026-03-02T17:00:00')));
    const before = place.waiting();
    place.area.double.clearRequests();
    const path = `${place.area.rootDir}/logs/imgapi/2026/03/01/16/${NODE}.log`;
    t.match(await place.upload('-n'), {
        code: 0,
        stdout: [`${file}: would be uploaded to ${path}`, 'Would have uploaded 1 file'],
    });
    const json = await place.upload('-n', '-j');
    t.strictSame(
        json.stdout.map((line) => JSON.parse(line) as unknown),
        [{ file, path }, { summary: { dryRun: true, uploaded: 0, uploadedBytes: 0, left: 1, dropped: 0 } }],
    );
    t.strictSame(place.waiting(), before);
    t.strictSame(place.area.double.requests(), []);
    t.notOk(existsSync(join(place.base, 'run/logupload.status')));
    t.match(await place.upload(), { code: 0 });
    t.strictSame(place.waiting(), ['no log', before[1]].sort(), 'neither of a link nor of other files');
});

void t.test('a Manta that fails: again, as often as asked', async (t) => {
    const place = await logPlace(t);
    const { double } = place.area;
    const files = [hoursAgo(2), hoursAgo(1)];
    for (const file of files) place.offer(file, file);
    double.inject({ refuse: 503 }, { kind: 'put' });
    const failed = await place.upload('-a', '2', '--wait', '0', '--json');
    t.match(failed, { code: 1, stderr: [/2 files left \(storage is down.*; attempt 2 of 2 in 0 s/i] });
    t.match(
        failed.stdout.map((line) => JSON.parse(line) as unknown),
        [
            { file: files[0], problem: /./ },
            { file: files[1], problem: /./ },
            { summary: { uploaded: 0, left: 2, dropped: 0 } },
        ],
    );
    t.ok(double.requests({ kind: 'put' }).every(({ path }) => path.includes(NODE)));
    t.equal(place.status(), '1\n');
    t.strictSame(place.waiting(), files);
    t.match(await place.upload('-a', '2', '--wait', '0', '-q'), { code: 1, stderr: [] });
    double.clearFaults();
    double.inject(
        { refuse: { status: 403, code: 'AuthorizationFailed', message: 'no' } },
        { times: 1, kind: 'put' },
    );
    t.match(await place.upload('--attempts=3', '--wait=0'), {
        code: 0,
        stderr: [/1 file left \(AuthorizationFailed: no\); attempt 2 of 3/],
    });
    t.equal(stored(place).length, 2);
    t.equal(place.status(), '0\n');
});

void t.test('a log that nobody took for a week goes', async (t) => {
    const place = await logPlace(t);
    const [old, young] = [hoursAgo(170), hoursAgo(166)];
    place.offer(old, 'old');
    place.offer(young, 'young');
    place.area.double.inject({ refuse: 503 }, { kind: 'put' });
    const failed = await place.upload();
    t.match(failed, {
        code: 1,
        stdout: [
            new RegExp(`^${old}: .*; removed, as it could not be uploaded for 168 hours`),
            new RegExp(`^${young}: `),
            /1 left, 1 given up/,
        ],
    });
    t.strictSame(place.waiting(), [young]);
    place.area.double.clearFaults();
    place.offer(old, 'old');
    t.match(await place.upload(), { code: 0 });
    t.equal(stored(place).length, 2, 'but not without a try');
});

void t.test('an upload that is told to stop, while it waits and while Manta hangs', async (t) => {
    const place = await logPlace(t, 500);
    const { double } = place.area;
    const file = hoursAgo(1);
    place.offer(file, 'text');
    const end = double.inject({ refuse: 503 }, { kind: 'put' });
    const waiting = place.start('tritonlogupload.sh', '-a', '2', '--wait', '3600');
    await eventually('a pause', WAIT_MS, () => waiting.stderr().includes('attempt 2 of 2 in 3600 s'));
    const second = await place.upload();
    t.match(second, { code: 252, stderr: [/another upload of logs of .* is running/] });
    waiting.child.kill('SIGINT');
    t.match(await waiting.exited, {
        code: 130,
        stderr: /stopping.*the next upload of logs goes on from here/s,
    });
    t.equal(place.status(), '130\n');
    end();

    const hold = double.hold({ kind: 'put' });
    const hanging = place.start('tritonlogupload.sh');
    await hold.arrived();
    hanging.child.kill('SIGTERM');
    t.match(await hanging.exited, { code: 143 });
    t.strictSame([place.waiting(), stored(place)], [[file], []]);
    const upload = new LogUpload({
        objects: place.area.objects,
        root: `${place.area.rootDir}/logs`,
        directory: join(place.logs, 'upload'),
        signal: new AbortController().signal,
        onUploaded: () => undefined,
    });
    const left = await upload.attempt();
    t.match([...left], [[file, { code: 'StorageIsDown' }]], 'an error in time');
    hold.resume();
    t.match(await place.upload(), { code: 0 });
    t.strictSame(place.waiting(), []);
});

void t.test('an upload that is killed when Manta has the log', async (t) => {
    const place = await logPlace(t);
    const file = hoursAgo(1);
    place.offer(file, 'text');
    const hold = place.area.double.hold({ kind: 'put' }, 'after');
    const killed = place.start('tritonlogupload.sh');
    await hold.arrived();
    killed.child.kill('SIGKILL');
    await killed.exited;
    hold.resume();
    t.strictSame(place.waiting(), [file]);
    t.match(await place.upload(), { code: 0, stdout: [/uploaded to/, /Uploaded 1 file/] });
    t.strictSame([place.waiting(), stored(place).length], [[], 1], 'it is there once');
});
