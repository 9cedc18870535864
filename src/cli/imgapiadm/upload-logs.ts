import type { Subcommand } from './command.js';
import { uploadLogs } from './logs/upload-command.js';
import { UPLOAD_OPTIONS } from './logs/upload-order.js';

/** `imgapiadm upload-logs` and `tritonlogupload.sh` (operations 3.2). */
export const uploadLogsCommand: Subcommand = {
    name: 'upload-logs',
    summary: 'Upload rotated logs to Manta.',
    usage: '[OPTIONS]',
    description: [
        'Uploads the logs that tritonpostlogrotate.sh has put into the directory "upload" below that of',
        'rotated logs, and removes them there. NAME_NODE_2026-03-01T17:00:00.log becomes',
        '"<rootDir>/logs/NAME/2026/03/01/16/NODE.log": it has the hour before its rotation. What is in Manta',
        'already is not uploaded again, and never replaced: another log of the same hour becomes NODE.1.log.',
        '',
        'What cannot be uploaded stays for the next time, but not longer than 168 hours. The exit status is',
        'kept in run/logupload.status.',
    ],
    options: UPLOAD_OPTIONS,
    examples: ['imgapiadm upload-logs --attempts 5', 'imgapiadm upload-logs --dry-run'],
    run: uploadLogs,
};
