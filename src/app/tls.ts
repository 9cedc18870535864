import type Logger from 'bunyan';
import type { Config, ConfigSource } from '../base/config-types.js';
import type { HttpServer } from '../http/server.js';
import { readTlsCredentials } from '../http/tls-credentials.js';
import { TlsListener } from '../http/tls-listener.js';

/** What the TLS side of a server works on. */
export interface TlsSideOptions {
    readonly config: ConfigSource;
    readonly http: HttpServer;
    readonly log: Logger;
}

/** The HTTPS listener of a server, if its configuration has one (operations 4.5). */
export class TlsSide {
    readonly #options: TlsSideOptions;
    #listener: TlsListener | undefined;

    constructor(options: TlsSideOptions) {
        this.#options = options;
    }

    /** When the certificate is not valid any more, milliseconds since the epoch; `undefined`: there is none. */
    get expiresAt(): number | undefined {
        return this.#listener?.expiresAt;
    }

    /**
     * Starts to listen, if the configuration asks for it.
     *
     * @returns where
     * @throws Error when certificate or key cannot be used; the system's error, e.g. `EADDRINUSE`
     */
    async open(): Promise<string | undefined> {
        const { config, http, log } = this.#options;
        const { tls, address }: Config = config.current;
        if (tls === undefined) {
            return undefined;
        }
        const credentials = await readTlsCredentials(tls);
        const onConnection = http.take.bind(http);
        const listener = new TlsListener({ credentials, log, onConnection });
        const host = tls.address ?? address;
        const port = await listener.listen(tls.port, host);
        http.attach(listener);
        this.#listener = listener;
        return `https://${host}:${port}`;
    }

    /** Reads certificate and key again; if they cannot be used, the old ones stay. Never rejects. */
    async renew(): Promise<void> {
        const { config, log } = this.#options;
        const { tls } = config.current;
        if (tls === undefined || this.#listener === undefined) {
            return;
        }
        try {
            this.#listener.renew(await readTlsCredentials(tls));
        } catch (error) {
            log.error({ err: error }, 'the TLS certificate could not be read again: the old one stays');
        }
    }
}
