import { join } from 'node:path';
import type { BaseDirectories } from './config-types.js';

/** The layout below a base directory (backends 1.7, README table C). */
export function baseDirectories(base: string): BaseDirectories {
    return {
        base,
        manifests: join(base, 'manifests'),
        images: join(base, 'images'),
        archive: join(base, 'archive'),
        run: join(base, 'run'),
        deletes: join(base, 'run', 'deletes'),
        uploads: join(base, 'run', 'uploads'),
        clones: join(base, 'run', 'clones'),
        exports: join(base, 'run', 'exports'),
        staging: join(base, 'staging'),
        jobs: join(base, 'jobs'),
        sharing: join(base, 'sharing'),
        quarantine: join(base, 'quarantine'),
        trash: join(base, 'trash'),
        etc: join(base, 'etc'),
    };
}

/** Directory that spreads images over 4096 names: the first three characters of the uuid (backends 0). */
export function uuidPrefix(uuid: string): string {
    return uuid.slice(0, 3);
}
