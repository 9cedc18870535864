import { makeKeyPair, readKeyPair, type KeyPair } from '../../../auth/key-pair.js';
import { messageOf } from '../../../base/errors.js';
import { UnclearChange } from '../../../remotes/sapi/sapi.js';
import { firstLoadBalancer } from '../../../remotes/vmapi/load-balancer.js';
import { verifyAccess } from './access.js';
import { rootDirOf, type Datacenter } from './datacenter.js';
import { isRegistered, keyNameOf, registerKey, removeOldKeys } from './registration.js';
import {
    MANTA_KEYS,
    missingKeys,
    neededChanges,
    settingsOf,
    shownSettings,
    type MantaSettings,
} from './settings.js';

/** Stands for the load balancer of a Manta in the same datacenter. */
export const FIRST_LOAD_BALANCER = 'FIRST-LB';

/** The application that a Manta in this datacenter belongs to. */
const MANTA_APPLICATION = 'manta';

/** A Manta that shares the accounts of the datacenter. */
export interface OwnManta {
    /** Or {@link FIRST_LOAD_BALANCER}. */
    readonly url: string;
    readonly insecure: boolean;
    readonly remote: boolean;
    /** A new key even if there is one. */
    readonly force: boolean;
    /** How long to wait for access, seconds. */
    readonly waitSeconds: number;
}

/** A Manta with accounts of its own. */
export interface ExternalManta {
    readonly url: string;
    readonly user: string;
    /** File with the private key; the public one is beside it. */
    readonly keyPath: string;
    readonly insecure: boolean;
    readonly waitSeconds: number;
}

async function resolveUrl({ sapi, http, signal, fact, log }: Datacenter, url: string): Promise<string> {
    if (url !== FIRST_LOAD_BALANCER) {
        return url;
    }
    const { owner } = await sapi.application(MANTA_APPLICATION);
    if (owner === undefined) {
        throw new Error(`SAPI tells no owner of application "${MANTA_APPLICATION}"`);
    }
    const vmapi = `http://${fact('VMAPI_SERVICE')}`;
    const address = await firstLoadBalancer({ http, url: vmapi, owner, signal });
    log.info({ address }, 'found a load balancer of Manta');
    return `https://${address}`;
}

/** The key that is in use, if it is one of this user. @throws Error when it will not do */
function keyInUse({ service, log }: Datacenter, user: string): KeyPair | undefined {
    let current: MantaSettings | undefined;
    try {
        current = settingsOf(service.metadata);
    } catch (cause) {
        const reason = messageOf(cause);
        throw new Error(`${reason}; --force makes a new key`, { cause });
    }
    if (current !== undefined && current.user !== user) {
        log.info({ user: current.user }, 'the key in use belongs to another user');
    }
    return current?.user === user ? current.key : undefined;
}

/** Tells SAPI what is new. @throws Error when SAPI does not take it */
async function applySettings({ sapi, service, log }: Datacenter, settings: MantaSettings): Promise<void> {
    const changes = neededChanges(service.metadata, settings);
    const keys = Object.keys(changes);
    if (keys.length === 0) {
        log.info(shownSettings(settings), 'the metadata of the service are as they must be');
        return;
    }
    await sapi.updateMetadata(service.uuid, changes);
    log.info({ ...shownSettings(settings), changed: keys }, 'metadata of the service updated');
}

/**
 * Connects the servers of a datacenter to a Manta that shares its accounts (operations 3.1). What is in
 * use works until the new settings have been seen to work: the old key goes last.
 *
 * @throws Error; nothing that is in use has changed, unless SAPI was told of the new settings
 */
export async function setUpManta(datacenter: Datacenter, wish: OwnManta): Promise<void> {
    const { log } = datacenter;
    const { insecure, remote, force, waitSeconds } = wish;
    const url = await resolveUrl(datacenter, wish.url);
    const user = datacenter.adminLogin();
    const old = force ? undefined : keyInUse(datacenter, user);
    const key = old ?? makeKeyPair(keyNameOf(datacenter));
    log.info({ keyId: key.fingerprint }, old === undefined ? 'made a new key' : 'the key in use stays');
    const settings = { url, user, insecure, remote, key };
    const takeBack = await registerKey(datacenter, key);
    try {
        await verify(datacenter, settings, waitSeconds);
        await applySettings(datacenter, settings);
    } catch (error) {
        // The new key may be in use when nobody knows.
        if (!(error instanceof UnclearChange)) {
            await takeBack();
        }
        throw error;
    }
    await removeOldKeys(datacenter, key);
}

/** Connects the servers of a datacenter to a Manta that knows them by an account of its own (operations 3.1). */
export async function setUpExternalManta(datacenter: Datacenter, wish: ExternalManta): Promise<void> {
    const { url, user, keyPath, insecure, waitSeconds } = wish;
    const key = await readKeyPair(keyPath);
    const settings = { url, user, insecure, remote: true, key };
    await verify(datacenter, settings, waitSeconds);
    await applySettings(datacenter, settings);
}

async function verify(datacenter: Datacenter, settings: MantaSettings, waitSeconds: number): Promise<void> {
    const { log, signal } = datacenter;
    const rootDir = rootDirOf(datacenter, settings.user);
    await verifyAccess({ settings, rootDir, waitSeconds, signal, log });
}

/**
 * Looks whether the servers of a datacenter can use the Manta that they are told of.
 *
 * @throws Error that says what is wrong
 */
export async function showStatus(datacenter: Datacenter): Promise<void> {
    const { service, log } = datacenter;
    const missing = missingKeys(service.metadata);
    if (missing.length === MANTA_KEYS.length) {
        throw new Error('no Manta is set up');
    }
    const settings = settingsOf(service.metadata);
    if (settings === undefined) {
        throw new Error(`the set-up is not complete: ${missing.join(', ')} missing`);
    }
    log.info(shownSettings(settings), 'Manta is set up');
    if (settings.user === datacenter.adminLogin() && !(await isRegistered(datacenter, settings.key))) {
        throw new Error(`${settings.user} does not have the key ${settings.key.fingerprint}`);
    }
    await verify(datacenter, settings, 0);
}

/** Has the servers of a datacenter forget Manta; objects and keys there stay. */
export async function removeSetup({ sapi, service, log }: Datacenter): Promise<void> {
    const present = MANTA_KEYS.filter((key) => service.metadata[key] !== undefined);
    if (present.length === 0) {
        log.info('no Manta is set up');
        return;
    }
    await sapi.deleteMetadata(service.uuid, present);
    log.warn(
        { removed: present },
        'Manta removed from the service: images whose files are there cannot be read',
    );
}
