import { readFile } from 'node:fs/promises';
import { isSettings, type Settings } from '../../../base/config-rules.js';
import { checkConfig } from '../../../base/config.js';
import { writeFileDurably } from '../../../base/durable-files.js';
import type { Owner } from '../offline/act-as-owner.js';

/** A configuration file with another key in it. */
export interface ChangedConfig {
    readonly before: string;
    readonly after: string;
}

/** Has a configuration name another key; nothing else in it changes. @throws Error when there is no `manta` in it */
export async function withKey(path: string, key: string, keyId: string): Promise<ChangedConfig> {
    const before = await readFile(path, 'utf8');
    const settings = JSON.parse(before) as Settings;
    const { manta } = settings;
    if (!isSettings(manta)) {
        throw new Error(`no "manta" in ${path}`);
    }
    const after = `${JSON.stringify({ ...settings, manta: { ...manta, key, keyId } }, null, 4)}\n`;
    return { before, after };
}

/** Replaces a configuration as one step. @throws Error when it is not valid then; it is as before */
export async function replaceConfig(
    path: string,
    { before, after }: ChangedConfig,
    owner: Owner | undefined,
): Promise<void> {
    await writeFileDurably(path, after, { owner });
    const [problem] = checkConfig(path);
    if (problem !== undefined) {
        await writeFileDurably(path, before, { owner });
        throw new Error(`the new configuration is not valid: ${problem}`);
    }
}
