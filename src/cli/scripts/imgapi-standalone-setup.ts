import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { requireNoArguments } from '../imgapiadm/backup/backup-order.js';
import { UsageError, type Invocation } from '../imgapiadm/command.js';
import { CHANGE_OPTIONS } from '../imgapiadm/common-options.js';
import type { CommandOption } from '../options.js';
import { DATA_DIR_OPTION, placesOf } from '../places.js';
import type { ScriptDefinition } from './script.js';
import { isHostName } from './setup/certificate.js';
import { currentUser, isUserName } from './setup/service-user.js';
import { readSetupVars, VAR_NOTES, VAR_OPTIONS } from './setup/setup-vars.js';
import { setUp, type SetupOrder } from './setup/set-up.js';

const NAME = 'imgapi-standalone-setup';

const OPTIONS: readonly CommandOption[] = [
    {
        name: 'user',
        argument: 'USER',
        help: [
            'Who is to run the server, made if need be; for root only. Default: who owns the base',
            'directory, else who runs this.',
        ],
    },
    DATA_DIR_OPTION,
    {
        name: 'hostname',
        argument: 'NAME',
        help: ['A name of this host for the certificate; may be repeated. Default: the host name.'],
    },
    {
        name: 'front',
        argument: 'PROGRAM',
        help: ['Also make etc/haproxy.cfg for "haproxy", and etc/hitch.conf for "hitch" before it.'],
    },
    {
        name: 'unit-dir',
        argument: 'DIR',
        help: ['Where units of systemd go; default: /etc/systemd/system, if systemd runs here.'],
    },
    ...VAR_OPTIONS,
    ...CHANGE_OPTIONS.filter(({ name }) => name === 'dry-run'),
];

function frontOf(text: string | undefined): SetupOrder['front'] {
    if (text === undefined || text === 'haproxy' || text === 'hitch') {
        return text;
    }
    throw new UsageError(`--front must be "haproxy" or "hitch": "${text}"`);
}

async function orderOf(invocation: Invocation): Promise<SetupOrder> {
    const { parsed, environment } = invocation;
    requireNoArguments(invocation);
    const user = parsed.values.get('user');
    const current = currentUser();
    if (user !== undefined && !isUserName(user)) {
        throw new UsageError(`no name of a user: "${user}"`);
    }
    if (user !== undefined && user !== current.name && !current.isRoot) {
        throw new UsageError('--user needs the rights of root');
    }
    const hosts = parsed.lists.get('hostname') ?? [];
    const wrong = hosts.find((host) => !isHostName(host));
    if (wrong !== undefined) {
        throw new UsageError(`no name of a host: "${wrong}"`);
    }
    const own = [hostname(), 'localhost'].filter(isHostName);
    const unitDirectory = parsed.values.get('unit-dir');
    const front = frontOf(parsed.values.get('front'));
    return {
        places: placesOf(parsed, environment),
        ...(user === undefined ? {} : { user }),
        hosts: [...new Set([...hosts, ...own])],
        ...(front === undefined ? {} : { front }),
        ...(unitDirectory === undefined ? {} : { unitDirectory: resolve(unitDirectory) }),
        vars: await readSetupVars(invocation),
        dryRun: parsed.counts.has('dry-run'),
    };
}

/** Sets a standalone server up on this machine (operations 3.2). */
export const STANDALONE_SETUP: ScriptDefinition = {
    name: NAME,
    summary: 'Set up a standalone server on this machine.',
    usage: '[OPTIONS]',
    description: [
        'Makes what a standalone server needs: a user, the base directory, a key for Manta, a self-signed',
        'certificate, the configuration, and the units of systemd; then says what is next. What is there',
        'already is left as it is, so it may be run again at any time.',
        '',
        'Without the rights of root it does what needs none of them: give --data-dir.',
        '',
        ...VAR_NOTES,
    ],
    options: OPTIONS,
    examples: [
        `${NAME} --user imgapi -m mode=private --hostname images.example.com --front haproxy`,
        `${NAME} --data-dir ~/images -m port=9090`,
    ],
    exitStatuses: [
        ['0', 'everything is there'],
        ['1', 'anything else, with the reason on stderr; steps before it are done'],
    ],
    run: async (invocation) => setUp(await orderOf(invocation), invocation),
};
