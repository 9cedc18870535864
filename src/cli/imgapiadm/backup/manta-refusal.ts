import { readFile } from 'node:fs/promises';
import type { MantaConfig } from '../../../base/config-types.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { ObjectStoreError } from '../../../remotes/object-store.js';

/** Whether Manta does not know the key, or the account may not do this. */
export function isRefusal(error: unknown): error is ObjectStoreError {
    return error instanceof ObjectStoreError && (error.status === 401 || error.status === 403);
}

/** With what Manta was asked, and how it learns of the key; nothing secret. */
export async function accessLines({ url, user, key, keyId }: MantaConfig): Promise<readonly string[]> {
    const publicKey = await unlessMissing(readFile(`${key}.pub`, 'utf8'));
    return [
        `    url:   ${url}`,
        `    user:  ${user}`,
        `    keyId: ${keyId}`,
        `    key:   ${key}`,
        `Add the public key to the account ${user}, as one of its administrators, for example:`,
        `    sdc-sshkey create ${user} ${key}.pub       (with the tools of a datacenter)`,
        `    triton key add --name imgapi ${key}.pub    (as the account itself)`,
        ...(publicKey === undefined ? [] : ['The public key:', `    ${publicKey.trim()}`]),
    ];
}
