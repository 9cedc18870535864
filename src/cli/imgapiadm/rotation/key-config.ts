import { readFile, realpath, stat } from 'node:fs/promises';
import { isSettings, type Settings } from '../../../base/config-rules.js';
import { checkConfig } from '../../../base/config.js';
import { writeFileDurably, type NewFile } from '../../../base/durable-files.js';
import type { Owner } from '../offline/act-as-owner.js';
import { requireNoLinks } from '../offline/own-directory.js';

/** A configuration file with another key in it. */
export interface ChangedConfig {
    readonly before: string;
    readonly after: string;
    /** Where the file is, links followed. */
    readonly path: string;
    /** What it is like, and is to stay: secrets are in it. */
    readonly file: NewFile;
}

/** Whether this process may make files of another user, or group. */
function mayGive({ uid, gid }: Owner): boolean {
    const own = process.getuid?.();
    return (
        own === 0 ||
        (own === uid && (process.getgid?.() === gid || process.getgroups?.().includes(gid) === true))
    );
}

/**
 * Has a configuration name another key; nothing else in it changes.
 *
 * @param owner whose links are not followed, as `requireNoLinks` says
 * @throws Error when there is no `manta` in it; LinkInTheWayError
 */
export async function withKey(
    configPath: string,
    key: string,
    keyId: string,
    owner: Owner | undefined,
): Promise<ChangedConfig> {
    await requireNoLinks(configPath, owner);
    const path = await realpath(configPath);
    const { mode, uid, gid } = await stat(path);
    const before = await readFile(path, 'utf8');
    const settings = JSON.parse(before) as Settings;
    const { manta } = settings;
    if (!isSettings(manta)) {
        throw new Error(`no "manta" in ${configPath}`);
    }
    const after = `${JSON.stringify({ ...settings, manta: { ...manta, key, keyId } }, null, 4)}\n`;
    const file = { mode: mode & 0o777, ...(mayGive({ uid, gid }) ? { owner: { uid, gid } } : {}) };
    return { before, after, path, file };
}

/** Replaces a configuration as one step. @throws Error when it is not valid then; it is as before */
export async function replaceConfig({ path, before, after, file }: ChangedConfig): Promise<void> {
    await writeFileDurably(path, after, file);
    const [problem] = checkConfig(path);
    if (problem !== undefined) {
        await writeFileDurably(path, before, file);
        throw new Error(`the new configuration is not valid: ${problem}`);
    }
}
