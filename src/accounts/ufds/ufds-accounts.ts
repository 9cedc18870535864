import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import { serviceUnavailable } from '../../base/errors.js';
import type { AccountDirectory } from '../accounts.js';
import { UfdsConnection } from './connection.js';
import { FoundAccounts } from './found-accounts.js';
import type { LdapAccess } from './ldap-session.js';
import { UFDS_LIMITS, type UfdsLimits } from './limits.js';
import { OutageLog } from './outage-log.js';
import { findLogin } from './search.js';

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
    readonly #asked = new Map<string, Promise<string | undefined>>();

    constructor(options: UfdsAccountsOptions) {
        const { access, clock } = options;
        const limits = { ...UFDS_LIMITS, ...options.limits };
        const log = options.log.child({ component: 'accounts', ufdsClient: true, url: access.url });
        this.#connection = new UfdsConnection({ access, limits, outages: new OutageLog(log, clock) });
        this.#found = new FoundAccounts(limits, clock);
        this.#maxLookups = limits.maxLookups;
    }

    async exists(uuid: string): Promise<boolean> {
        return (await this.login(uuid)) !== undefined;
    }

    async login(uuid: string): Promise<string | undefined> {
        try {
            return this.#found.login(uuid) ?? (await (this.#asked.get(uuid) ?? this.#ask(uuid)));
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

    #ask(uuid: string): Promise<string | undefined> {
        if (this.#asked.size >= this.#maxLookups) {
            throw new Error(`${this.#maxLookups} accounts are being asked for already`);
        }
        const asked = this.#lookUp(uuid).finally(() => this.#asked.delete(uuid));
        this.#asked.set(uuid, asked);
        return asked;
    }

    async #lookUp(uuid: string): Promise<string | undefined> {
        const login = await this.#connection.ask((session) => findLogin(session, uuid));
        if (login !== undefined) {
            this.#found.add(uuid, login);
        }
        return login;
    }
}
