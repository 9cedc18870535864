import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig } from '../../../base/config.js';
import { DEFAULT_BASE_DIR } from '../../../base/constants.js';
import type { ServiceManager } from '../../service-manager.js';
import type { SetupOrder } from './set-up.js';
import { BACKUP_TIMER, UNIT_OPTIONS, unitsToEnable } from './units.js';

/** Buffers and queues for large files over long lines, as zones have them set. */
const SYSCTL = [
    'net.core.rmem_max = 2097152',
    'net.core.wmem_max = 2097152',
    'net.core.somaxconn = 1024',
    'net.ipv4.tcp_max_syn_backlog = 2048',
] as const;

/** Timers are started, too: enabling alone has them wait for the machine's next start. */
function systemdSteps(units: readonly string[]): string[][] {
    const start = ['Start the server and its timers:', `    systemctl start ${units.join(' ')}`];
    const backup = [
        `Name where backups go, IMGAPI_BACKUP_OPTIONS="--dest ..." in ${UNIT_OPTIONS}, and start their timer:`,
        `    systemctl enable --now ${BACKUP_TIMER}`,
    ];
    return units.includes(BACKUP_TIMER) ? [start] : [start, backup];
}

/** What is left to an operator, in the order it is to be done. */
export async function nextSteps(
    order: SetupOrder,
    manager: ServiceManager['name'] | undefined,
): Promise<readonly string[]> {
    const { places, front } = order;
    const config = loadConfig(places.config);
    const { manta, authType } = config;
    const environment = places.data === DEFAULT_BASE_DIR ? '' : `IMGAPI_DATA=${places.data} `;
    const bin = join(places.prefix, 'bin');
    const keys = join(places.data, 'etc', 'authkeys', 'local', 'USER.keys');
    const steps: string[][] = [];
    if (authType === 'signature') {
        steps.push([`Let a user write: put SSH public keys, one a line, into ${keys}`]);
    }
    if (manta !== undefined) {
        const publicKey = await readFile(`${manta.key}.pub`, 'utf8').catch(() => '');
        steps.push([`Add this key to the account ${manta.user} of ${manta.url}:`, `    ${publicKey.trim()}`]);
    }
    steps.push([
        'Restore a backup, or say that there is none; no backup is made before:',
        `    ${environment}${bin}/imgapi-standalone-restore`,
    ]);
    if (front !== undefined) {
        const etc = join(places.data, 'etc');
        steps.push([
            `Put ${join(etc, 'haproxy.cfg')} where HAProxy reads it, e.g. /etc/haproxy/haproxy.cfg`,
            ...(front === 'hitch' ? [`and ${join(etc, 'hitch.conf')} to /etc/hitch/hitch.conf`] : []),
        ]);
    }
    steps.push(
        ...(manager === 'systemd'
            ? systemdSteps(unitsToEnable(config))
            : manager === 'SMF'
              ? [['Start the server:', '    svcadm enable svc:/smartdc/site/imgapi:default']]
              : [['Start the server:', `    ${bin}/imgapi -f ${places.config}`]]),
    );
    steps.push(['Look after it:', `    ${environment}${bin}/imgapi-standalone-status -v`]);
    const hints =
        process.platform === 'linux'
            ? [
                  '',
                  'For large files over long lines, in /etc/sysctl.d/imgapi.conf:',
                  ...SYSCTL.map((line) => `    ${line}`),
              ]
            : [];
    return [
        '',
        'Next:',
        ...steps.flatMap(([first = '', ...more], index) => [
            `${index + 1}. ${first}`,
            ...more.map((line) => `   ${line}`),
        ]),
        ...hints,
    ];
}
