import type { Subcommand } from './command.js';
import { fsckCommand } from './fsck.js';
import { migrateStor } from './migrate-stor.js';
import { mirrorCommand } from './mirror.js';

/** Everything `imgapiadm` can do. */
export const SUBCOMMANDS: readonly Subcommand[] = [fsckCommand, migrateStor, mirrorCommand];
