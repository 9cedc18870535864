import { EXIT, UsageError, type Subcommand } from '#lib/cli/imgapiadm/command.js';
import { GLOBAL_OPTIONS } from '#lib/cli/imgapiadm/common-options.js';
import { failureText } from '#lib/cli/imgapiadm/failure-text.js';
import { Terminal } from '#lib/cli/imgapiadm/terminal.js';
import { parseOptions, usageProblem } from '#lib/cli/options.js';

/** How a subcommand ended, and its lines. */
export interface SubcommandExit {
    readonly code: number;
    readonly stdout: readonly string[];
    readonly stderr: readonly string[];
}

/**
 * Runs a subcommand in this process, which is much quicker than one of its own: for what does not depend on
 * signals, rights or a terminal. Its errors become exit statuses as in `imgapiadm`.
 */
export async function runHere(
    subcommand: Subcommand,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
): Promise<SubcommandExit> {
    const texts = { stdout: '', stderr: '' };
    const screen = (name: keyof typeof texts) => ({ write: (text: string) => ((texts[name] += text), true) });
    const name = `imgapiadm ${subcommand.name}`;
    const terminal = new Terminal({
        stdin: process.stdin,
        stdout: screen('stdout'),
        stderr: screen('stderr') as unknown as NodeJS.WriteStream,
        name,
        verbose: false,
    });
    const run = async (): Promise<number> => {
        const parsed = parseOptions([...GLOBAL_OPTIONS, ...subcommand.options], args);
        const problem = usageProblem(parsed);
        if (problem !== undefined) throw new UsageError(problem);
        return await subcommand.run({ parsed, environment, terminal });
    };
    const code = await run().catch((error: unknown) => {
        terminal.note(`error: ${failureText(error)}`);
        return error instanceof UsageError ? EXIT.usage : EXIT.failed;
    });
    const lines = (text: string): string[] => text.split('\n').slice(0, -1);
    return { code, stdout: lines(texts.stdout), stderr: lines(texts.stderr) };
}
