import { UsageError, type Invocation } from '../imgapiadm/command.js';
import type { ParsedOptions } from '../options.js';
import { createInstance, type CreateOrder } from './headnode/create.js';
import { PATIENCE } from './headnode/instances.js';
import { CHANNEL_OPTION, HEADNODE_STATUSES, runOnHeadnode } from './headnode/run.js';
import type { ScriptDefinition } from './script.js';

const NAME = 'imgapi-standalone-create';
/** It becomes part of a host name. */
const ALIAS_RE = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** `KEY=VAL` texts of an option. @throws UsageError */
function pairs({ lists }: ParsedOptions, option: string): Readonly<Record<string, string>> {
    return Object.fromEntries(
        (lists.get(option) ?? []).map((text) => {
            const equals = text.indexOf('=');
            if (equals < 1) {
                throw new UsageError(`no KEY=VAL after --${option}: "${text}"`);
            }
            return [text.slice(0, equals), text.slice(equals + 1)];
        }),
    );
}

/** @throws UsageError */
function orderOf({ parsed, terminal }: Invocation): Omit<CreateOrder, 'signal'> {
    const [owner, image, name, alias, ...more] = parsed.positionals;
    if (owner === undefined || image === undefined || name === undefined || alias === undefined) {
        throw new UsageError('OWNER, IMAGE, PACKAGE and ALIAS are required');
    }
    if (more.length > 0) {
        throw new UsageError(`too many arguments: ${more.join(' ')}`);
    }
    if (!ALIAS_RE.test(alias)) {
        throw new UsageError(`an alias has letters, digits, "-" and "_", and no dots: "${alias}"`);
    }
    return {
        owner,
        image,
        channel: parsed.values.get('channel'),
        package: name,
        alias,
        metadata: pairs(parsed, 'metadata'),
        tags: pairs(parsed, 'tag'),
        patience: PATIENCE,
        say: (line) => terminal.line(line),
    };
}

/** Makes an instance with a standalone server on a headnode (operations 3.2). */
export const STANDALONE_CREATE: ScriptDefinition = {
    name: NAME,
    summary: 'Make an instance with a standalone image server in a datacenter.',
    usage: '[OPTIONS] OWNER IMAGE PACKAGE ALIAS',
    description: [
        'Makes an instance with a standalone image server, and waits until that answers. To be run in the',
        'global zone of the headnode of a datacenter: it works with the programs there, sdc-vmapi and so on.',
        '',
        'OWNER is the UUID or login of an account; IMAGE the UUID of an image named "imgapi", or "latest";',
        'PACKAGE the UUID or name of a package. The instance gets a delegated dataset, and an address in a',
        'network with the tag "external".',
        '',
        'Elsewhere than on SmartOS, imgapi-standalone-setup sets a server up on the machine it is run on.',
    ],
    options: [
        CHANNEL_OPTION,
        {
            name: 'metadata',
            short: 'm',
            argument: 'KEY=VAL',
            help: ['Metadata of the instance, such as mode=private or mantaUser=images; may be repeated.'],
        },
        { name: 'tag', short: 't', argument: 'TAG=VAL', help: ['Tag of the instance; may be repeated.'] },
    ],
    examples: [
        `${NAME} -m mode=public -m serverName=Images -t smartdc_role=images images latest sdc_2048 images`,
    ],
    exitStatuses: HEADNODE_STATUSES,
    run: async (invocation) => {
        const order = orderOf(invocation);
        return runOnHeadnode(invocation, async (tools, signal) => {
            await createInstance(tools, { ...order, signal });
            return 0;
        });
    },
};
