import type { ExitStatus, Subcommand } from '../imgapiadm/command.js';
import { GLOBAL_OPTIONS } from '../imgapiadm/common-options.js';
import type { ScriptDefinition } from './script.js';

const STATUSES: readonly ExitStatus[] = [
    ['0', 'done'],
    ['1', 'anything else, with the reason on stderr, or a line about each file that is not as it should be'],
    ['130', 'ended by Ctrl-C'],
];

/** A subcommand of `imgapiadm` under the name operators know it by (operations 2.3). */
export function standaloneScript(
    subcommand: Subcommand,
    exitStatuses: readonly ExitStatus[] = STATUSES,
    name = `imgapi-standalone-${subcommand.name}`,
): ScriptDefinition {
    const examples = subcommand.examples.map((example) =>
        example.replace(`imgapiadm ${subcommand.name}`, name),
    );
    const verbose = GLOBAL_OPTIONS.filter((option) => option.name === 'verbose');
    return { ...subcommand, name, examples, exitStatuses, options: [...verbose, ...subcommand.options] };
}
