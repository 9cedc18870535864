import { rotateKeyCommand } from '../imgapiadm/rotate-key.js';
import { standaloneScript } from './standalone-script.js';

/** Replaces the key of a standalone server for Manta (operations 3.2). */
export const STANDALONE_ROTATE_KEY = standaloneScript(rotateKeyCommand);
