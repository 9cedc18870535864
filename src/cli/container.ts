import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DEFAULT_CONFIG_PATH, loadConfig } from '../base/config.js';
import { askServer, isPong } from './imgapiadm/ask-ping.js';
import { addressOfConfig } from './imgapiadm/server-access.js';

/*
 * Entry point of the container (operations 4.4): sets an empty volume up, then is the server; or with --health
 * tells by its exit status whether the server answers.
 */

const SETUP = fileURLToPath(new URL('../../bin/imgapi-standalone-setup', import.meta.url));

/** Whoever publishes the port decides who reaches it; inside there is nobody else. */
const ADDRESS = { IMGAPI_SETUP_address: '0.0.0.0' };
const ADDRESS_VARIABLES = ['IMGAPI_SETUP_address', 'IMGAPI_SETUP_ADDRESS'];

async function isHealthy(): Promise<boolean> {
    try {
        return isPong(await askServer(addressOfConfig(loadConfig(DEFAULT_CONFIG_PATH)), '/ping'));
    } catch {
        return false;
    }
}

/** What it says goes to stderr, as stdout is the log of the server. @returns its exit status */
function setUp(): number {
    const asked = ADDRESS_VARIABLES.some((name) => process.env[name]);
    const { status, error } = spawnSync(process.execPath, [SETUP], {
        env: { ...process.env, ...(asked ? {} : ADDRESS) },
        stdio: ['ignore', process.stderr.fd, process.stderr.fd],
    });
    if (error !== undefined) {
        throw error;
    }
    return status ?? 1;
}

async function main(): Promise<void> {
    if (process.argv.includes('--health')) {
        process.exitCode = (await isHealthy()) ? 0 : 1;
        return;
    }
    const status = existsSync(DEFAULT_CONFIG_PATH) ? 0 : setUp();
    if (status !== 0) {
        process.exitCode = status;
        return;
    }
    await import('../main.js');
}

await main();
