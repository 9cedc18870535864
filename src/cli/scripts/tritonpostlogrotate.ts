import { ownerToBe } from '../imgapiadm/offline/act-as-owner.js';
import { UsageError, type Invocation } from '../imgapiadm/command.js';
import { CONFIG_OPTION, configPath } from '../imgapiadm/config-path.js';
import { LOG_DIR_OPTION, logDirectory } from '../imgapiadm/logs/log-directory.js';
import { offerNewestLog } from '../imgapiadm/logs/offer-log.js';
import { isLogName } from '../imgapiadm/logs/rotated-logs.js';
import { readStandaloneServer } from '../imgapiadm/standalone-config.js';
import type { ScriptDefinition } from './script.js';

const NAME = 'tritonpostlogrotate.sh';

/** @throws UsageError */
function logName([name, ...more]: readonly string[]): string {
    if (name === undefined) {
        throw new UsageError('NAME is required: that of the log that was rotated');
    }
    if (more.length > 0) {
        throw new UsageError(`too many arguments: ${more.join(' ')}`);
    }
    if (!isLogName(name)) {
        throw new UsageError(`a name of a log has letters, digits, "-" and ".", and no "_": "${name}"`);
    }
    return name;
}

async function run({ parsed, environment, terminal }: Invocation): Promise<number> {
    const name = logName(parsed.positionals);
    const { config, configPath: path, directories } = readStandaloneServer(configPath(parsed, environment));
    const say = (text: string): void => {
        if (!parsed.counts.has('quiet')) {
            terminal.line(text);
        }
    };
    if (config.manta === undefined) {
        say(`No "manta" in ${path}: logs are not uploaded`);
        return 0;
    }
    const { from, to } = await offerNewestLog({
        logs: logDirectory(environment, parsed),
        name,
        move: parsed.counts.has('move'),
        nextHour: parsed.counts.has('force'),
        owner: await ownerToBe(directories.base),
    });
    say(`${from}: to be uploaded as ${to}`);
    return 0;
}

/** Offers a log for upload once it was rotated (operations 3.2). */
export const POST_LOG_ROTATE: ScriptDefinition = {
    name: NAME,
    summary: 'Offer a rotated log for upload.',
    usage: '[OPTIONS] NAME',
    description: [
        'Has the newest NAME_NODE_STAMP.log of the directory of rotated logs uploaded with the next run of',
        'tritonlogupload.sh: links it into the directory "upload" below, with zero seconds in its name.',
        'What rotates logs calls it each time. Does nothing when the server has no Manta.',
    ],
    options: [
        {
            name: 'force',
            short: 'f',
            help: [
                'It was rotated in the middle of an hour: name it as if it was rotated at the end of',
                'that hour, so that it counts for that hour, not for the one before.',
            ],
        },
        { name: 'move', short: 'm', help: ['Move the file instead of linking it.'] },
        { name: 'quiet', short: 'q', help: ['Say nothing, but for errors.'] },
        LOG_DIR_OPTION,
        CONFIG_OPTION,
    ],
    examples: [`${NAME} -q imgapi`, `${NAME} --force --move imgapi`],
    exitStatuses: [
        ['0', 'done, or there is no Manta to upload it to'],
        ['1', 'anything else, with the reason on stderr'],
    ],
    run,
};
