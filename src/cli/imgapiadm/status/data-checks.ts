import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from '../../../base/unless-missing.js';
import { isRestored, markerPath } from '../runs/run-status.js';
import { bytesText, countText } from '../../../base/quantities.js';
import type { StandaloneServer } from '../standalone-config.js';
import { faulty, fine, type StatusCheck } from './fault.js';

/** As `/health` does (operations 1.6). */
const MIN_FREE_SHARE = 0.1;
const MIN_DAYS = 14;
const DAY_MS = 86_400_000;

const CERTIFICATE_RE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/;

function restoredCheck({ directories }: StandaloneServer): StatusCheck {
    const path = markerPath(directories);
    return {
        name: 'restored',
        run: async () =>
            (await isRestored(directories))
                ? fine(path)
                : faulty(
                      'nothing was restored yet, so no backups are made',
                      `ls ${path}`,
                      'there is no such file',
                      'imgapi-standalone-restore --help',
                  ),
    };
}

function spaceCheck({ directories }: StandaloneServer): StatusCheck {
    const path = directories.base;
    return {
        name: 'space',
        run: async () => {
            const { bavail, blocks, bsize, ffree, files } = await statfs(path);
            const see = 'imgapiadm stats; imgapiadm gc --help';
            if (bavail < blocks * MIN_FREE_SHARE) {
                return faulty(
                    'there is little free space',
                    `df -h ${path}`,
                    `${bytesText(bavail * bsize)} of ${bytesText(blocks * bsize)} are free`,
                    see,
                );
            }
            if (ffree < files * MIN_FREE_SHARE) {
                return faulty(
                    'there are few free inodes',
                    `df -i ${path}`,
                    `${ffree} of ${files} are free`,
                    see,
                );
            }
            return fine(`${bytesText(bavail * bsize)} free`);
        },
    };
}

function certificateCheck({ config, directories }: StandaloneServer): StatusCheck {
    const path = config.tls?.cert ?? join(directories.etc, 'cert.pem');
    return {
        name: 'tls',
        run: async () => {
            const text = await readFile(path, 'utf8');
            const expiresAt = Date.parse(new X509Certificate(CERTIFICATE_RE.exec(text)?.[0] ?? text).validTo);
            const days = Math.floor((expiresAt - Date.now()) / DAY_MS);
            const cmd = `openssl x509 -noout -enddate -in ${path}`;
            const until = new Date(expiresAt).toISOString();
            return days < MIN_DAYS
                ? faulty(
                      days < 0 ? 'the TLS certificate has ended' : 'the TLS certificate ends soon',
                      cmd,
                      `it is valid until ${until}`,
                      'renew it, then reload what speaks TLS',
                  )
                : fine(`until ${until}`);
        },
    };
}

async function linesOfKeys(directory: string): Promise<number> {
    const names = ((await unlessMissing(readdir(directory))) ?? []).filter((name) => name.endsWith('.keys'));
    const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
    return texts.flatMap((text) => text.split('\n').filter((line) => /^\s*[^#\s]/.test(line))).length;
}

function keysCheck({ config, directories }: StandaloneServer): StatusCheck {
    const places = ['authkeys', 'keys'].flatMap((name) =>
        ['local', 'manta'].map((source) => join(directories.etc, name, source)),
    );
    return {
        name: 'authkeys',
        run: async () => {
            const inFiles = await Promise.all(places.map(linesOfKeys));
            const inConfig = Object.values(config.authKeys ?? {}).map((keys) => keys.length);
            const count = [...inFiles, ...inConfig].reduce((sum, each) => sum + each, 0);
            return count === 0
                ? faulty(
                      'nobody can sign requests',
                      `ls ${places[0] ?? ''}`,
                      'there are no keys of users',
                      `put SSH public keys into ${join(places[0] ?? '', 'USER.keys')}`,
                  )
                : fine(countText(count, 'key'));
        },
    };
}

/** What can be seen without the server. */
export function dataChecks(server: StandaloneServer): readonly StatusCheck[] {
    const { config, directories } = server;
    const hasCertificate = config.tls !== undefined || existsSync(join(directories.etc, 'cert.pem'));
    return [
        spaceCheck(server),
        ...(config.authType === 'signature' ? [keysCheck(server)] : []),
        ...(hasCertificate ? [certificateCheck(server)] : []),
        restoredCheck(server),
    ];
}
