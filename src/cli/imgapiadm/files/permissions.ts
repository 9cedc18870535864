import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseDirectories } from '../../../base/config-types.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { FileFinding } from '../../../maintenance/files/finding.js';
import { LocalFileArea } from '../../../maintenance/files/local-file-area.js';
import { modeOf, ServiceUser } from '../../../maintenance/files/service-user.js';

const ROOT = 0;

/** What keeps the server from its files and records: found and put right before this process becomes its user. */
export interface Permissions {
    readonly findings: readonly FileFinding[];
    /** Gives a path to the server's user, with the mode it would have made it with. */
    fix(finding: FileFinding): Promise<void>;
}

/** Directories of which each entry matters to the server. */
const OTHERS = ['manifests'] as const satisfies readonly (keyof BaseDirectories)[];

async function ofFiles(area: LocalFileArea, uuids?: readonly string[]): Promise<FileFinding[]> {
    const findings: FileFinding[] = [];
    const ofImage = async (uuid: string): Promise<void> => {
        for (const place of await area.places(uuid)) {
            for (const { found, detail, commands } of area.problems(place)) {
                // Root changes nothing that a link leads to: the commands are for who has made it.
                if (found.isLinked === true) {
                    continue;
                }
                const { stor, path } = found;
                findings.push({ kind: 'permission', stor, path, detail, found, commands, uuid });
            }
        }
    };
    if (uuids !== undefined) {
        for (const uuid of uuids) {
            await ofImage(uuid);
        }
        return findings;
    }
    const { prefixes, old } = await area.top();
    for (const uuid of old) {
        await ofImage(uuid);
    }
    for (const prefix of prefixes) {
        const shelf = await area.prefix(prefix);
        const { problem } = shelf;
        if (problem !== undefined) {
            const { found, detail, commands } = problem;
            const { stor, path } = found;
            findings.push({ kind: 'permission', stor, path, detail, found, commands });
        }
        for (const uuid of shelf.uuids) {
            await ofImage(uuid);
        }
    }
    return findings;
}

async function ofOthers(directories: BaseDirectories, user: ServiceUser): Promise<FileFinding[]> {
    const findings: FileFinding[] = [];
    for (const key of OTHERS) {
        const directory = directories[key];
        for (const name of (await unlessMissing(readdir(directory))) ?? []) {
            const path = join(directory, name);
            const facts = await unlessMissing(lstat(path));
            if (facts?.isFile() === true && !user.mayUse(facts, 'file')) {
                const detail = `owner ${facts.uid}:${facts.gid}: user ${user.uid} cannot read it`;
                const commands = user.commands(path, facts, 'file');
                findings.push({ kind: 'permission', stor: 'local', path, detail, commands });
            }
        }
    }
    return findings;
}

/**
 * What keeps the server from its files, for root, who can do something about it; `undefined` for others, and
 * where root is the server's user.
 *
 * @param uuids only these images; absent: all, and records
 */
export async function rootPermissions(
    directories: BaseDirectories,
    uuids?: readonly string[],
): Promise<Permissions | undefined> {
    const user = await ServiceUser.of(directories.base);
    if (process.getuid?.() !== ROOT || user.uid === ROOT) {
        return undefined;
    }
    const files = await ofFiles(new LocalFileArea(directories, user), uuids);
    return {
        findings: [...files, ...(uuids === undefined ? await ofOthers(directories, user) : [])],
        fix: async ({ path, found }) => {
            // Not through a link that has taken its place.
            const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
            try {
                await handle.chown(user.uid, user.gid);
                await handle.chmod(modeOf(found?.type === 'directory' ? 'directory' : 'file'));
            } finally {
                await handle.close();
            }
        },
    };
}
