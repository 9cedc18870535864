import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Document } from './http-client.js';
import { eventually, PROJECT_ROOT } from './server-process.js';

/** How a run of `imgapiadm` ended. */
export interface ToolExit {
    readonly code: number | null;
    readonly signal: NodeJS.Signals | null;
    /** Lines. */
    readonly stdout: readonly string[];
    readonly stderr: string;
}

const LIMIT_MS = 120_000;

/** What is run, if not `imgapiadm` without any input. */
export interface ToolOptions {
    /** Name of a file in `bin`. */
    readonly program?: string;
    /** What is typed, or piped. */
    readonly input?: string;
}

/** A run of a program in `bin` in a process of its own, without a terminal. */
export class AdminTool {
    /** Lines so far. */
    readonly stdout: string[] = [];
    readonly exited: Promise<ToolExit>;
    readonly #child: ChildProcess;
    #stderr = '';

    constructor(
        args: readonly string[],
        environment: Readonly<Record<string, string>> = {},
        { program = 'imgapiadm', input }: ToolOptions = {},
    ) {
        this.#child = spawn(process.execPath, [join(PROJECT_ROOT, 'bin', program), ...args], {
            env: { PATH: process.env['PATH'], TZ: 'UTC', ...environment },
            stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
            timeout: LIMIT_MS,
            killSignal: 'SIGKILL',
        });
        this.#child.stdin?.end(input);
        this.exited = this.#collect();
    }

    get stderr(): string {
        return this.#stderr;
    }

    get pid(): number {
        return this.#child.pid ?? -1;
    }

    signal(name: NodeJS.Signals): void {
        this.#child.kill(name);
    }

    /** Waits until stderr has a text. */
    async said(text: string): Promise<void> {
        await eventually(`"${text}"`, LIMIT_MS, () => this.#stderr.includes(text));
    }

    /** Waits until so many lines are printed. */
    async printed(count: number): Promise<void> {
        await eventually(`${count} lines`, LIMIT_MS, () => this.stdout.length >= count);
    }

    async #collect(): Promise<ToolExit> {
        const { stdout, stderr } = this.#child;
        if (stdout === null || stderr === null) throw new Error('no pipes');
        stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
        createInterface({ input: stdout }).on('line', (line) => this.stdout.push(line));
        const [code, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null];
        return { code, signal, stdout: this.stdout, stderr: this.#stderr };
    }
}

/** Runs `imgapiadm`, or another program, to its end. */
export function runTool(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    options: ToolOptions = {},
): Promise<ToolExit> {
    return new AdminTool(args, environment, options).exited;
}

/** What `--json` printed: the lines by their uuids, and the summary, which is the last line. */
export function parseReport(lines: readonly string[]): {
    readonly images: ReadonlyMap<string, Document>;
    readonly summary: Document;
} {
    const documents = lines.map((line) => JSON.parse(line) as Document);
    const last = documents.pop();
    if (last === undefined || Object.keys(last).join() !== 'summary') throw new Error('no summary');
    return {
        images: new Map(documents.map((document) => [String(document['uuid']), document])),
        summary: last['summary'] as Document,
    };
}
