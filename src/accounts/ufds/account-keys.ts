import ldap from 'ldapjs';
import sshpk from 'sshpk';
import { within } from '../../base/within.js';
import { LdapSession, type LdapAccess } from './ldap-session.js';
import { USERS_BASE, valuesOf } from './search.js';

const { AndFilter, EqualityFilter } = ldap;

/** For connecting, and for all questions of one {@link withAccountKeys}, milliseconds. */
const LIMIT_MS = 30_000;

/** Result codes of a directory that wants names, or keys, to be unique (RFC 4511 appendix A). */
const TAKEN: ReadonlySet<unknown> = new Set([
    19, // constraintViolation
    68, // entryAlreadyExists
]);

/** A key of an account. */
export interface AccountKey {
    /** Where the directory has it. */
    readonly dn: string;
    /** MD5 form, as the directory names keys. */
    readonly fingerprint: string;
    readonly name: string;
    /** A line of an SSH key file. */
    readonly publicKey: string;
}

/** What {@link AccountKeys.register} has done, or has begun when it failed. */
export interface Registration {
    /** Whether the key was not there before. */
    isNew: boolean;
    /** Keys that made room for it. */
    removed: readonly AccountKey[];
}

/** Whose keys are wanted, and where they are. */
export interface AccountKeysOptions {
    readonly access: LdapAccess;
    /** UUID of the account. */
    readonly account: string;
    /** Gives up when aborted. */
    readonly signal: AbortSignal;
    /** Other than 30 s, milliseconds. */
    readonly limitMs?: number;
}

/** Whether the directory refuses an entry because of another one. */
function isTaken(error: unknown): boolean {
    return error instanceof Error && 'code' in error && TAKEN.has(error.code);
}

function fingerprintOf(key: sshpk.Key): string {
    return key.fingerprint('md5').toString('hex');
}

/** The keys of an account in the user database (operations 3.1), on one connection. */
export class AccountKeys {
    readonly #session: LdapSession;
    readonly #base: string;

    constructor(session: LdapSession, account: string) {
        this.#session = session;
        this.#base = `uuid=${account}, ${USERS_BASE}`;
    }

    /** Whether the account has a key, whatever its name. */
    async has(publicKey: string): Promise<boolean> {
        return (await this.#equal(publicKey)).length > 0;
    }

    /**
     * Adds a key unless the account has it. Others of its name stay, as they may be in use; where no two
     * may have one name they make room.
     *
     * @param registration told of each change before it is asked for, as its answer may not come
     */
    async register(name: string, publicKey: string, registration: Registration): Promise<void> {
        if (await this.has(publicKey)) {
            return;
        }
        registration.isNew = true;
        try {
            await this.#add(name, publicKey);
        } catch (error) {
            const others = isTaken(error) ? await this.#others(name, publicKey) : [];
            if (others.length === 0) {
                throw error;
            }
            registration.removed = others;
            await this.#removeAll(others);
            await this.#add(name, publicKey);
        }
    }

    /** Undoes {@link register}, however far it came. */
    async unregister(publicKey: string, { isNew, removed }: Registration): Promise<void> {
        if (isNew) {
            await this.#removeAll(await this.#equal(publicKey));
        }
        for (const old of removed) {
            if (!(await this.has(old.publicKey))) {
                await this.#add(old.name, old.publicKey);
            }
        }
    }

    /** Removes all keys of a name but one; tells the fingerprints of those removed. */
    async keepOnly(name: string, publicKey: string): Promise<readonly string[]> {
        const others = await this.#others(name, publicKey);
        await this.#removeAll(others);
        return others.map(({ fingerprint }) => fingerprint);
    }

    async #others(name: string, publicKey: string): Promise<readonly AccountKey[]> {
        const kept = fingerprintOf(sshpk.parseKey(publicKey, 'ssh'));
        return (await this.#search('name', name)).filter(({ fingerprint }) => fingerprint !== kept);
    }

    #equal(publicKey: string): Promise<readonly AccountKey[]> {
        return this.#search('fingerprint', fingerprintOf(sshpk.parseKey(publicKey, 'ssh')));
    }

    async #add(name: string, publicKey: string): Promise<void> {
        const key = sshpk.parseKey(publicKey, 'ssh');
        const fingerprint = fingerprintOf(key);
        await this.#session.add(`fingerprint=${fingerprint}, ${this.#base}`, {
            objectclass: ['sdckey'],
            name: [name],
            fingerprint: [fingerprint],
            openssh: [publicKey],
            pkcs: [key.toString('pkcs8')],
        });
    }

    async #removeAll(keys: readonly AccountKey[]): Promise<void> {
        for (const { dn } of keys) {
            await this.#session.remove(dn);
        }
    }

    async #search(attribute: string, value: string): Promise<readonly AccountKey[]> {
        const entries = await this.#session.search(this.#base, {
            scope: 'one',
            filter: new AndFilter({
                filters: [
                    new EqualityFilter({ attribute: 'objectclass', value: 'sdckey' }),
                    new EqualityFilter({ attribute, value }),
                ],
            }),
            attributes: ['fingerprint', 'name', 'openssh'],
        });
        return entries.map((entry) => ({
            dn: entry.pojo.objectName,
            fingerprint: valuesOf(entry, 'fingerprint')[0] ?? '',
            name: valuesOf(entry, 'name')[0] ?? '',
            publicKey: valuesOf(entry, 'openssh')[0] ?? '',
        }));
    }
}

/** Says where it was that something failed; the directory's own messages are often its codes alone. */
function failureOf(error: unknown, url: string): Error {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    const reason = name === 'Error' || message.startsWith(name) ? message : `${name}: ${message}`;
    return new Error(`user database ${url}: ${reason}`, { cause: error });
}

/**
 * Does something with the keys of an account, and gives up after a while.
 *
 * @throws Error that names the directory
 */
export async function withAccountKeys<T>(
    { access, account, signal, limitMs = LIMIT_MS }: AccountKeysOptions,
    task: (keys: AccountKeys) => Promise<T>,
): Promise<T> {
    try {
        const session = await LdapSession.open(access, limitMs, signal);
        const abort = (): void => session.destroy();
        signal.addEventListener('abort', abort);
        try {
            return await within(limitMs, task(new AccountKeys(session, account)));
        } finally {
            signal.removeEventListener('abort', abort);
            await session.end();
        }
    } catch (error) {
        signal.throwIfAborted();
        throw failureOf(error, access.url);
    }
}
