import { isSettings, settingAt, type Settings } from './config-rules.js';

/** Keys of configuration files from before 3.0.0 and what took their place (operations 5.5). */
const OLD_KEYS: readonly (readonly [old: string, replacement: string])[] = [
    ['auth.type', 'authType'],
    ['auth.keys', 'authKeys'],
    ['storage.local', 'storageTypes (with "local") and dataDir'],
    ['storage.manta', 'storageTypes (with "manta") and manta'],
    ['database.type', 'databaseType'],
    ['database.dir', 'dataDir'],
];

/** Top-level keys that only files from before 3.0.0 have. */
export const OLD_TOP_KEYS: readonly string[] = [
    ...new Set(OLD_KEYS.map(([old]) => old.split('.')[0] ?? old)),
];

/** One line for each old key of a file, naming the new one; such keys are ignored by a start. */
export function oldFormProblems(file: Settings): string[] {
    const found = OLD_KEYS.filter(([old]) => settingAt(file, old) !== undefined).map(
        ([old, replacement]) => `config.${old} is not read any more: use ${replacement}`,
    );
    const bare = OLD_TOP_KEYS.filter((key) => key in file && !isSettings(file[key])).map(
        (key) => `config.${key} is not read any more`,
    );
    return [...found, ...bare];
}
