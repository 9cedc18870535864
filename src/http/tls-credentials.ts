import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { TlsConfig } from '../base/config-types.js';
import { messageOf } from '../base/errors.js';

/** What a TLS listener shows its clients, checked. */
export interface TlsCredentials {
    readonly context: SecureContextOptions;
    /** When the first certificate of the chain is not valid any more, milliseconds since the epoch. */
    readonly expiresAt: number;
}

const CERTIFICATE_RE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/;

function failure(what: string, path: string, cause: unknown): Error {
    const reason = messageOf(cause);
    return new Error(`config.${what} ${path}: ${reason}`, { cause });
}

async function readText(what: 'tls.cert' | 'tls.key', path: string): Promise<string> {
    return readFile(path, 'utf8').catch((error: unknown) => {
        throw failure(what, path, error);
    });
}

function expiryOf(chain: string): number {
    const [first] = CERTIFICATE_RE.exec(chain) ?? [];
    if (first === undefined) {
        throw new Error('there is no certificate in it');
    }
    return Date.parse(new X509Certificate(first).validTo);
}

/**
 * Reads certificate and key as the configuration names them (operations 4.5). The key may be in the file of
 * the certificate.
 *
 * @throws Error that says which file cannot be read or used, or that the two do not belong together
 */
export async function readTlsCredentials(tls: TlsConfig): Promise<TlsCredentials> {
    const cert = await readText('tls.cert', tls.cert);
    const key = tls.key === undefined ? cert : await readText('tls.key', tls.key);
    const { minVersion, ciphers } = tls;
    const context = { cert, key, minVersion, ...(ciphers === undefined ? {} : { ciphers }) };
    try {
        const expiresAt = expiryOf(cert);
        createSecureContext(context);
        return { context, expiresAt };
    } catch (error) {
        throw failure('tls.cert', tls.cert, error);
    }
}
