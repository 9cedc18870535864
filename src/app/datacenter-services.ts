import type Logger from 'bunyan';
import type { AccountDirectory } from '../accounts/accounts.js';
import type { Clock } from '../base/clock.js';
import type { Config, ConfigSource } from '../base/config-types.js';
import type { OutgoingHttp } from '../base/http-client.js';
import type { ComputeNodeDirectory } from '../remotes/compute-nodes.js';
import type { InstanceDirectory } from '../remotes/instances.js';

/** The services of a datacenter that the use-cases ask; each absent where it is not configured. */
export interface DatacenterServices {
    readonly accounts?: AccountDirectory;
    readonly instances?: InstanceDirectory;
    readonly computeNodes?: ComputeNodeDirectory;
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

async function instanceDirectory({
    config,
    http,
}: DatacenterServicesOptions): Promise<InstanceDirectory | undefined> {
    const { vmapi } = config.current;
    if (vmapi?.url === undefined || vmapi.url === '') {
        return undefined;
    }
    const { VmapiDirectory } = await import('../remotes/vmapi/vmapi.js');
    return new VmapiDirectory({ http, url: vmapi.url });
}

async function computeNodeDirectory({
    config,
    http,
}: DatacenterServicesOptions): Promise<ComputeNodeDirectory | undefined> {
    const { cnapi } = config.current;
    if (cnapi?.url === undefined || cnapi.url === '') {
        return undefined;
    }
    const { CnapiDirectory } = await import('../remotes/cnapi/cnapi.js');
    return new CnapiDirectory({ http, url: cnapi.url });
}

/** Loads the libraries of those services only that are configured; nothing is connected yet. */
export async function createDatacenterServices(
    options: DatacenterServicesOptions,
): Promise<DatacenterServices> {
    const { mode, ufds } = options.config.current;
    // Only mode dc has accounts (http-api 3.3).
    const accounts = mode === 'dc' && ufds !== undefined ? await userDatabase(ufds, options) : undefined;
    const instances = await instanceDirectory(options);
    const computeNodes = await computeNodeDirectory(options);
    return {
        ...(accounts === undefined ? {} : { accounts }),
        ...(instances === undefined ? {} : { instances }),
        ...(computeNodes === undefined ? {} : { computeNodes }),
        close: async () => accounts?.close(),
    };
}
