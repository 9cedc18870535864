import { chmod, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { writeFileDurably } from '../../../base/durable-files.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Owner } from '../offline/act-as-owner.js';
import { ownedDirectory, requireNoLinks } from '../offline/own-directory.js';
import type { Files } from './backup-files.js';
import { SEALED } from './etc-files.js';
import { ETC, isOfEtc } from './manta-tree.js';
import type { RestoreSource } from './restore-source.js';
import { isInside, unseal, type EtcFile } from './sealed-etc.js';

/** Below `etc`: what the backup has of files that are there already, with other bytes. */
const ASIDE = 'restored';
const PRIVATE_MODE = 0o640;

/** What is needed to restore `etc`. */
export interface EtcRestore {
    /** The directory. */
    readonly etc: string;
    readonly source: RestoreSource;
    /** Everything in the backup. */
    readonly files: Files;
    /** Absent: what is encrypted stays so. */
    readonly passphrase: string | undefined;
    readonly owner: Owner | undefined;
    readonly onNote: (text: string) => void;
}

async function bytesOf(source: RestoreSource, path: string): Promise<Buffer> {
    let bytes = Buffer.alloc(0);
    await source.read(path, async ({ chunks }) => {
        bytes = await buffer(chunks);
    });
    return bytes;
}

/** @returns where the file is now; `undefined`: it was there already */
async function putFile({ etc, owner }: EtcRestore, file: EtcFile): Promise<string | undefined> {
    await requireNoLinks(join(etc, file.path), owner);
    const present = await unlessMissing(readFile(join(etc, file.path)));
    if (present?.equals(file.bytes) === true) {
        return undefined;
    }
    const path = join(etc, ...(present === undefined ? [] : [ASIDE]), file.path);
    await ownedDirectory(dirname(path), owner);
    await writeFileDurably(path, file.bytes, { mode: file.mode, owner });
    await chmod(path, file.mode);
    return path;
}

/** What the backup has of `etc`, decrypted. @throws Error when it cannot be decrypted */
async function readBackup(restore: EtcRestore): Promise<readonly EtcFile[]> {
    const { source, files, passphrase, onNote } = restore;
    const open: EtcFile[] = [];
    for (const path of [...files.keys()].filter(isOfEtc)) {
        if (!isInside(path)) {
            throw new Error(`the backup has a file of etc outside of it: ${path}`);
        }
        if (path !== SEALED) {
            const bytes = await bytesOf(source, path);
            open.push({ path: path.slice(ETC.length + 1), mode: PRIVATE_MODE, mtimeMs: 0, bytes });
        } else if (passphrase === undefined) {
            onNote(`${SEALED} of the backup stays encrypted: see --passphrase-file`);
        } else {
            open.push(...(await unseal(await bytesOf(source, path), passphrase)));
        }
    }
    return open;
}

/**
 * Restores settings and keys. What is there already stays: a new server has keys and a configuration of its
 * own. What the backup has of such files is put beside them.
 *
 * @returns how many files were written
 * @throws Error when the source fails, or the passphrase is another
 */
export async function restoreEtc(restore: EtcRestore): Promise<number> {
    let written = 0;
    for (const file of await readBackup(restore)) {
        const path = await putFile(restore, file);
        if (path !== undefined) {
            written += 1;
            if (path !== join(restore.etc, file.path)) {
                restore.onNote(
                    `${join(restore.etc, file.path)} stays; what the backup has of it is in ${path}`,
                );
            }
        }
    }
    return written;
}
