import { restoreCommand } from '../imgapiadm/restore.js';
import { standaloneScript } from './standalone-script.js';

/** Restores a standalone server, and lets backups begin (operations 3.2). */
export const STANDALONE_RESTORE = standaloneScript(restoreCommand);
