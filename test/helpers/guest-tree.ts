import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROJECT_ROOT, temporaryDirectory } from './server-process.js';

/** What a script did to a guest. */
export interface GuestRun {
    readonly code: number | null;
    /** Commands of the guest it called, with their arguments, in order. */
    readonly calls: readonly string[];
    /** What was put into the metadata, in order. */
    readonly metadata: readonly (readonly [key: string, value: string])[];
    /** What it wrote to its terminal. */
    readonly output: string;
}

/** Tools that work on the files they are given; everything else a script calls is a stand-in. */
const REAL_TOOLS = [
    'awk',
    'bash',
    'cat',
    'chmod',
    'cp',
    'find',
    'mkdir',
    'rm',
    'sed',
    'tail',
    'touch',
    'truncate',
];
const RUN_LIMIT_MS = 20_000;

/** Takes down the call; a file `<name>.does` beside it, if there is one, is what else it does. */
const STAND_IN = `#!/bin/bash
name="\${0##*/}"
: "\${GUEST_RECORDS:?}"
printf '%s\\n' "$name\${*:+ $*}" >> "$GUEST_RECORDS/calls"
if [ "$name" = mdata-put ]; then
    printf '%s\\0%s\\0' "$1" "$2" >> "$GUEST_RECORDS/metadata"
fi
[ ! -f "$0.does" ] || . "$0.does"
`;

function findTool(name: string): string {
    const path = ['/usr/bin', '/bin'].map((directory) => join(directory, name)).find(existsSync);
    if (path === undefined) throw new Error(`no ${name} on this machine`);
    return path;
}

/**
 * A guest in a temporary directory: a tree of files, and a PATH of nothing but a few tools and stand-ins,
 * so that whatever a script does stays in there.
 */
export class GuestTree {
    readonly root: string;
    readonly #top: string;
    readonly #bin: string;

    /** @param commands of the guest, by name: what they do in Bash beside being recorded */
    constructor(commands: Readonly<Record<string, string>>) {
        this.#top = temporaryDirectory();
        this.root = join(this.#top, 'root');
        this.#bin = join(this.#top, 'bin');
        for (const directory of [this.root, this.#bin]) mkdirSync(directory);
        const always = { 'mdata-put': '', 'mdata-get': 'exit 1', sync: '', sleep: '', shutdown: '' };
        const standIns: Readonly<Record<string, string>> = { ...always, ...commands };
        for (const name of REAL_TOOLS) {
            if (!(name in standIns)) symlinkSync(findTool(name), join(this.#bin, name));
        }
        // A new file each, or none: what is written must never go through a link to a tool of this machine.
        const onlyNew = { flag: 'wx' };
        for (const [name, does] of Object.entries(standIns)) {
            const path = join(this.#bin, name);
            writeFileSync(path, STAND_IN, { ...onlyNew, mode: 0o755 });
            if (does !== '') writeFileSync(`${path}.does`, `${does}\n`, onlyNew);
        }
    }

    write(path: string, text = 'text'): void {
        const full = join(this.root, path);
        mkdirSync(dirname(full), { recursive: true });
        writeFileSync(full, text);
    }

    /** Text of a file; `undefined`: there is none. */
    read(path: string): string | undefined {
        const full = join(this.root, path);
        return existsSync(full) ? readFileSync(full, 'utf8') : undefined;
    }

    /** Runs one of the shipped scripts to its end. */
    async run(name: string): Promise<GuestRun> {
        const child = spawn(findTool('bash'), [join(PROJECT_ROOT, 'tools/prepare-image', name)], {
            cwd: this.root,
            env: { PATH: this.#bin, PREPARE_IMAGE_ROOT: this.root, GUEST_RECORDS: this.#top },
            stdio: ['ignore', 'pipe', 'pipe'],
            timeout: RUN_LIMIT_MS,
        });
        let output = '';
        child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
        child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
        const [code] = (await once(child, 'close')) as [number | null];
        const calls = readFileSync(join(this.#top, 'calls'), 'utf8').split('\n').slice(0, -1);
        const parts = readFileSync(join(this.#top, 'metadata'), 'utf8').split('\0').slice(0, -1);
        const metadata = parts.flatMap((key, i) => (i % 2 === 0 ? [[key, parts[i + 1] ?? ''] as const] : []));
        return { code, calls, metadata, output };
    }

    remove(): void {
        rmSync(this.#top, { recursive: true, force: true });
    }
}
