import { EXTERNAL_MANTA_SETUP } from './imgapi-external-manta-setup.js';
import { MANTA_SETUP } from './imgapi-manta-setup.js';
import { STANDALONE_BACKUP } from './imgapi-standalone-backup.js';
import { STANDALONE_CREATE } from './imgapi-standalone-create.js';
import { GEN_SETUP_CONFIG } from './imgapi-standalone-gen-setup-config.js';
import { STANDALONE_REPROVISION } from './imgapi-standalone-reprovision.js';
import { STANDALONE_RESTORE } from './imgapi-standalone-restore.js';
import { STANDALONE_ROTATE_KEY } from './imgapi-standalone-rotate-key.js';
import { STANDALONE_SETUP } from './imgapi-standalone-setup.js';
import { STANDALONE_STATUS } from './imgapi-standalone-status.js';
import { UPGRADE } from './imgapi-upgrade.js';
import { MANTA_ENV } from './manta-env.js';
import { LOG_UPLOAD } from './tritonlogupload.js';
import { POST_LOG_ROTATE } from './tritonpostlogrotate.js';
import type { ScriptDefinition } from './script.js';

/** All scripts in `bin/` and `tools/standalone/`, for their manuals. */
export const SCRIPTS: readonly ScriptDefinition[] = [
    EXTERNAL_MANTA_SETUP,
    MANTA_SETUP,
    STANDALONE_BACKUP,
    STANDALONE_CREATE,
    GEN_SETUP_CONFIG,
    STANDALONE_REPROVISION,
    STANDALONE_RESTORE,
    STANDALONE_ROTATE_KEY,
    STANDALONE_SETUP,
    STANDALONE_STATUS,
    UPGRADE,
    MANTA_ENV,
    LOG_UPLOAD,
    POST_LOG_ROTATE,
];
