import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

const LIMIT_MS = 60_000;

/** How a program ended, and what it said. */
export interface ProgramExit {
    readonly code: number | null;
    readonly stdout: string;
    readonly stderr: string;
}

/** A program in a process of its own, without any input. */
export interface RunningProgram {
    readonly child: ChildProcess;
    /** What it has said so far. */
    readonly stdout: () => string;
    readonly stderr: () => string;
    readonly exited: Promise<ProgramExit>;
}

/** Starts a program; what it says is kept as it is. */
export function startProgram(
    program: string,
    args: readonly string[],
    environment: Readonly<Record<string, string | undefined>>,
): RunningProgram {
    const child = spawn(program, args, {
        env: environment,
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: LIMIT_MS,
        killSignal: 'SIGKILL',
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const exited = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
    return { child, stdout: () => stdout, stderr: () => stderr, exited };
}
