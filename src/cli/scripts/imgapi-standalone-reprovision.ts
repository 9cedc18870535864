import { isAgreed, requireWayToAsk } from '../imgapiadm/asking.js';
import { UsageError, type Invocation } from '../imgapiadm/command.js';
import { CHANGE_OPTIONS } from '../imgapiadm/common-options.js';
import { PATIENCE } from './headnode/instances.js';
import { reprovisionInstance, type ReprovisionOrder } from './headnode/reprovision.js';
import { CHANNEL_OPTION, HEADNODE_STATUSES, runOnHeadnode } from './headnode/run.js';
import type { ScriptDefinition } from './script.js';

const NAME = 'imgapi-standalone-reprovision';

/** @throws UsageError */
function orderOf(invocation: Invocation): Omit<ReprovisionOrder, 'signal' | 'agree'> {
    const { parsed, terminal } = invocation;
    const [instance, image, ...more] = parsed.positionals;
    if (instance === undefined || image === undefined) {
        throw new UsageError('INSTANCE and IMAGE are required');
    }
    if (more.length > 0) {
        throw new UsageError(`too many arguments: ${more.join(' ')}`);
    }
    requireWayToAsk(invocation);
    return {
        instance,
        image,
        channel: parsed.values.get('channel'),
        evenIfSame: parsed.counts.has('identical'),
        patience: PATIENCE,
        say: (line) => terminal.line(line),
    };
}

/** Gives an instance of a standalone server another image (operations 3.2). */
export const STANDALONE_REPROVISION: ScriptDefinition = {
    name: NAME,
    summary: 'Give an instance with a standalone image server another image.',
    usage: '[OPTIONS] INSTANCE IMAGE',
    description: [
        'Gives an instance with a standalone image server another image, and waits until the server answers',
        'again. To be run in the global zone of the headnode of a datacenter. Its data stay: they are on a',
        'delegated dataset, without which nothing is done.',
        '',
        'INSTANCE is a UUID or alias; IMAGE the UUID of an image named "imgapi", or "latest".',
        '',
        'Elsewhere than on SmartOS, imgapi-upgrade puts another version into service.',
    ],
    options: [
        CHANNEL_OPTION,
        { name: 'identical', short: 'I', help: ['Also when the instance has the image already.'] },
        ...CHANGE_OPTIONS.filter(({ name }) => name === 'yes'),
    ],
    examples: [`${NAME} -y images latest`],
    exitStatuses: HEADNODE_STATUSES,
    run: async (invocation) => {
        const order = orderOf(invocation);
        return runOnHeadnode(invocation, async (tools, signal) => {
            const agree = (question: string): Promise<boolean> => isAgreed(invocation, question, signal);
            return (await reprovisionInstance(tools, { ...order, signal, agree })) ? 0 : 1;
        });
    },
};
