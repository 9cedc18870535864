// What imgapi-standalone-status says of logs (operations 3.2), with a fake SMF.
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { statusCommand } from '#lib/cli/imgapiadm/status.js';
import { fileOf, logPlace, type LogPlace } from '../helpers/log-place.js';
import { runHere } from '../helpers/subcommand-run.js';

const HOUR_MS = 3_600_000;

/** Faults of the checks that are about logs. */
async function logFaults(place: LogPlace, programs: string): Promise<readonly Record<string, unknown>[]> {
    const { stdout } = await runHere(statusCommand, ['-j'], { ...place.environment, PATH: programs });
    return stdout
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ check }) => check === 'logs' || check === 'logupload');
}

void t.test('status: logs that were not rotated or not uploaded', async (t) => {
    const place = await logPlace(t);
    const [smf, none] = [join(place.directory, 'smf'), join(place.directory, 'none')];
    mkdirSync(smf);
    for (const name of ['svcs', 'svcadm'])
        writeFileSync(join(smf, name), '#!/bin/sh\necho online\n', { mode: 0o755 });
    t.strictSame(await logFaults(place, none), [], 'where nobody rotates them');
    const missing = await logFaults(place, smf);
    t.match(missing, [
        { check: 'logupload', state: 'there was no upload of logs yet' },
        { check: 'logs', state: 'the log "imgapi" was not rotated this hour', info: 'there is no such file' },
        { check: 'logs', state: 'the log "imgapi-backup" was not rotated this hour' },
    ]);
    const stamp = (ago: number): string => new Date(Date.now() - ago).toISOString().slice(0, 19);
    const [backup, before] = [fileOf(stamp(0), 'imgapi-backup'), fileOf(stamp(2 * HOUR_MS))];
    writeFileSync(join(place.logs, backup), '');
    writeFileSync(join(place.logs, before), '');
    const status = join(place.base, 'run/logupload.status');
    writeFileSync(status, '1\n');
    t.match(await logFaults(place, smf), [
        {
            check: 'logupload',
            state: 'the last upload of logs failed',
            cmd: `cat ${status}`,
            info: 'its exit status is 1',
        },
        { check: 'logs', info: `the last is ${before}` },
    ]);
    writeFileSync(join(place.logs, fileOf(stamp(0))), '');
    writeFileSync(status, '0\n');
    t.strictSame(await logFaults(place, smf), []);
    const old = new Date(Date.now() - 2 * HOUR_MS);
    utimesSync(status, old, old);
    const late = [
        { check: 'logupload', state: 'the last upload of logs is old', info: 'it ended 2h00m ago' },
    ];
    t.match(await logFaults(place, smf), late);
    t.match(await logFaults(place, none), late, 'also elsewhere, once logs have been uploaded');
    place.writeConfig({ manta: undefined });
    t.strictSame(await logFaults(place, smf), [], 'without Manta they are rotated only');
});
