import type { LoadOptions } from '../base/config.js';
import { startProblems } from './start-problems.js';

/**
 * `--check`: prints the problems of a configuration on stdout, one a line, and what it has that is
 * not read on stderr; starts nothing (operations 1.1).
 *
 * @returns the exit status: 0 without problems, else 2
 */
export async function runConfigCheck(path: string, overrides: LoadOptions['overrides'] = {}): Promise<0 | 2> {
    const problems = await startProblems(path, {
        overrides,
        onWarning: (warning) => process.stderr.write(`warning: ${warning}\n`),
    });
    process.stdout.write(problems.map((problem) => `${problem}\n`).join(''));
    return problems.length === 0 ? 0 : 2;
}
