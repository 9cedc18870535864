import ldap, { type SearchEntry } from 'ldapjs';
import type { LdapSession } from './ldap-session.js';

const { AndFilter, EqualityFilter, PresenceFilter } = ldap;

/** Where UFDS keeps its users (jobs-and-imports 10). */
export const USERS_BASE = 'ou=users, o=smartdc';

/** Asks for no attributes at all (RFC 4511 4.5.1.8). */
const NO_ATTRIBUTES = '1.1';

/** An account has one entry; the second place shows a directory that is not right, without an error. */
const SIZE_LIMIT = 2;

/** All values of an attribute; names have no case. */
export function valuesOf(entry: SearchEntry, name: string): readonly string[] {
    return entry.pojo.attributes
        .filter(({ type }) => type.toLowerCase() === name)
        .flatMap(({ values }) => values);
}

/**
 * Searches for an account (jobs-and-imports 10). The value goes as it is: filters have no syntax on
 * the wire that it could break.
 *
 * @returns its login, empty if it has none; `undefined`: there is no such account
 * @throws what the search throws
 */
export async function findLogin(session: LdapSession, uuid: string): Promise<string | undefined> {
    const entries = await session.search(USERS_BASE, {
        scope: 'one',
        filter: new AndFilter({
            filters: [
                new EqualityFilter({ attribute: 'objectclass', value: 'sdcperson' }),
                new EqualityFilter({ attribute: 'uuid', value: Buffer.from(uuid) }),
            ],
        }),
        sizeLimit: SIZE_LIMIT,
        attributes: ['uuid', 'login'],
    });
    const account = entries.find((entry) => valuesOf(entry, 'uuid').includes(uuid));
    return account && (valuesOf(account, 'login')[0] ?? '');
}

/** Checks that users can be searched for. @throws what the search throws */
export async function checkUsers(session: LdapSession): Promise<void> {
    await session.search(USERS_BASE, {
        scope: 'base',
        filter: new PresenceFilter({ attribute: 'objectclass' }),
        sizeLimit: 1,
        attributes: [NO_ATTRIBUTES],
    });
}
