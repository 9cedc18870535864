import { askServer, isPong, waitForPong } from '../../imgapiadm/ask-ping.js';
import type { ServerAddress } from '../../imgapiadm/server-access.js';
import type { ServiceManager } from '../../service-manager.js';

const PORT_RE = /^imgapi@(\d+)\.service$/;
/** Half a second apart. */
const TRIES = 120;

/** Where a process of the server answers: by port, or without one where the configuration says. */
export type AddressOfPort = (port: number | undefined) => ServerAddress;

/** The processes of the server that a service manager runs. */
export class Instances {
    readonly #manager: ServiceManager | undefined;
    readonly #addressOf: AddressOfPort;

    /** @param manager absent: there is none that runs, and no process of it */
    constructor(manager: ServiceManager | undefined, addressOf: AddressOfPort) {
        this.#manager = manager;
        this.#addressOf = addressOf;
    }

    /** Names of those that run; the one that writes comes last, so that it is replaced but once. */
    async running(): Promise<readonly string[]> {
        const all = (await this.#manager?.instances()) ?? [];
        const names = all.filter(({ isRunning }) => isRunning).map(({ name }) => name);
        const writes = await Promise.all(
            names.map((name) =>
                askServer(this.#address(name), '/ping?role=writer').then(isPong, () => false),
            ),
        );
        return [...names.filter((_, index) => !writes[index]), ...names.filter((_, index) => writes[index])];
    }

    /** Starts a process anew, and waits until it answers. @throws Error if it does not */
    async restart(name: string): Promise<void> {
        await this.#manager?.stop([name]);
        await this.#manager?.start([name]);
        if (!(await waitForPong(this.#address(name), TRIES))) {
            throw new Error(`${name} does not answer on ${this.#address(name).url}`);
        }
    }

    #address(name: string): ServerAddress {
        const port = PORT_RE.exec(name)?.[1];
        return this.#addressOf(port === undefined ? undefined : Number(port));
    }
}
