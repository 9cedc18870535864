import type Logger from 'bunyan';
import { systemClock } from '../base/clock.js';
import type { ConfigSource } from '../base/config-types.js';
import { ProxyListener } from '../http/proxy-listener.js';
import type { HttpServer } from '../http/server.js';

/** What the plain listener of a server works on. */
export interface PlainSideOptions {
    readonly config: ConfigSource;
    readonly http: HttpServer;
    readonly log: Logger;
}

/**
 * Starts to listen without TLS, if the configuration asks for it: by the server itself, or by a listener for
 * the PROXY protocol in its place (operations 4.8).
 *
 * @returns where
 * @throws the system's error, e.g. `EADDRINUSE`
 */
export async function openPlain({ config, http, log }: PlainSideOptions): Promise<string | undefined> {
    const { tls, port, address, proxyProtocol } = config.current;
    if (tls?.only === true) {
        return undefined;
    }
    if (!proxyProtocol) {
        return `http://${address}:${await http.listen(port, address)}`;
    }
    const onConnection = http.take.bind(http);
    const listener = new ProxyListener({ config, log, clock: systemClock, onConnection });
    const taken = await listener.listen(port, address);
    http.attach(listener);
    return `http://${address}:${taken}`;
}
