import { loadConfig } from '../../base/config.js';
import type { BaseDirectories, Config } from '../../base/config-types.js';
import { baseDirectories } from '../../base/directories.js';

/** A server that is no datacenter's, as its configuration says. */
export interface StandaloneServer {
    readonly configPath: string;
    readonly config: Config;
    readonly directories: BaseDirectories;
}

/** Reads the configuration of a standalone server. @throws Error as `loadConfig`, and for a datacenter's */
export function readStandaloneServer(configPath: string): StandaloneServer {
    const config = loadConfig(configPath);
    if (config.mode === 'dc') {
        throw new Error(
            `${configPath} is of a datacenter's image server (mode "dc"), which has its own ways to do this`,
        );
    }
    return { configPath, config, directories: baseDirectories(config.dataDir) };
}

/** Where backups are in the Manta area of a server. */
export function backupRoot({ manta }: Config): string {
    return `${manta?.rootDir ?? ''}/backup`;
}
