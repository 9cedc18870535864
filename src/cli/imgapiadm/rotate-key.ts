import { requireNoArguments } from './backup/backup-order.js';
import { UsageError, type Invocation, type Subcommand } from './command.js';
import { CHANGE_OPTIONS } from './common-options.js';
import { CONFIG_OPTION, configPath } from './config-path.js';
import { rotateKey } from './rotation/rotate-key.js';

const DEFAULT_WAIT = 300;
const DEFAULT_SETTLE = 30;
const MAX_SECONDS = 86_400;

function milliseconds({ parsed }: Invocation, name: string, otherwise: number): number {
    const given = parsed.values.get(name);
    const seconds = given === undefined ? otherwise : /^\d{1,5}$/.test(given) ? Number(given) : NaN;
    if (!(seconds <= MAX_SECONDS)) {
        throw new UsageError(`--${name} must be 0..${MAX_SECONDS}: "${given ?? ''}"`);
    }
    return seconds * 1000;
}

/** `imgapiadm rotate-key` and `imgapi-standalone-rotate-key` (operations 3.2). */
export const rotateKeyCommand: Subcommand = {
    name: 'rotate-key',
    summary: 'Replace the key that the server signs with in Manta.',
    usage: '[OPTIONS]',
    description: [
        'Makes a key, tells how Manta learns of it, waits until Manta accepts it, and puts it into the',
        'configuration. Then the server gets SIGHUP: another key needs a restart, so it ends its requests',
        'and itself, and systemd or SMF starts it again. If it does not answer then, or Manta refuses, the',
        'old configuration is put back. A server that nobody is known to start again is left alone, and you',
        'are told to restart it.',
        '',
        'At every moment the configuration names a key that is there and that Manta knows. Until it is in',
        'use the new key is in etc/newinstkey, where a later run finds it; old keys and configurations are',
        'in etc/oldinstkeys.',
    ],
    options: [
        {
            name: 'wait',
            argument: 'SECONDS',
            help: [`How long Manta may take to accept the key; default: ${DEFAULT_WAIT}.`],
        },
        {
            name: 'settle',
            argument: 'SECONDS',
            help: [`How long to wait then for all of Manta to know it; default: ${DEFAULT_SETTLE}.`],
        },
        {
            name: 'hup',
            help: [
                'Send SIGHUP though no service manager is seen: something else restarts',
                'the server, as in a container.',
            ],
        },
        ...CHANGE_OPTIONS.filter(({ name }) => name === 'yes'),
        CONFIG_OPTION,
    ],
    examples: ['imgapiadm rotate-key', 'imgapiadm rotate-key --yes --wait 3600'],
    run: async (invocation) => {
        const { parsed, environment } = invocation;
        requireNoArguments(invocation);
        const order = {
            configPath: configPath(parsed, environment),
            waitMs: milliseconds(invocation, 'wait', DEFAULT_WAIT),
            settleMs: milliseconds(invocation, 'settle', DEFAULT_SETTLE),
            yes: parsed.counts.has('yes'),
            hangUp: parsed.counts.has('hup'),
        };
        return rotateKey(order, invocation);
    },
};
