import type { ClientRequest, IncomingMessage } from 'node:http';
import httpSignature from 'http-signature';
import sshpk from 'sshpk';
import { MantaError } from './manta-error.js';

/** An account that a double knows. */
export interface MantaAccount {
    /** Public keys, each as a line of an SSH key file or as PEM. */
    readonly keys: readonly string[];
    /** May do everything in all accounts. */
    readonly operator?: boolean;
}

const CLOCK_SKEW_S = 300;
const KEY_ID = /^\/([^/]+)\/keys\/([^/]+)$/;

type Parsed = ReturnType<typeof httpSignature.parseRequest>;

interface KnownAccount {
    /** By their MD5 fingerprints. */
    readonly keys: Map<string, sshpk.Key>;
    readonly operator: boolean;
}

function parse(request: IncomingMessage): Parsed {
    try {
        // The declared type is a client's request; a server's is what the library reads.
        return httpSignature.parseRequest(request as unknown as ClientRequest, { clockSkew: CLOCK_SKEW_S });
    } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        throw new MantaError(400, 'InvalidHeader', `Authorization header invalid: ${message}`);
    }
}

function isSigned(parsed: Parsed, key: sshpk.Key): boolean {
    try {
        // The declared type is a key as text; a parsed one is accepted and saves parsing.
        return httpSignature.verifySignature(parsed, key as unknown as string);
    } catch {
        return false;
    }
}

function invalid(): MantaError {
    return new MantaError(
        403,
        'InvalidSignature',
        'The signature we calculated does not match the one you sent',
    );
}

/** Knows accounts and their keys, and which requests they have signed. */
export class Signatures {
    readonly #accounts: ReadonlyMap<string, KnownAccount>;

    constructor(accounts: Readonly<Record<string, MantaAccount>>) {
        this.#accounts = new Map(
            Object.entries(accounts).map(([name, { keys, operator = false }]) => [
                name,
                {
                    operator,
                    keys: new Map(
                        keys.map((text) => {
                            const key = sshpk.parseKey(text, 'auto');
                            return [key.fingerprint('md5').toString('hex'), key];
                        }),
                    ),
                },
            ]),
        );
    }

    /** Has an account know one more key. */
    addKey(name: string, text: string): void {
        const key = sshpk.parseKey(text, 'auto');
        this.#accounts.get(name)?.keys.set(key.fingerprint('md5').toString('hex'), key);
    }

    /** The account that signed a request and may touch the area of `owner`. @throws if there is none */
    authorize(request: IncomingMessage, owner: string): string {
        if (request.headers.authorization === undefined) {
            throw new MantaError(
                403,
                'AuthorizationFailed',
                `anonymous is not allowed to access ${request.url ?? ''}`,
            );
        }
        const parsed = parse(request);
        const [, name = '', fingerprint = ''] = KEY_ID.exec(parsed.params.keyId) ?? [];
        const account = this.#accounts.get(name);
        if (account === undefined) {
            throw new MantaError(403, 'AccountDoesNotExist', `${name} does not exist`);
        }
        const key = account.keys.get(fingerprint);
        if (key === undefined) {
            throw new MantaError(403, 'KeyDoesNotExist', `${parsed.params.keyId} does not exist`);
        }
        if (!isSigned(parsed, key)) throw invalid();
        if (!this.#accounts.has(owner)) {
            throw new MantaError(403, 'AccountDoesNotExist', `${owner} does not exist`);
        }
        if (owner !== name && !account.operator) {
            throw new MantaError(
                403,
                'AuthorizationFailed',
                `${name} is not allowed to access ${request.url ?? ''}`,
            );
        }
        return name;
    }
}
