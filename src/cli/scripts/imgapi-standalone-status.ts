import { EXIT, exitStatusesOf } from '../imgapiadm/command.js';
import { statusCommand } from '../imgapiadm/status.js';
import type { ScriptDefinition } from './script.js';
import { standaloneScript } from './standalone-script.js';

/** Looks whether all is well with a standalone server (operations 3.2). */
export const STANDALONE_STATUS: ScriptDefinition = {
    ...standaloneScript(
        statusCommand,
        exitStatusesOf(statusCommand).filter(
            ([status]) => status !== String(EXIT.findings) && status !== '130',
        ),
    ),
    // What is below are numbers of faults.
    failureStatus: EXIT.failed,
    usageStatus: EXIT.usage,
};
