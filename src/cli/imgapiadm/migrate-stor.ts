import { VALID_STORAGES } from '../../base/constants.js';
import { UsageError, type Invocation, type Subcommand } from './command.js';
import { migration } from './migration/migration.js';
import { BATCH_OPTIONS, batchOrder } from './batch/batch-options.js';
import { BatchRun } from './batch/batch-run.js';
import { uuidArguments } from './uuid-arguments.js';

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

function start(invocation: Invocation): Promise<number> {
    const { values, positionals } = invocation.parsed;
    const target = targetOf(values.get('to'));
    const uuids = uuidArguments(positionals);
    const order = batchOrder(invocation);
    const { parallel, access } = order;
    const kind = migration({ target, uuids, parallel, channel: access.channel });
    return new BatchRun(order, kind, invocation).execute();
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
    options: [{ name: 'to', argument: VALID_STORAGES.join('|'), help: ['Where to.'] }, ...BATCH_OPTIONS],
    examples: [
        'imgapiadm migrate-stor --to manta --dry-run',
        'imgapiadm migrate-stor --to manta --yes -p 8 -u alice -i ~/.ssh/id_ed25519',
    ],
    run: start,
};
