import { startProblems } from '../start-problems.js';
import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { JSON_OPTION } from './common-options.js';
import { CONFIG_OPTION, configPath } from './config-path.js';

async function start({ parsed, environment, terminal }: Invocation): Promise<number> {
    if (parsed.positionals.length > 0) {
        throw new UsageError(`too many arguments: ${parsed.positionals.join(' ')}`);
    }
    const path = configPath(parsed, environment);
    const warnings: string[] = [];
    const problems = await startProblems(path, { onWarning: (warning) => warnings.push(warning) });
    if (parsed.counts.has('json')) {
        problems.forEach((problem) => terminal.line(JSON.stringify({ problem })));
        warnings.forEach((warning) => terminal.line(JSON.stringify({ warning })));
        const summary = { path, problems: problems.length, warnings: warnings.length };
        terminal.line(JSON.stringify({ summary }));
    } else {
        problems.forEach((problem) => terminal.line(problem));
        warnings.forEach((warning) => terminal.note(`warning: ${warning}`));
    }
    return problems.length === 0 ? EXIT.clean : EXIT.findings;
}

/** `imgapiadm check-config` (operations 2.3). */
export const checkConfigCommand: Subcommand = {
    name: 'check-config',
    summary: 'Check the configuration file.',
    usage: '[OPTIONS]',
    description: [
        'Prints what is wrong with the configuration file, one problem a line with its dotted key, and',
        'on stderr what it has that no server reads. If the file is good, the certificate and the keys it',
        'names are looked at, too: run it as the user of the server to learn whether that one can read',
        'them. Nothing is started or changed, so it can be checked while a server runs on the one before.',
    ],
    options: [JSON_OPTION, CONFIG_OPTION],
    examples: [
        'imgapiadm check-config',
        'imgapiadm check-config -c /tmp/new.json && systemctl reload imgapi.target',
    ],
    exitStatuses: [
        ['0', 'the configuration is good'],
        ['1', 'it has problems'],
    ],
    run: start,
};
