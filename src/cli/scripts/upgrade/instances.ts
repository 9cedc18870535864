import { setTimeout as delay } from 'node:timers/promises';
import { HttpClient } from '../../../base/http-client.js';
import type { ServiceManager } from '../../service-manager.js';

const PORT_RE = /^imgapi@(\d+)\.service$/;
const PING_LIMIT_MS = 3_000;
const ANSWER_LIMIT_MS = 60_000;
const PAUSE_MS = 200;

/** Where a process of the server answers: by port, or without one where the configuration says. */
export type UrlOfPort = (port: number | undefined) => string;

/** The processes of the server that a service manager runs. */
export class Instances {
    readonly #manager: ServiceManager | undefined;
    readonly #urlOf: UrlOfPort;
    readonly #http = new HttpClient({
        // It is on this machine: what its certificate says is for others.
        config: { current: { maxSockets: 1, serverName: 'imgapi-upgrade', allowInsecure: true } },
        retryDelaysMs: [],
    });

    /** @param manager absent: there is none that runs, and no process of it */
    constructor(manager: ServiceManager | undefined, urlOf: UrlOfPort) {
        this.#manager = manager;
        this.#urlOf = urlOf;
    }

    /** Names of those that run; the one that writes comes last, so that it is replaced but once. */
    async running(): Promise<readonly string[]> {
        const all = (await this.#manager?.instances()) ?? [];
        const names = all.filter(({ isRunning }) => isRunning).map(({ name }) => name);
        const writes = await Promise.all(names.map((name) => this.#answers(name, '?role=writer')));
        return [...names.filter((_, index) => !writes[index]), ...names.filter((_, index) => writes[index])];
    }

    /** Starts a process anew, and waits until it answers. @throws Error if it does not */
    async restart(name: string): Promise<void> {
        await this.#manager?.stop([name]);
        await this.#manager?.start([name]);
        const end = Date.now() + ANSWER_LIMIT_MS;
        while (!(await this.#answers(name))) {
            if (Date.now() > end) {
                throw new Error(`${name} does not answer on ${this.#url(name)}`);
            }
            await delay(PAUSE_MS);
        }
    }

    /** Lets go of what was used to ask. */
    close(): Promise<void> {
        return this.#http.close();
    }

    #url(name: string): string {
        const port = PORT_RE.exec(name)?.[1];
        return this.#urlOf(port === undefined ? undefined : Number(port));
    }

    async #answers(name: string, query = ''): Promise<boolean> {
        const url = `${this.#url(name)}/ping${query}`;
        try {
            await this.#http.json({ url, peer: 'image-server', signal: AbortSignal.timeout(PING_LIMIT_MS) });
            return true;
        } catch {
            return false;
        }
    }
}
