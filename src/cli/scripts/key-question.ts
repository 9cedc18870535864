import type { ParsedOptions } from '../options.js';
import type { ScriptDefinition } from './script.js';

/** What a file of `lib/` that operator scripts run says of itself. */
type KeyQuestion = Pick<ScriptDefinition, 'name' | 'summary' | 'description' | 'options' | 'examples'> & {
    /**
     * Does the work of a correct command line.
     *
     * @param key the argument, if there is one
     * @returns the exit status
     * @throws Error whose message is printed; the exit status is then 1
     */
    readonly answer: (parsed: ParsedOptions, key: string | undefined) => number | Promise<number>;
};

/** In the words that operator scripts have known so far (backends 1.6). */
function usageProblem({ unknown, misused, positionals }: ParsedOptions): string | undefined {
    const [option] = unknown;
    if (option !== undefined) {
        return `unknown option: "${option}"`;
    }
    return misused[0] ?? (positionals.length > 1 ? `too many args: ${positionals.join(' ')}` : undefined);
}

/** A script that prints everything, or one thing by its key (operations 1.1). */
export function keyQuestion({ answer, ...definition }: KeyQuestion): ScriptDefinition {
    return {
        ...definition,
        usage: '[OPTIONS] [KEY]',
        usageProblem,
        exitStatuses: [
            ['0', 'printed'],
            ['1', 'anything else, with the reason on stderr'],
        ],
        run: async ({ parsed }) => answer(parsed, parsed.positionals[0]),
    };
}
