import { loadConfig } from '../../base/config.js';
import { requireNoArguments } from '../imgapiadm/backup/backup-order.js';
import { CONFIG_OPTION, configPath } from '../imgapiadm/config-path.js';
import type { ScriptDefinition } from './script.js';

/** A word of a POSIX shell, whatever is in it. */
function quoted(text: string): string {
    return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Prints the environment of Manta's own tools (operations 3.2). */
export const MANTA_ENV: ScriptDefinition = {
    name: 'manta-env',
    summary: 'Print settings of Manta for a shell.',
    usage: '[OPTIONS]',
    description: [
        'Prints what the tools of Manta need to use the Manta area of the server, as commands for a shell;',
        'nothing if no Manta is configured.',
    ],
    options: [CONFIG_OPTION],
    examples: ['eval "$(manta-env)"'],
    exitStatuses: [
        ['0', 'printed, or no Manta is configured'],
        ['1', 'anything else, with the reason on stderr'],
    ],
    run: (invocation) => {
        requireNoArguments(invocation);
        const { manta } = loadConfig(configPath(invocation.parsed, invocation.environment));
        if (manta !== undefined) {
            const variables = {
                MANTA_URL: manta.url,
                MANTA_USER: manta.user,
                MANTA_KEY_ID: manta.keyId,
                ...(manta.insecure === true ? { MANTA_TLS_INSECURE: '1' } : {}),
            };
            const lines = Object.entries(variables).map(
                ([name, value]) => `export ${name}=${quoted(value)}\n`,
            );
            process.stdout.write(lines.join(''));
        }
        return Promise.resolve(0);
    },
};
