import { UsageError } from '../imgapiadm/command.js';
import type { ParsedOptions } from '../options.js';
import {
    mantaUrlOf,
    runSetup,
    SETUP_EXIT_STATUSES,
    SETUP_NOTES,
    SETUP_OPTIONS,
    waitSecondsOf,
    type SetupTask,
} from './manta-setup/options.js';
import { setUpExternalManta } from './manta-setup/set-up.js';
import type { ScriptDefinition } from './script.js';

const NAME = 'imgapi-external-manta-setup';

/** Names of accounts, of which paths in Manta are made. */
const USER_RE = /^[A-Za-z0-9_.@-]+$/;

/** What the arguments ask for. @throws UsageError */
function setUp(parsed: ParsedOptions): SetupTask {
    const [url, user, keyPath, ...more] = parsed.positionals;
    if (url === undefined || user === undefined || keyPath === undefined) {
        throw new UsageError('MANTA-URL, MANTA-USER and PRIVKEY-PATH are required');
    }
    if (more.length > 0) {
        throw new UsageError(`too many arguments: ${more.join(' ')}`);
    }
    if (!USER_RE.test(user)) {
        throw new UsageError(`no name of an account: "${user}"`);
    }
    const wish = {
        url: mantaUrlOf(url),
        user,
        keyPath,
        insecure: parsed.counts.has('insecure'),
        waitSeconds: waitSecondsOf(parsed),
    };
    return (datacenter) => setUpExternalManta(datacenter, wish);
}

/** Connects the servers of a datacenter to a Manta elsewhere, with an account of it (operations 3.1). */
export const EXTERNAL_MANTA_SETUP: ScriptDefinition = {
    name: NAME,
    summary: 'Connects all image servers of a datacenter to a Manta with accounts of its own.',
    usage: '[OPTIONS] MANTA-URL MANTA-USER PRIVKEY-PATH',
    description: [
        'Connects all image servers of a datacenter to a Manta with accounts of its own, by an account there',
        'and its key. The public key must lie beside the private one, in PRIVKEY-PATH.pub. It may be run',
        'again at any time.',
        '',
        ...SETUP_NOTES,
    ],
    options: SETUP_OPTIONS,
    examples: [
        `${NAME} https://us-east.manta.example.com images /root/.ssh/images.id_rsa | bunyan`,
        `${NAME} --status | bunyan`,
    ],
    exitStatuses: SETUP_EXIT_STATUSES,
    run: (invocation) => runSetup(NAME, invocation, setUp),
};
