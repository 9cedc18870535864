import { existsSync } from 'node:fs';
import type { ServiceManager } from '../../service-manager.js';
import { readStatus, statusPath, type WatchedWork } from '../runs/run-status.js';
import { logDirectory } from '../logs/log-directory.js';
import { HOUR_MS, listRotatedLogs } from '../logs/rotated-logs.js';
import { durationText } from '../../../base/quantities.js';
import type { StandaloneServer } from '../standalone-config.js';
import { faulty, fine, type Fault, type StatusCheck } from './fault.js';

/** Corrections of a clock up to this are usual. */
const CLOCK_SLACK_MS = 60_000;
/** After the hour begins, until its logs have been rotated. */
const ROTATION_MS = 5 * 60_000;
/** Logs that must be rotated each hour (operations 3.2). */
const LOGS = ['imgapi', 'imgapi-backup'] as const;

const WORKS: Readonly<Record<WatchedWork, { readonly noun: string; readonly see: string }>> = {
    backup: { noun: 'backup', see: 'imgapi-standalone-backup --help' },
    logupload: { noun: 'upload of logs', see: 'imgapiadm help upload-logs' },
};

/** Whether a work has ended well, and not long ago. */
function workCheck(
    { directories }: StandaloneServer,
    name: WatchedWork,
    maxAgeMs: number,
    now: number,
): StatusCheck {
    const cmd = `cat ${statusPath(directories, name)}`;
    const { noun, see } = WORKS[name];
    return {
        name,
        run: async () => {
            const last = await readStatus(directories, name);
            if (last === undefined) {
                return faulty(`there was no ${noun} yet`, cmd, 'there is no such file', see);
            }
            const age = now - last.at;
            if (last.status !== 0) {
                return faulty(`the last ${noun} failed`, cmd, `its exit status is ${last.status}`, see);
            }
            if (age < -CLOCK_SLACK_MS) {
                const info = `it ended at ${new Date(last.at).toISOString()}`;
                return faulty(`the last ${noun} is later than now`, cmd, info, 'set the clock right; date');
            }
            return age > maxAgeMs
                ? faulty(`the last ${noun} is old`, cmd, `it ended ${durationText(age)} ago`, see)
                : fine(`${durationText(age)} ago`);
        },
    };
}

/** Whether logs were rotated when the hour began: if not, no log of it reaches Manta. */
function logsCheck(directory: string, now: number): StatusCheck {
    const since = Math.floor((now - ROTATION_MS) / HOUR_MS) * HOUR_MS;
    return {
        name: 'logs',
        run: async () => {
            const logs = await listRotatedLogs(directory);
            const faults = LOGS.flatMap((name): Fault[] => {
                const last = logs.findLast((log) => log.name === name);
                return last !== undefined && last.at >= since
                    ? []
                    : [
                          {
                              state: `the log "${name}" was not rotated this hour`,
                              cmd: `ls ${directory}/${name}_*`,
                              info: last === undefined ? 'there is no such file' : `the last is ${last.file}`,
                              see: 'crontab -l; logadm -V; svcs cron',
                          },
                      ];
            });
            return { faults, facts: `${LOGS.join(' and ')} in ${directory}` };
        },
    };
}

/** What {@link hourlyChecks} has to know beside the server. */
export interface HourlyChecksOptions {
    /** Of the last backup and the last upload of logs. */
    readonly maxAgeMs: number;
    readonly manager: ServiceManager | undefined;
    readonly environment: NodeJS.ProcessEnv;
}

/** What has to happen every hour. */
export function hourlyChecks(
    server: StandaloneServer,
    { maxAgeMs, manager, environment }: HourlyChecksOptions,
): readonly StatusCheck[] {
    const { config, directories } = server;
    const now = Date.now();
    const isWatched = (name: WatchedWork): boolean => existsSync(statusPath(directories, name));
    const logs = logDirectory(environment);
    // Elsewhere the system's journal has them, or an operator's own rotation, with times of its own.
    const isRotated = manager?.name === 'SMF' && existsSync(logs);
    const hasManta = config.manta !== undefined;
    const isBackedUp = config.databaseType === 'local' && (hasManta || isWatched('backup'));
    return [
        ...(isBackedUp ? [workCheck(server, 'backup', maxAgeMs, now)] : []),
        ...(hasManta && (isRotated || isWatched('logupload'))
            ? [workCheck(server, 'logupload', maxAgeMs, now)]
            : []),
        ...(isRotated ? [logsCheck(logs, now)] : []),
    ];
}
