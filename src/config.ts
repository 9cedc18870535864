import { DEFAULT_CONFIG_PATH } from './base/config.js';
import { runConfigCheck } from './cli/check-config.js';
import { configText } from './cli/print-config.js';
import { keyQuestion } from './cli/scripts/key-question.js';
import { runScript } from './cli/scripts/script.js';

/*
 * Prints the configuration as the server sees it, or one value of it. Operator scripts read the
 * output (backends 1.6, operations 1.1).
 */
const CONFIG = keyQuestion({
    name: 'lib/config.js',
    summary: 'Print the configuration as the server sees it.',
    description: [
        'Prints the merged configuration, or the value of KEY, a dotted path such as manta.rootDir.',
    ],
    options: [
        {
            name: 'file',
            short: 'f',
            argument: 'PATH',
            help: ['Configuration file; default:', DEFAULT_CONFIG_PATH],
        },
        {
            name: 'check',
            help: ['Print what would keep a server from starting with it, one problem a line; exit 0 or 2.'],
        },
        { name: 'secrets', help: ['Print secrets in clear.'] },
    ],
    examples: ['node lib/config.js manta.rootDir', 'node lib/config.js -f /tmp/new.json --check'],
    answer: (parsed, key) => {
        const path = parsed.values.get('file') ?? DEFAULT_CONFIG_PATH;
        if (parsed.counts.has('check')) {
            return runConfigCheck(path);
        }
        const secrets = parsed.counts.has('secrets');
        process.stdout.write(`${configText({ path, key, secrets })}\n`);
        return 0;
    },
});

process.exitCode = await runScript(CONFIG, process.argv.slice(2));
