import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A key and a certificate it has signed itself, as PEM texts; made with openssl. */
export function selfSigned(commonName: string): { readonly certificate: string; readonly key: string } {
    const altName = `${isIP(commonName) === 0 ? 'DNS' : 'IP'}:${commonName}`;
    const directory = mkdtempSync(join(tmpdir(), 'imgapi-test-tls-'));
    try {
        const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
        execFileSync(
            'openssl',
            [
                'req',
                '-x509',
                '-newkey',
                'rsa:2048',
                '-nodes',
                '-days',
                '2',
                '-subj',
                `/CN=${commonName}`,
                '-addext',
                `subjectAltName=${altName}`,
            ].concat(['-keyout', key, '-out', certificate]),
            { stdio: 'ignore' },
        );
        return { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') };
    } finally {
        rmSync(directory, { recursive: true, force: true });
    }
}
