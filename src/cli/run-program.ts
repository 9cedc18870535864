import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** How a program ended. */
export interface ProgramResult {
    /** Its exit status; `null`: ended by a signal, as when its time was over. */
    readonly status: number | null;
    readonly stdout: string;
    readonly stderr: string;
}

/** What {@link runProgram} can be told beside the program. */
export interface ProgramOptions {
    readonly timeoutMs: number;
    /** Default: the one of this process. */
    readonly environment?: NodeJS.ProcessEnv;
}

/** More output than this is not kept. */
const MAX_OUTPUT = 1024 * 1024;

/**
 * Runs a program to its end.
 *
 * @throws Error when it cannot be started
 */
export async function runProgram(
    program: string,
    args: readonly string[],
    { timeoutMs, environment = process.env }: ProgramOptions,
): Promise<ProgramResult> {
    const child = spawn(program, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: environment,
        timeout: timeoutMs,
        killSignal: 'SIGKILL',
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
        child[name].setEncoding('utf8').on('data', (text: string) => {
            output[name] = (output[name] + text).slice(0, MAX_OUTPUT);
        });
    }
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, ...output };
}
