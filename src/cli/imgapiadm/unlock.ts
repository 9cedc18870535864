import { systemClock } from '../../base/clock.js';
import { VERSION } from '../../base/constants.js';
import { WatchedLock, type LockState, type Removal } from '../../lock/watched-lock.js';
import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { JSON_OPTION } from './common-options.js';
import { CONFIG_OPTION, configPath } from './config-path.js';
import { Interrupt } from './interrupt.js';
import { actAsOwner } from './offline/act-as-owner.js';
import { readLayout } from './offline/server-data.js';
import { terminalLog } from './offline/terminal-log.js';
import { durationText } from '../../base/quantities.js';
import type { Terminal } from './terminal.js';

/** What the verdicts mean to an operator. */
const MEANINGS: Readonly<Record<LockState['verdict'], string>> = {
    none: 'none',
    alive: 'alive: its holder runs, or may',
    stale: 'stale: its holder is gone, and the next server takes it',
    foreign: 'foreign: another machine has it, or had; only "unlock --force" removes it',
};

const OUTCOMES: Readonly<Record<Removal, string>> = {
    removed: 'removed',
    none: 'there was nothing to remove',
    alive: 'not removed: its holder is alive',
    busy: 'not removed: a server takes it at this moment',
};

function show(terminal: Terminal, { path, lock, verdict }: LockState): void {
    terminal.line(`Lock:    ${path}`);
    if (lock?.record !== undefined) {
        const { pid, host, app, at } = lock.record;
        terminal.line(`Holder:  process ${pid} on ${host}, ${app}, since ${at}`);
    } else if (lock !== undefined) {
        terminal.line('Holder:  unknown, the file is no lock');
    }
    if (lock !== undefined) {
        const age = Math.max(0, systemClock.now() - lock.mtimeMs);
        terminal.line(`Renewed: ${durationText(age)} ago`);
    }
    terminal.line(`State:   ${MEANINGS[verdict]}`);
}

function factsOf({ path, lock, verdict }: LockState): Record<string, unknown> {
    return {
        path,
        state: verdict,
        ...(lock?.record === undefined ? {} : { holder: lock.record }),
        ...(lock === undefined ? {} : { renewedAt: new Date(lock.mtimeMs).toISOString() }),
    };
}

/** Removes the lock; `undefined`: told to stop meanwhile. */
async function removeLock(lock: WatchedLock, interrupt: Interrupt): Promise<Removal | undefined> {
    try {
        return await lock.remove(interrupt.signal);
    } catch (error) {
        if (interrupt.status === undefined) {
            throw error;
        }
        return undefined;
    }
}

async function start({ parsed, environment, terminal }: Invocation): Promise<number> {
    const { counts, positionals } = parsed;
    if (positionals.length > 0) {
        throw new UsageError(`too many arguments: ${positionals.join(' ')}`);
    }
    const { directories } = readLayout(configPath(parsed, environment), terminalLog(terminal));
    await actAsOwner(directories.base);
    const lock = new WatchedLock({ directories, clock: systemClock, app: `imgapiadm ${VERSION}` });
    const state = await lock.look();
    const json = counts.has('json');
    if (json) {
        terminal.line(JSON.stringify(factsOf(state)));
    } else {
        show(terminal, state);
    }
    const isInTheWay = state.verdict === 'stale' || state.verdict === 'foreign';
    if (!counts.has('force') || counts.has('dry-run')) {
        if (json) {
            terminal.line(JSON.stringify({ summary: { state: state.verdict } }));
        }
        return isInTheWay ? EXIT.findings : EXIT.clean;
    }
    const interrupt = new Interrupt();
    interrupt.listen({ onFirst: () => undefined, onSecond: () => undefined });
    if (state.verdict === 'foreign') {
        terminal.note('watching for 12 seconds whether its holder renews it');
    }
    const removal = await removeLock(lock, interrupt);
    const outcome = removal === undefined ? 'not removed: interrupted' : OUTCOMES[removal];
    terminal.line(
        json
            ? JSON.stringify({ summary: { state: state.verdict, removed: removal === 'removed' } })
            : `Outcome: ${outcome}`,
    );
    return interrupt.status ?? (removal === 'removed' || removal === 'none' ? EXIT.clean : EXIT.failed);
}

/** `imgapiadm unlock` (operations 2.3, 4.7). */
export const unlockCommand: Subcommand = {
    name: 'unlock',
    summary: 'Show the lock of the data, and remove one that was left behind.',
    usage: '[OPTIONS]',
    description: [
        'Shows who holds run/imgapi.lock in the base directory, and whether it is stale. A server takes a',
        'stale lock by itself. It never takes that of another machine: whether that one is gone, only you',
        'can know. Remove it with --force when no server there uses this directory.',
        '',
        'A lock whose holder is seen alive is never removed: one that listens, whose process is there, or',
        'which renews its lock while it is watched, twelve seconds for that of another machine.',
    ],
    options: [
        { name: 'force', help: ['Remove the lock, unless its holder is seen alive.'] },
        { name: 'dry-run', short: 'n', help: ['With --force: only show the lock.'] },
        JSON_OPTION,
        CONFIG_OPTION,
    ],
    examples: ['imgapiadm unlock', 'imgapiadm unlock --force'],
    exitStatuses: [
        ['0', 'there is no lock, its holder runs, or it was removed'],
        ['1', 'it is stale or of another machine, and was left alone'],
        ['252', 'could not run, or the lock could not be removed'],
    ],
    run: start,
};
