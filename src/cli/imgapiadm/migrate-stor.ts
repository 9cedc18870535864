import { VALID_STORAGES } from '../../base/constants.js';
import { isUuid } from '../../base/uuid.js';
import { UsageError, type Invocation, type Subcommand } from './command.js';
import { CHANGE_OPTIONS, REPORT_OPTIONS } from './common-options.js';
import { MigrationRun, type MigrationOrder } from './migration/run.js';
import { SERVER_ACCESS_OPTIONS, serverAccess } from './server-access.js';

const DEFAULT_PARALLEL = 4;
const MAX_PARALLEL = 64;

function targetOf(value: string | undefined): string {
    const names = VALID_STORAGES.join(' or ');
    if (value === undefined) {
        throw new UsageError(`where to? Give --to ${names}.`);
    }
    const known: readonly string[] = VALID_STORAGES;
    if (!known.includes(value)) {
        throw new UsageError(`--to must be ${names}: "${value}"`);
    }
    return value;
}

function parallelOf(value = String(DEFAULT_PARALLEL)): number {
    const count = /^\d{1,3}$/.test(value) ? Number(value) : 0;
    if (count < 1 || count > MAX_PARALLEL) {
        throw new UsageError(`--parallel must be 1..${MAX_PARALLEL}: "${value}"`);
    }
    return count;
}

function uuidsOf(positionals: readonly string[]): readonly string[] {
    const wrong = positionals.find((text): boolean => !isUuid(text));
    if (wrong !== undefined) {
        throw new UsageError(`not a UUID: "${wrong}"`);
    }
    return [...new Set(positionals)];
}

function orderOf({ parsed, environment, terminal }: Invocation): MigrationOrder {
    const { values, counts, positionals } = parsed;
    const order = {
        target: targetOf(values.get('to')),
        uuids: uuidsOf(positionals),
        parallel: parallelOf(values.get('parallel')),
        dryRun: counts.has('dry-run'),
        json: counts.has('json'),
        quiet: counts.has('quiet'),
        yes: counts.has('yes'),
    };
    if (!order.yes && !order.dryRun && !terminal.canAsk) {
        throw new UsageError('there is no terminal to ask on: give --yes, or --dry-run');
    }
    return { ...order, access: serverAccess(parsed, environment) };
}

/** `imgapiadm migrate-stor` (operations 3.3). */
export const migrateStor: Subcommand = {
    name: 'migrate-stor',
    summary: 'Move files and icons of images to another storage.',
    usage: `--to ${VALID_STORAGES.join('|')} [OPTIONS] [UUID...]`,
    description: [
        'Moves all files and the icon of all images, or of those named, to one storage of a running',
        'server, which stays in use meanwhile. For each image the server copies, verifies the copy,',
        'changes the record, and only then deletes what it had. What is there already is left alone:',
        'to go on with a run that was broken off, or try again what failed, run it again.',
        '',
        'Prints a line for each image and one about the whole. Ctrl-C lets running moves end; pressed',
        'again, it does not wait for them, and the images stay where they were.',
    ],
    options: [
        { name: 'to', argument: VALID_STORAGES.join('|'), help: ['Where to.'] },
        {
            name: 'parallel',
            short: 'p',
            argument: 'N',
            help: [`Images at the same time, 1 to ${MAX_PARALLEL}; default: ${DEFAULT_PARALLEL}.`],
        },
        ...CHANGE_OPTIONS,
        ...REPORT_OPTIONS,
        ...SERVER_ACCESS_OPTIONS,
    ],
    examples: [
        'imgapiadm migrate-stor --to manta --dry-run',
        'imgapiadm migrate-stor --to manta --yes -p 8 -u alice -i ~/.ssh/id_ed25519',
    ],
    run: (invocation) => new MigrationRun(orderOf(invocation), invocation).execute(),
};
