import type { Invocation } from '../imgapiadm/command.js';
import { requireNoArguments } from '../imgapiadm/backup/backup-order.js';
import { DATA_DIR_OPTION, placesOf } from '../places.js';
import type { ScriptDefinition } from './script.js';
import { makeSetupConfig } from './setup/setup-config.js';
import { readSetupVars, VAR_NOTES, VAR_OPTIONS } from './setup/setup-vars.js';

const NAME = 'imgapi-standalone-gen-setup-config';

async function run(invocation: Invocation): Promise<number> {
    requireNoArguments(invocation);
    const places = placesOf(invocation.parsed, invocation.environment);
    process.stdout.write(await makeSetupConfig(await readSetupVars(invocation), places));
    return 0;
}

/** Prints a configuration for a standalone server (operations 3.2). */
export const GEN_SETUP_CONFIG: ScriptDefinition = {
    name: NAME,
    summary: 'Print a configuration for a standalone server.',
    usage: '[OPTIONS]',
    description: [
        'Makes the configuration of a standalone server out of a few variables, checks it as "--check" of',
        'the server does, and prints it. Nothing is printed, and nothing changed, if it is not valid.',
        '',
        ...VAR_NOTES,
        '',
        'With mantaUser, the private key that instPubKey belongs to must be in etc of the base directory:',
        '<comment of the key>.id_ecdsa.',
    ],
    options: [...VAR_OPTIONS, DATA_DIR_OPTION],
    examples: [
        `${NAME} -m mode=private -m serverName=images.example.com > /data/imgapi/etc/imgapi.config.json`,
        `${NAME} --vars setup.json`,
    ],
    exitStatuses: [
        ['0', 'printed'],
        ['1', 'anything else, with the reason on stderr'],
    ],
    run,
};
