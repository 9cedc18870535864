import type { Subcommand } from './command.js';
import { backUp } from './backup/backup-command.js';
import { BACKUP_OPTIONS } from './backup/backup-order.js';

/** `imgapiadm backup` and `imgapi-standalone-backup` (operations 3.2). */
export const backupCommand: Subcommand = {
    name: 'backup',
    summary: 'Back up images, records and settings.',
    usage: '[OPTIONS]',
    description: [
        'Backs up a standalone server that may be running: image files, records, archived manifests, whom',
        'accounts trust, and the settings in etc. To Manta, where "<rootDir>/backup" is made what is here;',
        'with --dest to a directory, where each run makes a whole snapshot whose unchanged files are links',
        'to those of the one before.',
        '',
        'Of each image the files come first, then the record; deletions come last. What is copied is compared',
        'with the record: an image that is not what its record says stays in the backup as it was, or is left',
        'out, and the exit status is 1. What is unchanged by size and time is not copied again. Temporary files',
        'are left out, and so are files that the server keeps in Manta. Killed at any time, a backup leaves',
        'one from which every image can be restored as it was or as it is.',
        '',
        'There is no backup before a restore was run once, even a restore of nothing; nor when more than',
        '20 % of what the backup has is gone here, without --force; nor when another host uses the same',
        'Manta area. The exit status is kept in run/backup.status.',
    ],
    options: BACKUP_OPTIONS,
    examples: ['imgapiadm backup --yes', 'imgapiadm backup --dest /backup/imgapi --keep 48 --yes'],
    run: backUp,
};
