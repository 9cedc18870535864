import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_CONFIG_PATH } from './base/config.js';
import { baseDirectory } from './base/config-computed.js';
import { isSettings } from './base/config-rules.js';
import * as constants from './base/constants.js';
import { baseDirectories } from './base/directories.js';
import { printedValue } from './cli/print-value.js';
import { keyQuestion } from './cli/scripts/key-question.js';
import { runScript } from './cli/scripts/script.js';

/** `dataDir` of the default configuration file counts; without a readable one the built-in value does. */
function localBase(): string {
    let settings: unknown;
    try {
        settings = JSON.parse(readFileSync(DEFAULT_CONFIG_PATH, 'utf8'));
    } catch {
        // Scripts ask before the file is written, too.
    }
    return baseDirectory(isSettings(settings) ? settings : {}, process.env);
}

function allConstants(): Readonly<Record<string, unknown>> {
    const directories = baseDirectories(localBase());
    return {
        LOCAL_BASE_DIR: directories.base,
        DATABASE_LOCAL_DIR: directories.manifests,
        STORAGE_LOCAL_IMAGES_DIR: directories.images,
        STORAGE_LOCAL_ARCHIVE_DIR: directories.archive,
        AUTHKEYS_BASE_DIR: join(directories.etc, 'authkeys'),
        MAX_ICON_SIZE: constants.MAX_ICON_SIZE,
        MAX_ICON_SIZE_STR: constants.MAX_ICON_SIZE_STR,
        MAX_IMAGE_SIZE: constants.MAX_IMAGE_SIZE,
        MAX_IMAGE_SIZE_STR: constants.MAX_IMAGE_SIZE_STR,
        MAX_ORIGIN_DEPTH: constants.MAX_ORIGIN_DEPTH,
        UNSET_OWNER_UUID: constants.UNSET_OWNER_UUID,
        VALID_FILE_COMPRESSIONS: constants.VALID_FILE_COMPRESSIONS,
        VALID_STORAGES: constants.VALID_STORAGES,
    };
}

/* Prints the constants, or one of them, for operator scripts (backends 1.6, 1.7). */
const CONSTANTS = keyQuestion({
    name: 'lib/constants.js',
    summary: 'Print constants of the server.',
    description: ['Prints the constants of the server, or the one named KEY.'],
    options: [],
    examples: ['node lib/constants.js DATABASE_LOCAL_DIR'],
    answer: (_parsed, key) => {
        const all = allConstants();
        const shown = key === undefined ? all : Object.hasOwn(all, key) ? all[key] : undefined;
        process.stdout.write(`${printedValue(shown)}\n`);
        return 0;
    },
});

process.exitCode = await runScript(CONSTANTS, process.argv.slice(2));
