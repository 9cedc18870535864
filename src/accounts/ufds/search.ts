import ldap, { type SearchEntry } from 'ldapjs';
import type { LdapSession } from './ldap-session.js';

const { AndFilter, EqualityFilter, PresenceFilter } = ldap;

/** Where UFDS keeps its users (jobs-and-imports 10). */
const USERS_BASE = 'ou=users, o=smartdc';

/** Asks for no attributes at all (RFC 4511 4.5.1.8). */
const NO_ATTRIBUTES = '1.1';

/** An account has one entry; the second place shows a directory that is not right, without an error. */
const SIZE_LIMIT = 2;

function hasUuid(entry: SearchEntry, uuid: string): boolean {
    return entry.pojo.attributes.some(
        ({ type, values }) => type.toLowerCase() === 'uuid' && values.includes(uuid),
    );
}

/**
 * Searches for an account (jobs-and-imports 10). The value goes as it is: filters have no syntax on
 * the wire that it could break.
 *
 * @throws what the search throws
 */
export async function hasAccount(session: LdapSession, uuid: string): Promise<boolean> {
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
    return entries.some((entry) => hasUuid(entry, uuid));
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
