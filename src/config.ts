import { DEFAULT_CONFIG_PATH } from './base/config.js';
import { runConfigCheck } from './cli/check-config.js';
import { runEntryCommand } from './cli/entry-command.js';
import { configText } from './cli/print-config.js';

/*
 * Prints the configuration as the server sees it, or one value of it. Operator scripts read the
 * output (backends 1.6, operations 1.1).
 */
runEntryCommand({
    name: 'lib/config.js',
    summary: 'Prints the merged configuration, or the value of KEY, a dotted path such as manta.rootDir.',
    options: [
        {
            name: 'file',
            short: 'f',
            argument: 'PATH',
            help: ['Configuration file; default:', DEFAULT_CONFIG_PATH],
        },
        { name: 'check', help: ['Print the problems of the file, one a line; exit 0 or 2.'] },
        { name: 'secrets', help: ['Print secrets in clear.'] },
    ],
    run: (parsed, key) => {
        const path = parsed.values.get('file') ?? DEFAULT_CONFIG_PATH;
        if (parsed.counts.has('check')) {
            return runConfigCheck(path);
        }
        const secrets = parsed.counts.has('secrets');
        process.stdout.write(`${configText({ path, key, secrets })}\n`);
        return 0;
    },
});
