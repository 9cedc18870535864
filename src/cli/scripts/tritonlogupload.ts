import { uploadLogsCommand } from '../imgapiadm/upload-logs.js';
import { standaloneScript } from './standalone-script.js';

/** Uploads rotated logs to Manta (operations 3.2). */
export const LOG_UPLOAD = standaloneScript(
    uploadLogsCommand,
    [
        ['0', 'nothing is left to upload'],
        ['1', 'anything else, with the reason on stderr, or a line about each file that is left'],
        ['130', 'ended by Ctrl-C'],
    ],
    'tritonlogupload.sh',
);
