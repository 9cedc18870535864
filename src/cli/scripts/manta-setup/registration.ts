import {
    withAccountKeys,
    type AccountKeysOptions,
    type Registration,
} from '../../../accounts/ufds/account-keys.js';
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
 * servers use them, and those that must make room are remembered.
 *
 * @returns makes it as it was before; never rejects
 * @throws Error when the user database cannot be asked or refuses; then it is as before
 */
export async function registerKey(datacenter: Datacenter, key: KeyPair): Promise<() => Promise<void>> {
    const { log } = datacenter;
    const account = adminAccount(datacenter);
    const name = keyNameOf(datacenter);
    const facts = { ufds: account.access.url, account: account.account, key: name, keyId: key.fingerprint };
    const registration: Registration = { isNew: false, removed: [] };
    const takeBack = async (): Promise<void> => {
        const { isNew, removed } = registration;
        if (!isNew) {
            return;
        }
        const undo = { ...account, signal: AbortSignal.timeout(UNDO_LIMIT_MS) };
        await withAccountKeys(undo, (keys) => keys.unregister(key.publicKey, registration)).then(
            () => log.info(facts, 'public key taken back'),
            // Who reads this may have to add the removed ones by hand.
            (err: unknown) => log.warn({ ...facts, removed, err }, 'public key could not be taken back'),
        );
    };
    try {
        await withAccountKeys(account, (keys) => keys.register(name, key.publicKey, registration));
    } catch (error) {
        await takeBack();
        throw error;
    }
    const { isNew, removed } = registration;
    log.info(facts, isNew ? 'public key added to the account' : 'the account has the public key');
    if (removed.length > 0) {
        log.warn({ key: name, removed }, 'names of keys are unique: the old public key made room');
    }
    return takeBack;
}

/** Removes all other keys of the same name, told to stop or not. @throws as {@link registerKey} */
export async function removeOldKeys(datacenter: Datacenter, key: KeyPair): Promise<void> {
    const name = keyNameOf(datacenter);
    const account = { ...adminAccount(datacenter), signal: new AbortController().signal };
    const removed = await withAccountKeys(account, (keys) => keys.keepOnly(name, key.publicKey));
    if (removed.length > 0) {
        datacenter.log.info({ key: name, fingerprints: removed }, 'old public key removed from the account');
    }
}
