import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { HeadnodeTools } from '#lib/cli/scripts/headnode/tools.js';
import { startProgram, type ProgramExit } from './running-program.js';
import { selfSigned } from './self-signed.js';
import { PROJECT_ROOT } from './server-process.js';

/** What a fake program says: the body of an answer for `sdc-*api`, else a text. */
export interface Said {
    readonly status?: number;
    readonly body?: unknown;
    readonly text?: string;
    /** The program fails with these words. */
    readonly failure?: string;
}

/** What programs say, by their names and first arguments, e.g. `sdc-vmapi /jobs/1`. */
export type Script = Readonly<Record<string, Said>>;

/** Programs of a headnode that say what a test wants, and note how they were called. */
export interface Headnode {
    readonly tools: HeadnodeTools;
    /** Where the programs are; names a PATH. */
    readonly environment: Readonly<Record<string, string>>;
    /** Changes what they say. */
    readonly say: (script: Script) => void;
    /** How they were called since the last time this was asked: program and arguments, with JSON parsed. */
    readonly calls: () => readonly (readonly unknown[])[];
    /** Runs a script of ours there. */
    readonly run: (name: string, ...args: string[]) => Promise<ProgramExit>;
}

const PROGRAMS = [
    'sdc-vmapi',
    'sdc-imgapi',
    'sdc-papi',
    'sdc-napi',
    'sdc-useradm',
    'sdc-imgadm',
    'updates-imgadm',
    'sdcadm',
];

/** Ends an argument in the list of calls, and a call: neither is in what programs are told. */
const [UNIT, RECORD] = ['\u001f', '\u001e'];

function quoted(text: string): string {
    return `'${text.replaceAll("'", "'\\''")}'`;
}

/** What a program prints, as a command. */
function command(line: string, { status = 200, body, text, failure }: Said): string {
    if (failure !== undefined) return `echo ${quoted(failure)} >&2; exit 1`;
    const isService = /^sdc-\w+api\b/.test(line);
    const status100 = 'HTTP/1.1 100 Continue\r\n\r\n';
    const head = isService
        ? `${status100}HTTP/1.1 ${status} Whatever\r\nContent-Type: application/json\r\n\r\n`
        : '';
    return `printf %s ${quoted(text ?? `${head}${JSON.stringify(body)}\n`)}`;
}

/** A program for all of them: it looks up what to say by its own name and arguments. */
function fake(script: Script): string {
    const lines = Object.keys(script).sort((a, b) => b.length - a.length);
    const cases = lines.map((line) => `${quoted(line)}*) ${command(line, script[line] ?? {})} ;;`);
    const unknown = { status: 404, body: { code: 'ResourceNotFound', message: 'no such thing' } };
    return `#!/bin/sh
program=\${0##*/}
printf '%s${UNIT}' "$program" "$@" >> "$CALLS"
printf '${RECORD}' >> "$CALLS"
case "$program $*" in
${cases.join('\n')}
*) ${command('sdc-vmapi', unknown)} ;;
esac
`;
}

/** Makes the programs of a headnode in a directory of the test. */
export function makeHeadnode(test: Test, script: Script): Headnode {
    const directory = test.testdir({});
    const environment = { PATH: directory, CALLS: join(directory, 'calls.txt') };
    const path = join(directory, 'program');
    const say = (next: Script): void => {
        writeFileSync(path, fake(next));
        chmodSync(path, 0o755);
    };
    for (const name of PROGRAMS) symlinkSync(path, join(directory, name));
    say(script);
    return {
        tools: new HeadnodeTools(environment),
        environment,
        say,
        calls: () => {
            const text = existsSync(environment.CALLS) ? readFileSync(environment.CALLS, 'utf8') : '';
            writeFileSync(environment.CALLS, '');
            const calls = text.split(RECORD).filter(Boolean);
            return calls.map((call) =>
                call
                    .split(UNIT)
                    .slice(0, -1)
                    .map((word) => (word.startsWith('{') ? (JSON.parse(word) as unknown) : word)),
            );
        },
        run: (name, ...args) =>
            startProgram(process.execPath, [join(PROJECT_ROOT, 'bin', name), ...args], environment).exited,
    };
}

/** A server in a zone that answers from the nth ping on. @returns its address */
export async function startZoneServer(test: Test, from = 1): Promise<string> {
    const { certificate, key } = selfSigned('127.0.0.1');
    let pings = 0;
    const server = createServer({ cert: certificate, key }, (_request, response) => {
        pings += 1;
        response.writeHead(pings < from ? 503 : 200, { 'content-type': 'application/json' });
        response.end('{"ping":"pong","imgapi":true}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    test.teardown(() => {
        server.closeAllConnections();
        server.close();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
