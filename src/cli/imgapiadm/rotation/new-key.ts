import { readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeKeyPair, readKeyPair, type KeyPair } from '../../../auth/key-pair.js';
import { writeFileDurably } from '../../../base/durable-files.js';
import { timeStamp } from '../../../base/time-stamp.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Owner } from '../offline/act-as-owner.js';
import { ownedDirectory } from '../offline/own-directory.js';

/** Ending of private keys; the public half has `.pub` behind it. */
const ENDING = '.id_ecdsa';
const PRIVATE_MODE = 0o600;

/** A key that is not in use yet. */
export interface NewKey {
    /** Name of its file. */
    readonly name: string;
    readonly pair: KeyPair;
}

/** Writes both halves, the private one last: with it the key is complete. */
export async function writeKey(
    directory: string,
    { name, pair }: NewKey,
    owner: Owner | undefined,
): Promise<string> {
    const path = join(directory, name);
    await writeFileDurably(`${path}.pub`, `${pair.publicKey.trim()}\n`, { owner });
    await writeFileDurably(path, `${pair.privateKey.trimEnd()}\n`, { owner, mode: PRIVATE_MODE });
    return path;
}

/**
 * The key of a rotation that was broken off, if there is one: its public half may be in the account already.
 *
 * @throws Error for a key that cannot be read
 */
async function waitingKey(directory: string): Promise<NewKey | undefined> {
    const names = (await unlessMissing(readdir(directory))) ?? [];
    const name = names
        .filter((each) => each.endsWith(ENDING))
        .sort()
        .at(-1);
    return name === undefined ? undefined : { name, pair: await readKeyPair(join(directory, name)) };
}

/**
 * The key to go on with: one that waits in `newinstkey`, else a fresh one that is put there.
 *
 * @param used fingerprint of the key in use, which is not new any more
 */
export async function newKeyIn(
    directory: string,
    used: string,
    owner: Owner | undefined,
): Promise<NewKey & { readonly isFresh: boolean }> {
    const waiting = await waitingKey(directory);
    if (waiting !== undefined && waiting.pair.fingerprint !== used) {
        return { ...waiting, isFresh: false };
    }
    await rm(directory, { recursive: true, force: true });
    await ownedDirectory(directory, owner);
    const stem = `imgapi-${hostname()}-${timeStamp(Date.now())}`;
    const made = { name: `${stem}${ENDING}`, pair: makeKeyPair(stem) };
    await writeKey(directory, made, owner);
    return { ...made, isFresh: true };
}
