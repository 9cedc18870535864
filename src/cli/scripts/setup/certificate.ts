import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import sshpk from 'sshpk';

/** How long a self-signed certificate is valid: as long as clients accept (operations 3.2). */
const VALID_DAYS = 825;
const DAY_MS = 86_400_000;
/** Clocks of clients may be a little behind. */
const EARLIER_MS = 3_600_000;
const SERIAL_BYTES = 16;
const HOST_RE = /^(?=.{1,253}$)(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9-]{1,63})*$/i;

/** Whether a text can stand for a host in a certificate. */
export function isHostName(text: string): boolean {
    return HOST_RE.test(text);
}

/** A serial number: positive, as the sign would be the first bit. */
function serialNumber(): Buffer {
    const serial = randomBytes(SERIAL_BYTES);
    serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
    return serial;
}

/**
 * Makes an ECDSA key and a certificate that it has signed itself.
 *
 * @param hosts names clients use, one at least
 * @returns the certificate followed by its key, as `cert.pem` has them
 */
export function makeCertificate(hosts: readonly string[], now: number): string {
    const { privateKey } = generateKeyPairSync('ec', {
        namedCurve: 'prime256v1',
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    const certificate = sshpk.createSelfSignedCertificate(
        hosts.map((host) => sshpk.identityForHost(host)),
        sshpk.parsePrivateKey(privateKey, 'auto'),
        {
            serial: serialNumber(),
            validFrom: new Date(now - EARLIER_MS),
            validUntil: new Date(now - EARLIER_MS + VALID_DAYS * DAY_MS),
            purposes: ['serverAuth'],
        },
    );
    return `${certificate.toString('pem').trimEnd()}\n${privateKey.trimEnd()}\n`;
}

const CERTIFICATE_RE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/;

/** The first certificate of a PEM text. @throws Error when there is none */
export function certificateOf(pem: string): X509Certificate {
    const [first] = CERTIFICATE_RE.exec(pem) ?? [];
    if (first === undefined) {
        throw new Error('there is no certificate in it');
    }
    return new X509Certificate(first);
}
