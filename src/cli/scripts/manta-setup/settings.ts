import { isFingerprintOf, keyPairOf, type KeyPair } from '../../../auth/key-pair.js';
import type { Metadata } from '../../../remotes/sapi/answers.js';

/** How all servers of a datacenter reach Manta. */
export interface MantaSettings {
    readonly url: string;
    readonly user: string;
    /** TLS certificates go unchecked. */
    readonly insecure: boolean;
    /** It is far away. */
    readonly remote: boolean;
    readonly key: KeyPair;
}

/** Metadata of the service that the templates of the configuration read (operations 3.1, 4.2). */
const KEYS = {
    url: 'IMGAPI_MANTA_URL',
    user: 'IMGAPI_MANTA_USER',
    insecure: 'IMGAPI_MANTA_INSECURE',
    remote: 'IMGAPI_MANTA_REMOTE',
    privateKey: 'IMGAPI_PRIVATE_KEY',
    publicKey: 'IMGAPI_PUBLIC_KEY',
    keyId: 'IMGAPI_KEY_ID',
} as const;

/** Names of all of them. */
export const MANTA_KEYS: readonly string[] = Object.values(KEYS);

/** Those that are not set. */
export function missingKeys(metadata: Metadata): readonly string[] {
    return MANTA_KEYS.filter((key) => [undefined, null, ''].includes(metadata[key] as string | undefined));
}

function textOf(value: unknown): string {
    return typeof value === 'string' ? value : JSON.stringify(value);
}

/** SAPI may have switches as text. */
function isOn(value: unknown): boolean {
    return value === true || value === 'true';
}

/**
 * The settings in metadata; `undefined`: some are missing.
 *
 * @throws Error when the keys in them will not do
 */
export function settingsOf(metadata: Metadata): MantaSettings | undefined {
    if (missingKeys(metadata).length > 0) {
        return undefined;
    }
    const key = keyPairOf(
        {
            privateKey: textOf(metadata[KEYS.privateKey]),
            publicKey: textOf(metadata[KEYS.publicKey]),
        },
        KEYS,
    );
    return {
        url: textOf(metadata[KEYS.url]),
        user: textOf(metadata[KEYS.user]),
        insecure: isOn(metadata[KEYS.insecure]),
        remote: isOn(metadata[KEYS.remote]),
        key,
    };
}

function metadataOf({ url, user, insecure, remote, key }: MantaSettings): Metadata {
    return {
        [KEYS.url]: url,
        [KEYS.user]: user,
        [KEYS.insecure]: insecure,
        [KEYS.remote]: remote,
        [KEYS.privateKey]: key.privateKey,
        [KEYS.publicKey]: key.publicKey,
        [KEYS.keyId]: key.fingerprint,
    };
}

/** Whether a value says what is wanted: switches may be text, fingerprints have several forms. */
function saysSame(key: string, value: unknown, wanted: unknown, publicKey: string): boolean {
    const text = String(value).trimEnd();
    return text === String(wanted) || (key === KEYS.keyId && isFingerprintOf(text, publicKey));
}

/** What has to change in metadata for these settings. */
export function neededChanges(metadata: Metadata, settings: MantaSettings): Metadata {
    return Object.fromEntries(
        Object.entries(metadataOf(settings)).filter(
            ([key, wanted]) => !saysSame(key, metadata[key], wanted, settings.key.publicKey),
        ),
    );
}

/** Settings as they may be shown. */
export function shownSettings({ url, user, insecure, remote, key }: MantaSettings): object {
    return { url, user, insecure, remote, keyId: key.fingerprint };
}
