import { askServer, isPong, waitForPong } from '../../imgapiadm/ask-ping.js';
import type { ServiceManager } from '../../service-manager.js';

const PORT_RE = /^imgapi@(\d+)\.service$/;
/** Half a second apart. */
const TRIES = 120;

/** Where a process of the server answers: by port, or without one where the configuration says. */
export type UrlOfPort = (port: number | undefined) => string;

/** The processes of the server that a service manager runs. */
export class Instances {
    readonly #manager: ServiceManager | undefined;
    readonly #urlOf: UrlOfPort;

    /** @param manager absent: there is none that runs, and no process of it */
    constructor(manager: ServiceManager | undefined, urlOf: UrlOfPort) {
        this.#manager = manager;
        this.#urlOf = urlOf;
    }

    /** Names of those that run; the one that writes comes last, so that it is replaced but once. */
    async running(): Promise<readonly string[]> {
        const all = (await this.#manager?.instances()) ?? [];
        const names = all.filter(({ isRunning }) => isRunning).map(({ name }) => name);
        const writes = await Promise.all(
            names.map((name) => askServer(this.#url(name), '/ping?role=writer').then(isPong, () => false)),
        );
        return [...names.filter((_, index) => !writes[index]), ...names.filter((_, index) => writes[index])];
    }

    /** Starts a process anew, and waits until it answers. @throws Error if it does not */
    async restart(name: string): Promise<void> {
        await this.#manager?.stop([name]);
        await this.#manager?.start([name]);
        if (!(await waitForPong(this.#url(name), TRIES))) {
            throw new Error(`${name} does not answer on ${this.#url(name)}`);
        }
    }

    #url(name: string): string {
        const port = PORT_RE.exec(name)?.[1];
        return this.#urlOf(port === undefined ? undefined : Number(port));
    }
}
