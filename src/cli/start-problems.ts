import { checkConfig, loadConfig, type LoadOptions } from '../base/config.js';
import type { Config } from '../base/config-types.js';
import { messageOf } from '../base/errors.js';

/** The message of what goes wrong; none: it went well. */
async function problemOf(work: () => Promise<unknown>): Promise<string[]> {
    try {
        await work();
        return [];
    } catch (error) {
        return [messageOf(error)];
    }
}

/** What is wrong with the files that a configuration names and that a start reads. */
async function fileProblems({ tls, manta }: Config): Promise<string[]> {
    const problems: string[] = [];
    if (tls !== undefined) {
        const { readTlsCredentials } = await import('../http/tls-credentials.js');
        problems.push(...(await problemOf(() => readTlsCredentials(tls))));
    }
    if (manta !== undefined) {
        const { readMantaKey } = await import('../remotes/manta/manta-key.js');
        problems.push(...(await problemOf(() => readMantaKey(manta))));
    }
    return problems;
}

/**
 * Everything in a configuration that would keep a server from starting, one line each with its dotted key: problems
 * of the file, and if it has none, those of the certificate and the keys it names, as this user reads them
 * (operations 1.1).
 */
export async function startProblems(path: string, options: LoadOptions = {}): Promise<string[]> {
    const problems = checkConfig(path, options);
    return problems.length > 0
        ? problems
        : fileProblems(loadConfig(path, { ...options, onWarning: () => undefined }));
}
