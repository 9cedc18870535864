import { createHash } from 'node:crypto';
import sshpk from 'sshpk';
import type { Test } from 'tap';
import type { MantaClient } from '../doubles/manta/client.js';
import type { MantaDouble } from '../doubles/manta/manta-double.js';
import type { Answer } from './http-client.js';
import { HttpClient } from './http-client.js';
import { mantaClient, startManta, type MantaPlace, type MantaPlaceOptions } from './manta-place.js';
import { createKey, type SigningKey } from './signing.js';

/** A key of an account as requests to Manta are signed with it. */
export function rawKey(account: string, key: SigningKey = createKey(account)): SigningKey {
    const fingerprint = sshpk.parseKey(key.publicLine, 'auto').fingerprint('md5').toString('hex');
    return { ...key, user: `/${account}/keys/${fingerprint}` };
}

export function md5(bytes: Buffer | string): string {
    return createHash('md5').update(bytes).digest('base64');
}

/** Code and status of an error. */
export function codeOf(answer: Answer): string {
    return `${answer.status} ${answer.error.code}`;
}

/** A double, the real client library of `admin`, and a client for what that does not do. */
export interface MantaBench extends MantaPlace {
    readonly double: MantaDouble;
    readonly client: MantaClient;
    /** Signs as an operator. */
    readonly raw: HttpClient;
}

/** Starts a double for a test of the double. */
export async function mantaBench(t: Test, options: MantaPlaceOptions = {}): Promise<MantaBench> {
    const key = rawKey('ops');
    const accounts = { ops: { keys: [key.publicLine], operator: true }, ...options.accounts };
    const place = await startManta(t, { ...options, accounts });
    return { ...place, client: mantaClient(t, place.config), raw: new HttpClient(place.double.port, key) };
}
