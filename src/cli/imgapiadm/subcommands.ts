import { checkFilesCommand } from './check-files.js';
import type { Subcommand } from './command.js';
import { exportManifests } from './export-manifests.js';
import { fsckCommand } from './fsck.js';
import { gc } from './gc.js';
import { importManifests } from './import-manifests.js';
import { migrateStor } from './migrate-stor.js';
import { mirrorCommand } from './mirror.js';
import { orphans } from './orphans.js';
import { reindexCommand } from './reindex.js';

/** Everything `imgapiadm` can do. */
export const SUBCOMMANDS: readonly Subcommand[] = [
    checkFilesCommand,
    exportManifests,
    fsckCommand,
    gc,
    importManifests,
    migrateStor,
    mirrorCommand,
    orphans,
    reindexCommand,
];
