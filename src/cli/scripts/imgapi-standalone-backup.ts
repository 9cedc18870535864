import { backupCommand } from '../imgapiadm/backup.js';
import { standaloneScript } from './standalone-script.js';

/** Backs up a standalone server (operations 3.2). */
export const STANDALONE_BACKUP = standaloneScript(backupCommand);
