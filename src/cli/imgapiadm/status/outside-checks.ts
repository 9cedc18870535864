import type Logger from 'bunyan';
import { createMantaObjects } from '../../../app/manta-objects.js';
import { VERSION } from '../../../base/constants.js';
import { HttpClient } from '../../../base/http-client.js';
import { OutgoingError } from '../../../base/http-errors.js';
import { instanceOf } from '../../../maintenance/instance.js';
import { findForeignOwner } from '../../../maintenance/owner-marker.js';
import { programIn } from '../../places.js';
import { runProgram } from '../../run-program.js';
import type { ServiceManager } from '../../service-manager.js';
import { failureText } from '../failure-text.js';
import type { StandaloneServer } from '../standalone-config.js';
import { faulty, fine, type CheckResult, type StatusCheck } from './fault.js';

/** Signatures are refused at five minutes; a minute is a sign that nobody sets the clock. */
const MAX_OFFSET_MS = 60_000;
const LIMIT_MS = 15_000;

function mantaCheck({ config, directories }: StandaloneServer, log: Logger): StatusCheck {
    const { manta } = config;
    const path = manta?.rootDir ?? '';
    const cmd = `mls ${path}`;
    return {
        name: 'manta',
        run: async () => {
            const objects = await createMantaObjects(config);
            try {
                await objects?.check();
                const instance = await instanceOf(config, directories, log);
                const owner = objects && (await findForeignOwner(objects, path, instance));
                return owner === undefined
                    ? fine(`${path} at ${manta?.url ?? ''}`)
                    : faulty(
                          'another host uses this Manta area',
                          `mget ${path}/run/owner.json`,
                          `${owner.host ?? 'unknown'}, last seen ${owner.time ?? 'unknown'}`,
                          'stop one of the two',
                      );
            } catch (error) {
                return faulty(
                    'Manta cannot be used',
                    cmd,
                    failureText(error),
                    'manta-env; imgapi-standalone-rotate-key --help',
                );
            } finally {
                objects?.close();
            }
        },
    };
}

/** The time somewhere else, in seconds as HTTP has it; `undefined`: nobody tells. */
async function timeAt(url: string): Promise<number | undefined> {
    const http = new HttpClient({
        config: { current: { maxSockets: 1, serverName: `imgapiadm/${VERSION}`, allowInsecure: true } },
        retryDelaysMs: [],
    });
    try {
        const request = { url, peer: 'image-server', signal: AbortSignal.timeout(LIMIT_MS) } as const;
        const { headers } = await http.bytes(request);
        return Date.parse(String(headers['date']));
    } catch (error) {
        // Also an answer that refuses has a date.
        const date = error instanceof OutgoingError ? error.headers['date'] : undefined;
        return date === undefined ? undefined : Date.parse(String(date));
    } finally {
        await http.close();
    }
}

function offsetResult(offsetMs: number): CheckResult {
    const seconds = Math.round(offsetMs / 1000);
    return Math.abs(offsetMs) > MAX_OFFSET_MS
        ? faulty(
              'the clock is wrong',
              'date; timedatectl',
              `it differs by ${seconds} s from that of Manta`,
              'signed requests are refused at 300 s',
          )
        : fine(`${seconds} s off`);
}

/** Compared with Manta's; without it, what the system says of its own clock. */
function clockCheck({ config }: StandaloneServer, environment: NodeJS.ProcessEnv): StatusCheck {
    const { manta } = config;
    return {
        name: 'clock',
        run: async () => {
            const there = manta === undefined ? undefined : await timeAt(manta.url);
            if (there !== undefined && !Number.isNaN(there)) {
                return offsetResult(Date.now() - there);
            }
            const program = programIn(environment, 'timedatectl');
            const args = ['show', '--property=NTPSynchronized', '--value'];
            const options = { timeoutMs: LIMIT_MS, environment };
            const said =
                program === undefined ? undefined : (await runProgram(program, args, options)).stdout.trim();
            return said === 'no'
                ? faulty(
                      'the clock is not synchronised',
                      'timedatectl',
                      'no time server is followed',
                      'signed requests are refused at 300 s',
                  )
                : fine(said === 'yes' ? 'synchronised' : 'nobody to compare it with');
        },
    };
}

const TIMER = 'imgapi-backup.timer';

/** One that is there, but does not run. */
function timerCheck(environment: NodeJS.ProcessEnv): StatusCheck {
    return {
        name: 'timer',
        run: async () => {
            const options = { timeoutMs: LIMIT_MS, environment };
            const enabled = (await runProgram('systemctl', ['is-enabled', TIMER], options)).stdout.trim();
            const active = (await runProgram('systemctl', ['is-active', TIMER], options)).stdout.trim();
            return enabled === 'enabled' && active !== 'active'
                ? faulty(
                      `${TIMER} is ${active}`,
                      `systemctl status ${TIMER}`,
                      'no backups are made',
                      `systemctl start ${TIMER}`,
                  )
                : fine(`${TIMER} ${active}`);
        },
    };
}

/** What others have to do with. */
export function outsideChecks(
    server: StandaloneServer,
    manager: ServiceManager | undefined,
    environment: NodeJS.ProcessEnv,
    log: Logger,
): readonly StatusCheck[] {
    return [
        ...(server.config.manta === undefined ? [] : [mantaCheck(server, log)]),
        clockCheck(server, environment),
        ...(manager?.name === 'systemd' ? [timerCheck(environment)] : []),
    ];
}
