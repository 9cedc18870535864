import { checkFilesCommand } from './check-files.js';
import type { Subcommand } from './command.js';
import { fsckCommand } from './fsck.js';
import { gc } from './gc.js';
import { migrateStor } from './migrate-stor.js';
import { mirrorCommand } from './mirror.js';
import { orphans } from './orphans.js';

/** Everything `imgapiadm` can do. */
export const SUBCOMMANDS: readonly Subcommand[] = [
    checkFilesCommand,
    fsckCommand,
    gc,
    migrateStor,
    mirrorCommand,
    orphans,
];
