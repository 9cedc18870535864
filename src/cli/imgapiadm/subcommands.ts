import { backupCommand } from './backup.js';
import { checkConfigCommand } from './check-config.js';
import { checkFilesCommand } from './check-files.js';
import type { Subcommand } from './command.js';
import { configCommand } from './config.js';
import { datasetGuid } from './dataset-guid.js';
import { diffCommand } from './diff.js';
import { exportManifests } from './export-manifests.js';
import { fsckCommand } from './fsck.js';
import { gc } from './gc.js';
import { importManifests } from './import-manifests.js';
import { migrateStor } from './migrate-stor.js';
import { mirrorCommand } from './mirror.js';
import { orphans } from './orphans.js';
import { reindexCommand } from './reindex.js';
import { repair } from './repair.js';
import { restoreCommand } from './restore.js';
import { rotateKeyCommand } from './rotate-key.js';
import { statusCommand } from './status.js';
import { statsCommand } from './stats.js';
import { unlockCommand } from './unlock.js';

/** Everything `imgapiadm` can do. */
export const SUBCOMMANDS: readonly Subcommand[] = [
    backupCommand,
    checkConfigCommand,
    checkFilesCommand,
    configCommand,
    datasetGuid,
    diffCommand,
    exportManifests,
    fsckCommand,
    gc,
    importManifests,
    migrateStor,
    mirrorCommand,
    orphans,
    reindexCommand,
    repair,
    restoreCommand,
    rotateKeyCommand,
    statusCommand,
    statsCommand,
    unlockCommand,
];
