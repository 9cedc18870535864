import type { ConfigSource } from '../base/config-types.js';
import type { HttpClient, OutgoingHttp } from '../base/http-client.js';

/** The HTTP client of the process. */
export interface Outgoing {
    readonly http: OutgoingHttp;
    /** Cuts all its connections. */
    close(): Promise<void>;
}

/** Makes the client when the first request needs it: many servers never ask another one. */
export function createOutgoing(config: ConfigSource): Outgoing {
    let client: Promise<HttpClient> | undefined;
    const load = async (): Promise<HttpClient> => {
        const { HttpClient } = await import('../base/http-client.js');
        return new HttpClient({ config });
    };
    return {
        http: () => (client ??= load()),
        close: async () => {
            await (await client)?.close();
        },
    };
}
