import { unsupportedSettings } from '../app/supported.js';
import { askedSettings, checkConfig, type LoadOptions } from '../base/config.js';

/**
 * `--check`: prints the problems of a configuration on stdout, one a line, and what it has that is
 * not read on stderr; starts nothing (operations 1.1). What this release cannot run is a problem too.
 *
 * @returns the exit status: 0 without problems, else 2
 */
export function runConfigCheck(path: string, overrides: LoadOptions['overrides'] = {}): 0 | 2 {
    const invalid = checkConfig(path, {
        overrides,
        onWarning: (warning) => process.stderr.write(`warning: ${warning}\n`),
    });
    // First, so that nobody completes the settings of something that is not there.
    const problems = [...unsupportedSettings(askedSettings(path)), ...invalid];
    process.stdout.write(problems.map((problem) => `${problem}\n`).join(''));
    return problems.length === 0 ? 0 : 2;
}
