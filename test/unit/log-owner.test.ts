// Rotated logs, and root's rights, where the data belongs to another user (operations 3.2).
import {
    chmodSync,
    chownSync,
    lchownSync,
    mkdirSync,
    readdirSync,
    rmSync,
    statSync,
    symlinkSync,
    writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runTool } from '../helpers/admin-tool.js';
import { fileOf, giveToNobody, hoursAgo, logPlace, NOBODY, onlyRoot, stored } from '../helpers/log-place.js';

const skip = onlyRoot();

void t.test('run by root: as the owner of the data', { skip }, async (t) => {
    const place = await logPlace(t);
    giveToNobody(place);
    writeFileSync(join(place.logs, fileOf('2026-03-01T17:00:03')), 'text');
    t.match(await place.post('imgapi'), { code: 0 });
    const upload = join(place.logs, 'upload');
    t.equal(statSync(upload).uid, NOBODY);
    const done = await runTool(['upload-logs'], place.environment);
    t.match(done, { code: 0 }, done.stderr);
    t.equal(statSync(join(place.base, 'run/logupload.status')).uid, NOBODY);
    t.strictSame([place.waiting(), stored(place).length], [[], 1]);

    rmSync(upload, { recursive: true });
    mkdirSync(upload, { mode: 0o755 });
    place.offer(fileOf('2026-03-01T18:00:00'), 'text');
    t.match(await runTool(['upload-logs'], place.environment), { code: 252, stderr: /chown it/ });
    t.equal(stored(place).length, 1, 'nothing that would be uploaded again and again');
    t.match(await place.post('imgapi'), { code: 0 });
    t.match(await runTool(['upload-logs'], place.environment), { code: 0 });
});

void t.test('run by root: a log that the owner of the data cannot read', { skip }, async (t) => {
    const place = await logPlace(t);
    giveToNobody(place);
    const log = join(place.logs, fileOf('2026-03-01T17:00:03'));
    writeFileSync(log, 'text');
    chmodSync(log, 0o640);
    const refused = {
        code: 1,
        stdout: '',
        stderr: /^tritonpostlogrotate\.sh: error: \S+T17:00:03\.log cannot be read by user 65534, .*chgrp.*\n$/,
    };
    t.match(await place.post('imgapi'), refused);
    chmodSync(log, 0o644);
    chmodSync(place.logs, 0o700);
    t.match(await place.post('imgapi'), refused, 'nor for the directory it is in');
    t.strictSame(place.waiting(), [], 'nothing is offered that would wait for a week, and go');
    chmodSync(place.logs, 0o711);
    chmodSync(log, 0o640);
    chownSync(log, 0, NOBODY);
    t.strictSame(await place.post('-q', 'imgapi'), { code: 0, stdout: '', stderr: '' });
    t.match(await runTool(['upload-logs'], place.environment), { code: 0 });
    t.equal(stored(place).length, 1);

    // Made unreadable later, while Manta is away: that is not all that is wrong.
    const [old, readable, young] = [hoursAgo(170), hoursAgo(3), hoursAgo(2)];
    for (const file of [old, readable, young]) place.offer(file, 'text');
    for (const file of [old, young]) chmodSync(join(place.logs, 'upload', file), 0o600);
    place.area.double.inject({ refuse: 503 }, { kind: 'put' });
    const failed = await runTool(['upload-logs', '-q'], place.environment);
    t.equal(failed.code, 1);
    t.match(
        failed.stdout.find((line) => line.startsWith(young)),
        /cannot be read by user 65534, .*chgrp/,
    );
    t.match(
        failed.stdout.find((line) => line.startsWith(old)),
        /cannot be read by user 65534, .*chgrp.*; removed, as it could not be uploaded for 168 hours/,
    );
    t.strictSame(place.waiting(), [readable, young]);
});

void t.test('run by root: directories of others are not given away', { skip }, async (t) => {
    const place = await logPlace(t);
    const { directory, logs } = place;
    giveToNobody(place);
    const victim = join(directory, 'victim');
    mkdirSync(victim);
    writeFileSync(join(logs, fileOf('2026-03-01T17:00:03')), 'text');
    const upload = join(logs, 'upload');
    const isRefused = async (reason: RegExp, what: string): Promise<void> => {
        t.match(await place.post('imgapi'), { code: 1, stdout: '', stderr: reason }, what);
        t.strictSame([statSync(victim).uid, readdirSync(victim)], [0, []], what);
    };
    symlinkSync(victim, upload);
    await isRefused(/ENOTDIR|ELOOP/, 'a link of root');
    chownSync(logs, NOBODY, NOBODY);
    lchownSync(upload, NOBODY, NOBODY);
    const reason = /is a directory where user 65534 can put links, .*: have it belong to root/;
    await isRefused(reason, 'a link of the owner');
    rmSync(upload);
    await isRefused(reason, 'a place where there may be one soon');
    chownSync(logs, 0, NOBODY);
    chmodSync(logs, 0o775);
    await isRefused(reason, 'the same for his group');
    chmodSync(logs, 0o755);
    chownSync(directory, NOBODY, NOBODY);
    await isRefused(reason, 'the same above');
    t.strictSame(place.waiting(), []);
    chownSync(directory, 0, 0);
    t.match(await place.post('imgapi'), { code: 0 });
    t.equal(place.waiting().length, 1);
});
