import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import { serviceUnavailable } from '../../base/errors.js';
import type { AccountDirectory } from '../accounts.js';
import { UfdsConnection } from './connection.js';
import { FoundAccounts } from './found-accounts.js';
import type { LdapAccess } from './ldap-session.js';
import { UFDS_LIMITS, type UfdsLimits } from './limits.js';
import { OutageLog } from './outage-log.js';
import { hasAccount } from './search.js';

/** `Retry-After` while it cannot be asked, seconds. */
const RETRY_AFTER = 5;

/** What {@link UfdsAccounts} are made from. */
export interface UfdsAccountsOptions {
    /** `ufds` of the configuration. */
    readonly access: LdapAccess;
    readonly log: Logger;
    readonly clock: Clock;
    /** Other limits than {@link UFDS_LIMITS}. */
    readonly limits?: Partial<UfdsLimits>;
}

/** The accounts of a datacenter, as its UFDS knows them (jobs-and-imports 10). Nothing is connected yet. */
export class UfdsAccounts implements AccountDirectory {
    readonly #connection: UfdsConnection;
    readonly #found: FoundAccounts;
    readonly #maxLookups: number;
    /** Accounts that are being asked for; whoever needs the same one shares the answer. */
    readonly #asked = new Map<string, Promise<boolean>>();

    constructor(options: UfdsAccountsOptions) {
        const { access, clock } = options;
        const limits = { ...UFDS_LIMITS, ...options.limits };
        const log = options.log.child({ component: 'accounts', ufdsClient: true, url: access.url });
        this.#connection = new UfdsConnection({ access, limits, outages: new OutageLog(log, clock) });
        this.#found = new FoundAccounts(limits, clock);
        this.#maxLookups = limits.maxLookups;
    }

    async exists(uuid: string): Promise<boolean> {
        if (this.#found.has(uuid)) {
            return true;
        }
        try {
            return await (this.#asked.get(uuid) ?? this.#ask(uuid));
        } catch (error) {
            throw serviceUnavailable('user database is unavailable', RETRY_AFTER, error);
        }
    }

    ping(): Promise<void> {
        return this.#connection.ping();
    }

    close(): Promise<void> {
        return this.#connection.close();
    }

    #ask(uuid: string): Promise<boolean> {
        if (this.#asked.size >= this.#maxLookups) {
            throw new Error(`${this.#maxLookups} accounts are being asked for already`);
        }
        const asked = this.#lookUp(uuid).finally(() => this.#asked.delete(uuid));
        this.#asked.set(uuid, asked);
        return asked;
    }

    async #lookUp(uuid: string): Promise<boolean> {
        const isKnown = await this.#connection.ask((session) => hasAccount(session, uuid));
        if (isKnown) {
            this.#found.add(uuid);
        }
        return isKnown;
    }
}
