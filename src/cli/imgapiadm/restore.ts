import type { Subcommand } from './command.js';
import { RESTORE_OPTIONS } from './backup/restore-order.js';
import { restore } from './backup/restore-command.js';

/** `imgapiadm restore` and `imgapi-standalone-restore` (operations 3.2). */
export const restoreCommand: Subcommand = {
    name: 'restore',
    summary: 'Restore a backup, and let backups begin.',
    usage: '[OPTIONS]',
    description: [
        'Restores what "backup" has stored, in Manta or, with --from, in a directory. Has to be run once on',
        'every new server, even if there is nothing to restore or no Manta: no backup is made before.',
        '',
        'All files are brought to "restore.tmp" in the base directory first, and compared with what their',
        'records say; then they are renamed into place, records last. Broken off, it goes on from there when',
        'it is run again. A server that systemd or SMF runs is stopped for the last step and started again;',
        'any other one has to be stopped before. Settings and keys that are there stay: what the backup has',
        'of them is put into etc/restored. At the end the records are checked as "fsck --simple --errors-only"',
        'does.',
        '',
        'If Manta refuses, it prints with what it was asked, and how Manta learns of the key.',
    ],
    options: RESTORE_OPTIONS,
    examples: ['imgapiadm restore --yes', 'imgapiadm restore --from /backup/imgapi --checksum --yes'],
    run: restore,
};
