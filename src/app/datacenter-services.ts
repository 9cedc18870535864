import type Logger from 'bunyan';
import type { AccountDirectory } from '../accounts/accounts.js';
import type { Clock } from '../base/clock.js';
import type { Config, ConfigSource } from '../base/config-types.js';
import type { OutgoingHttp } from '../base/http-client.js';
import type { InstanceDirectory } from '../remotes/instances.js';

/** The services of a datacenter that the use-cases ask; each absent where it is not configured. */
export interface DatacenterServices {
    readonly accounts?: AccountDirectory;
    readonly instances?: InstanceDirectory;
    /** Ends every connection; no call follows. */
    close(): Promise<void>;
}

/** What the services are made from. */
export interface DatacenterServicesOptions {
    readonly config: ConfigSource;
    readonly log: Logger;
    readonly clock: Clock;
    readonly http: OutgoingHttp;
}

async function userDatabase(
    access: NonNullable<Config['ufds']>,
    { log, clock }: DatacenterServicesOptions,
): Promise<AccountDirectory> {
    const { UfdsAccounts } = await import('../accounts/ufds/ufds-accounts.js');
    return new UfdsAccounts({ access, log, clock });
}

/** Loads the libraries of those services only that are configured; nothing is connected yet. */
export async function createDatacenterServices(
    options: DatacenterServicesOptions,
): Promise<DatacenterServices> {
    const { config } = options;
    const { mode, ufds, vmapi } = config.current;
    // Only mode dc has accounts (http-api 3.3).
    const accounts = mode === 'dc' && ufds !== undefined ? await userDatabase(ufds, options) : undefined;
    const close = async (): Promise<void> => accounts?.close();
    if (vmapi?.url === undefined || vmapi.url === '') {
        return { ...(accounts === undefined ? {} : { accounts }), close };
    }
    const { VmapiDirectory } = await import('../remotes/vmapi/vmapi.js');
    return {
        ...(accounts === undefined ? {} : { accounts }),
        instances: new VmapiDirectory({ http: options.http, url: vmapi.url }),
        close,
    };
}
