import { withAccountKeys, type AccountKeysOptions } from '../../../accounts/ufds/account-keys.js';
import type { KeyPair } from '../../../auth/key-pair.js';
import { UUID_RE } from '../../../base/uuid.js';
import type { Datacenter } from './datacenter.js';

/** For taking a key back after a failure, or when told to stop, milliseconds. */
const UNDO_LIMIT_MS = 10_000;

/** The operator's account in the user database that all others follow. */
function adminAccount({ fact, signal }: Datacenter): AccountKeysOptions {
    const account = fact('ufds_admin_uuid');
    if (!UUID_RE.test(account)) {
        throw new Error(`SAPI's metadata "ufds_admin_uuid" is no UUID: ${account}`);
    }
    const host = fact('ufds_is_master') === 'true' ? fact('ufds_domain') : fact('ufds_remote_ip');
    const access = {
        url: `ldaps://${host}`,
        bindDN: fact('ufds_ldap_root_dn'),
        bindPassword: fact('ufds_ldap_root_pw'),
    };
    return { access, account, signal };
}

/** What the key of a datacenter is called in the operator's account (operations 3.1). */
export function keyNameOf({ fact }: Datacenter): string {
    return `${fact('datacenter_name')} imgapi key`;
}

/** Whether the operator's account has a key. @throws Error when the user database cannot be asked */
export async function isRegistered(datacenter: Datacenter, key: KeyPair): Promise<boolean> {
    return withAccountKeys(adminAccount(datacenter), (keys) => keys.has(key.publicKey));
}

/**
 * Gives a key to the operator's account unless it has it; others of its name stay where they may, as
 * servers use them.
 *
 * @returns takes it back if it was not there before; never rejects
 * @throws Error when the user database cannot be asked or refuses
 */
export async function registerKey(datacenter: Datacenter, key: KeyPair): Promise<() => Promise<void>> {
    const { log } = datacenter;
    const account = adminAccount(datacenter);
    const name = keyNameOf(datacenter);
    const facts = { ufds: account.access.url, account: account.account, key: name, keyId: key.fingerprint };
    const isNew = await withAccountKeys(account, (keys) => keys.register(name, key.publicKey));
    log.info(facts, isNew ? 'public key added to the account' : 'the account has the public key');
    return async () => {
        if (isNew) {
            const undo = { ...account, signal: AbortSignal.timeout(UNDO_LIMIT_MS) };
            await withAccountKeys(undo, (keys) => keys.remove(key.publicKey)).then(
                () => log.info(facts, 'public key taken back'),
                (err: unknown) => log.warn({ ...facts, err }, 'public key could not be taken back'),
            );
        }
    };
}

/** Removes all other keys of the same name. @throws as {@link registerKey} */
export async function removeOldKeys(datacenter: Datacenter, key: KeyPair): Promise<void> {
    const name = keyNameOf(datacenter);
    const removed = await withAccountKeys(adminAccount(datacenter), (keys) =>
        keys.keepOnly(name, key.publicKey),
    );
    if (removed.length > 0) {
        datacenter.log.info({ key: name, fingerprints: removed }, 'old public key removed from the account');
    }
}
