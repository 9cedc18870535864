import { UsageError } from '../imgapiadm/command.js';
import type { ParsedOptions } from '../options.js';
import { FIRST_LOAD_BALANCER, setUpManta } from './manta-setup/set-up.js';
import {
    mantaUrlOf,
    runSetup,
    SETUP_EXIT_STATUSES,
    SETUP_NOTES,
    SETUP_OPTIONS,
    waitSecondsOf,
    type SetupTask,
} from './manta-setup/options.js';
import type { ScriptDefinition } from './script.js';

const NAME = 'imgapi-manta-setup';

/** What the arguments ask for. @throws UsageError */
function setUp(parsed: ParsedOptions): SetupTask {
    const { counts, positionals } = parsed;
    const [url, ...more] = positionals;
    if (url === undefined || more.length > 0) {
        throw new UsageError(
            url === undefined ? 'no MANTA-URL given' : `too many arguments: ${more.join(' ')}`,
        );
    }
    const wish = {
        url: url === FIRST_LOAD_BALANCER ? url : mantaUrlOf(url),
        insecure: counts.has('insecure'),
        remote: counts.has('remote'),
        force: counts.has('force'),
        waitSeconds: waitSecondsOf(parsed),
    };
    return (datacenter) => setUpManta(datacenter, wish);
}

/** Connects the servers of a datacenter to a Manta that shares its accounts (operations 3.1). */
export const MANTA_SETUP: ScriptDefinition = {
    name: NAME,
    summary: 'Connects all image servers of a datacenter to a Manta that shares its accounts.',
    usage: '[OPTIONS] MANTA-URL',
    description: [
        'Connects all image servers of a datacenter to a Manta that shares its accounts: makes a key, adds',
        "it to the operator's account, verifies access, and tells the servers. A key that is in use stays;",
        'a changed URL or option is applied all the same. It may be run again at any time.',
        '',
        `MANTA-URL may be ${FIRST_LOAD_BALANCER}: the first running load balancer of a Manta in this datacenter.`,
        '',
        ...SETUP_NOTES,
    ],
    options: [
        { name: 'force', short: 'f', help: ['Make a new key even if there is one.'] },
        { name: 'remote', short: 'r', help: ['Manta is across a wide area network.'] },
        ...SETUP_OPTIONS,
    ],
    examples: [
        `${NAME} https://us-east.manta.example.com | bunyan`,
        `${NAME} --force https://us-east.manta.example.com | bunyan   # another key`,
        `${NAME} --status | bunyan`,
    ],
    exitStatuses: SETUP_EXIT_STATUSES,
    run: (invocation) => runSetup(NAME, invocation, setUp),
};
