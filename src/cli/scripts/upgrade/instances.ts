import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { HttpClient } from '../../../base/http-client.js';
import { runProgram } from '../../run-program.js';

/** systemd says so itself with this directory. */
const RUNNING_SYSTEMD = '/run/systemd/system';
const UNIT_RE = /^imgapi@(\d+)\.service$/;
/** A process that stops lets requests end, for up to 15 minutes by its unit. */
const RESTART_LIMIT_MS = 20 * 60_000;
const LIST_LIMIT_MS = 30_000;
const PING_LIMIT_MS = 3_000;
const ANSWER_LIMIT_MS = 60_000;
const PAUSE_MS = 200;

/** Where processes of the server answer: by port. */
export type UrlOfPort = (port: number) => string;

/** The processes of the server that systemd runs. */
export class Instances {
    readonly #urlOf: UrlOfPort;
    readonly #http = new HttpClient({
        // It is on this machine: what its certificate says is for others.
        config: { current: { maxSockets: 1, serverName: 'imgapi-upgrade', allowInsecure: true } },
        retryDelaysMs: [],
    });

    constructor(urlOf: UrlOfPort) {
        this.#urlOf = urlOf;
    }

    /** Ports of those that run; the one that writes comes last, so that it is replaced but once. */
    async running(): Promise<readonly number[]> {
        if (!existsSync(RUNNING_SYSTEMD)) {
            return [];
        }
        const args = ['list-units', '--state=active', '--plain', '--no-legend', 'imgapi@*.service'];
        const { status, stdout, stderr } = await runProgram('systemctl', args, { timeoutMs: LIST_LIMIT_MS });
        if (status !== 0) {
            throw new Error(`could not ask systemd what runs: ${stderr.trim()}`);
        }
        const ports = stdout
            .split('\n')
            .map((line) => Number(UNIT_RE.exec(line.split(' ', 1)[0] ?? '')?.[1]))
            .filter((port) => port > 0);
        const writes = await Promise.all(ports.map((port) => this.#answers(port, '?role=writer')));
        return [...ports.filter((_, index) => !writes[index]), ...ports.filter((_, index) => writes[index])];
    }

    /** Starts a process anew, and waits until it answers. @throws Error if it does not */
    async restart(port: number): Promise<void> {
        const unit = `imgapi@${port}.service`;
        const { status, stderr } = await runProgram('systemctl', ['restart', unit], {
            timeoutMs: RESTART_LIMIT_MS,
        });
        if (status !== 0) {
            throw new Error(`${unit} does not start: ${stderr.trim()}`);
        }
        const end = Date.now() + ANSWER_LIMIT_MS;
        while (!(await this.#answers(port))) {
            if (Date.now() > end) {
                throw new Error(`${unit} does not answer on ${this.#urlOf(port)}`);
            }
            await delay(PAUSE_MS);
        }
    }

    /** Lets go of what was used to ask. */
    close(): Promise<void> {
        return this.#http.close();
    }

    async #answers(port: number, query = ''): Promise<boolean> {
        const url = `${this.#urlOf(port)}/ping${query}`;
        try {
            await this.#http.json({ url, peer: 'image-server', signal: AbortSignal.timeout(PING_LIMIT_MS) });
            return true;
        } catch {
            return false;
        }
    }
}
