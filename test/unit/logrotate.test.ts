// The example for logrotate (operations 3.2), run by Debian's.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { logPlace, stored } from '../helpers/log-place.js';
import { missingPrograms, programPath } from '../helpers/programs.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';

void t.test('a log is rotated and uploaded', { skip: missingPrograms('logrotate') }, async (t) => {
    const place = await logPlace(t);
    const live = join(place.directory, 'live');
    mkdirSync(live);
    const log = join(live, 'imgapi_some-node.log');
    const example = readFileSync(join(PROJECT_ROOT, 'etc/logrotate/imgapi'), 'utf8');
    const config = join(place.directory, 'logrotate.conf');
    const text = example
        .replaceAll('/var/log/imgapi', live)
        .replaceAll('/var/log/triton', place.logs)
        .replaceAll('/opt/smartdc/imgapi', PROJECT_ROOT);
    writeFileSync(config, text, { mode: 0o644 });
    const rotate = (): string =>
        execFileSync(
            programPath('logrotate') ?? 'logrotate',
            ['--force', '--state', join(place.directory, 'state'), config],
            { encoding: 'utf8', env: { ...process.env, ...place.environment } },
        );

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
