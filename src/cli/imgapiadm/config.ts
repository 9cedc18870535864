import { configText } from '../print-config.js';
import { NoSuchProperty } from '../print-value.js';
import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { CONFIG_OPTION, configPath } from './config-path.js';

function start({ parsed, environment, terminal }: Invocation): number {
    const [key, ...more] = parsed.positionals;
    if (more.length > 0) {
        throw new UsageError(`too many arguments: ${more.join(' ')}`);
    }
    const question = { path: configPath(parsed, environment), key, secrets: parsed.counts.has('secrets') };
    try {
        for (const line of configText(question).split('\n')) {
            terminal.line(line);
        }
        return EXIT.clean;
    } catch (error) {
        if (!(error instanceof NoSuchProperty)) {
            throw error;
        }
        terminal.note(`error: ${error.message}`);
        return EXIT.findings;
    }
}

/** `imgapiadm config` (operations 2.3). */
export const configCommand: Subcommand = {
    name: 'config',
    summary: 'Print the configuration as the server sees it.',
    usage: '[OPTIONS] [KEY]',
    description: [
        'Prints the configuration file merged with the defaults, and what is computed from them, as JSON;',
        'or the value of KEY, a dotted path such as manta.rootDir: a string without quotes, anything else',
        'as JSON. Secrets are masked.',
    ],
    options: [{ name: 'secrets', help: ['Print secrets in clear.'] }, CONFIG_OPTION],
    examples: [
        'imgapiadm config',
        'imgapiadm config storageTypes.0',
        'imgapiadm config -c /tmp/new.json port',
    ],
    exitStatuses: [['1', 'there is no such key']],
    run: (invocation) => Promise.resolve().then(() => start(invocation)),
};
