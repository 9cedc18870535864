import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceManager } from '../../service-manager.js';
import { askServer, isPong, type Answer } from '../ask-ping.js';
import { failureText } from '../failure-text.js';
import { addressOfConfig, type ServerAddress } from '../server-access.js';
import type { StandaloneServer } from '../standalone-config.js';
import { faulty, fine, type CheckResult, type Fault, type StatusCheck } from './fault.js';

const LOG = 'the log of the server: journalctl -u "imgapi@*", or svcs -L imgapi';

/** What the service manager says of the server's processes. */
export function serviceCheck(manager: ServiceManager): StatusCheck {
    return {
        name: 'service',
        run: async () => {
            const instances = await manager.instances();
            const faults: Fault[] = instances
                .filter(({ isRunning }) => !isRunning)
                .map(({ name, state }) => ({
                    state: `${name} is ${state}`,
                    cmd: manager.statusCommand(name),
                    info: `${manager.name} does not run it`,
                    see: LOG,
                }));
            if (instances.length === 0) {
                const state = `${manager.name} knows no image server`;
                return faulty(
                    state,
                    manager.statusCommand('imgapi'),
                    'it does not start with the machine',
                    'imgapi-standalone-setup',
                );
            }
            return { faults, facts: instances.map(({ name, state }) => `${name} ${state}`).join(', ') };
        },
    };
}

async function ask(
    state: string,
    address: ServerAddress,
    path: string,
    isGood: (answer: Answer) => boolean,
): Promise<CheckResult> {
    const { url, proxyProtocol } = address;
    const cmd = `curl -k ${proxyProtocol === true ? '--haproxy-protocol ' : ''}${url}${path}`;
    try {
        const answer = await askServer(address, path);
        return isGood(answer)
            ? fine(`${url}${path}: ${answer.status}`)
            : faulty(state, cmd, `it answers ${answer.status}, but not as an image server does`, LOG);
    } catch (error) {
        return faulty(state, cmd, failureText(error), LOG);
    }
}

function isList({ status, body }: Answer): boolean {
    return status === 200 && Array.isArray(body);
}

const HTTPS_BIND = /^\s*bind\s+\S*:(\d+)\s+ssl\b/m;
const HITCH_PORT = /^\s*port\s*=\s*"(\d+)"/m;

/** The port on which a front server set up for this server speaks TLS. */
function frontPort(etc: string): number | undefined {
    const portIn = (name: string, pattern: RegExp): number | undefined => {
        const path = join(etc, name);
        const port = existsSync(path) ? pattern.exec(readFileSync(path, 'utf8'))?.[1] : undefined;
        return port === undefined ? undefined : Number(port);
    };
    return portIn('hitch.conf', HITCH_PORT) ?? portIn('haproxy.cfg', HTTPS_BIND);
}

/** Where the server, or one before it, speaks TLS; `undefined`: nowhere that is known of. */
function httpsUrl({ config, directories }: StandaloneServer): string | undefined {
    const { tls } = config;
    if (tls !== undefined) {
        return addressOfConfig({ ...config, tls: { ...tls, only: true } }).url;
    }
    const port = frontPort(directories.etc);
    return port === undefined ? undefined : `https://127.0.0.1:${port}`;
}

/** Whether the server answers, on each way to it. */
export function answerChecks(server: StandaloneServer): readonly StatusCheck[] {
    const { tls } = server.config;
    const https = httpsUrl(server);
    const own = addressOfConfig(server.config);
    const http: readonly StatusCheck[] =
        tls?.only === true
            ? []
            : [{ name: 'http', run: () => ask('the server does not answer', own, '/ping', isPong) }];
    const overTls = https === undefined ? undefined : { url: https };
    return [
        ...http,
        ...(overTls === undefined
            ? []
            : [{ name: 'https', run: () => ask('no answer over TLS', overTls, '/ping', isPong) }]),
        {
            name: 'images',
            run: () => ask('images cannot be listed', overTls ?? own, '/images?limit=1', isList),
        },
    ];
}
