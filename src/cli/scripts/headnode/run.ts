import { Interrupt } from '../../imgapiadm/interrupt.js';
import type { ExitStatus, Invocation } from '../../imgapiadm/command.js';
import type { CommandOption } from '../../options.js';
import { HeadnodeTools } from './tools.js';

/** Names the channel for `latest` and for images that are not here yet. */
export const CHANNEL_OPTION: CommandOption = {
    name: 'channel',
    short: 'C',
    argument: 'CHANNEL',
    help: ['Channel of the updates server; default: that of the datacenter.'],
};

/** Exit statuses of the scripts of a headnode. */
export const HEADNODE_STATUSES: readonly ExitStatus[] = [
    ['0', 'done'],
    ['1', 'anything else, with the reason on stderr'],
    ['130', 'ended by Ctrl-C; what the datacenter was told to do goes on'],
];

/**
 * Runs a script that works with the programs of a headnode.
 *
 * @returns its exit status
 * @throws what `task` throws, unless it was told to stop
 */
export async function runOnHeadnode(
    { environment }: Invocation,
    task: (tools: HeadnodeTools, signal: AbortSignal) => Promise<number>,
): Promise<number> {
    const interrupt = new Interrupt();
    const unlisten = interrupt.listen({ onFirst: () => undefined, onSecond: () => undefined });
    try {
        return await task(new HeadnodeTools(environment), interrupt.signal);
    } catch (error) {
        if (interrupt.status !== undefined) {
            return interrupt.status;
        }
        throw error;
    } finally {
        unlisten();
    }
}
