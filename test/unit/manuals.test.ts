import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { describedBy, headline } from '#lib/cli/docs/manual/manual.js';
import { manPages } from '#lib/cli/docs/manual/man-pages.js';
import { markdownOf } from '#lib/cli/docs/manual/markdown.js';
import { roffPage } from '#lib/cli/docs/manual/roff.js';
import { SERVER_FILES } from '#lib/cli/docs/manual/server-manual.js';
import { TOOL_ENVIRONMENT } from '#lib/cli/docs/manual/tool-manual.js';
import { GLOBAL_OPTIONS } from '#lib/cli/imgapiadm/common-options.js';
import { allSubcommands } from '#lib/cli/imgapiadm/subcommands.js';
import { parseOptions, usageProblem } from '#lib/cli/options.js';
import { SCRIPTS } from '#lib/cli/scripts/all-scripts.js';
import { SCRIPT_HELP_OPTION } from '#lib/cli/scripts/script.js';
import { SERVER_OPTIONS } from '#lib/cli/server-options.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';

const SUBCOMMANDS = await allSubcommands();

const read = (...path: readonly string[]): string => readFileSync(join(PROJECT_ROOT, ...path), 'utf8');

void t.test('the pages of the manual are those of the code', (t) => {
    const pages = manPages();
    t.same(readdirSync(join(PROJECT_ROOT, 'docs/man')).sort(), [...pages.keys()].sort());
    for (const [name, page] of pages) {
        t.equal(read('docs/man', name), page, name);
    }
    t.end();
});

void t.test('every command has its page', (t) => {
    const launchers = readdirSync(join(PROJECT_ROOT, 'bin')).filter((name) =>
        read('bin', name).includes('runScript('),
    );
    const tools = readdirSync(join(PROJECT_ROOT, 'tools/standalone'));
    const scripts = [...launchers, ...tools].sort();
    t.same(SCRIPTS.map(({ name }) => name).sort(), scripts, 'all scripts are in the table');
    const page = (name: string): string => (manPages().get(`${name}.8`) ?? '').replaceAll('\\-', '-');
    for (const { name, options } of SCRIPTS) {
        for (const option of options)
            t.ok(page(name).includes(`--${option.name}`), `${name} --${option.name}`);
    }
    for (const { name, options } of SUBCOMMANDS) {
        t.ok(page('imgapiadm').includes(`.SS "${name}"`), name);
        for (const option of options)
            t.ok(page('imgapiadm').includes(`--${option.name}`), `--${option.name}`);
    }
    for (const { name } of SERVER_OPTIONS) t.ok(page('imgapi').includes(`--${name}`), name);
    const files = SERVER_FILES.map(([names]) => names).join(', ');
    for (const path of Object.values(baseDirectories(''))) {
        t.ok(path === '.' || path === 'run' || files.includes(`${path}/`), `${path} is described`);
    }
    const code = readdirSync(join(PROJECT_ROOT, 'src/cli/imgapiadm'), { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => read('src/cli/imgapiadm', path))
        .join('\n');
    for (const name of TOOL_ENVIRONMENT.flatMap(([names]) => names.split(', '))) {
        t.ok(code.includes(`'${name}'`), `${name} is read`);
    }
    t.end();
});

void t.test('examples are command lines that are understood', (t) => {
    /** The words of the first command of that name on a line, without what the shell does with it. */
    const words = (line: string, name: string): string[] => {
        const start = new RegExp(`(?:^|[\\s(])${name}(?=\\s|$)`).exec(line);
        const rest = start === null ? '' : line.slice(start.index + start[0].length);
        return (/^[^|;&#><)]*/.exec(rest)?.[0] ?? '').trim().split(/\s+/).filter(Boolean);
    };
    const check = (line: string, name: string, options: Parameters<typeof parseOptions>[0]): void => {
        t.ok(line.includes(name), line);
        t.equal(usageProblem(parseOptions(options, words(line, name))), undefined, line);
    };
    for (const { name, options, examples } of SUBCOMMANDS) {
        t.ok(examples.length > 0, name);
        examples.forEach((line) => check(line, `imgapiadm ${name}`, [...GLOBAL_OPTIONS, ...options]));
    }
    for (const { name, options, examples } of SCRIPTS) {
        examples.forEach((line) => check(line, name, [SCRIPT_HELP_OPTION, ...options]));
    }
    t.end();
});

void t.test('what is said becomes roff and Markdown', (t) => {
    const blocks = describedBy(['One', "it's.", '', '  a  -1', '  .b\\', 'Two <x> *y*.']);
    t.same(blocks, [
        { kind: 'text', paragraphs: ["One it's."] },
        { kind: 'code', lines: ['  a  -1', '  .b\\'] },
        { kind: 'text', paragraphs: ['Two <x> *y*.'] },
    ]);
    t.equal(markdownOf(blocks), "One it's.\n\n```text\na  -1\n.b\\\n```\n\nTwo \\<x> \\*y\\*.");
    const page = roffPage({
        name: 'a-b',
        summary: headline('Does "x".'),
        usage: '',
        sections: [
            { title: 'Text', blocks },
            { title: 'List', blocks: [{ kind: 'list', items: [['-x "Y"', '.5 of it']] }] },
        ],
    });
    t.equal(
        page.slice(page.indexOf('.SH NAME')),
        [
            '.SH NAME',
            'a\\-b \\- does "x"',
            '.SH SYNOPSIS',
            '.B "a\\-b"',
            '.SH "TEXT"',
            'One it\\(aqs.',
            '.PP',
            '.RS 4',
            '.nf',
            '  a  \\-1',
            '  .b\\e',
            '.fi',
            '.RE',
            '.PP',
            'Two <x> *y*.',
            '.SH "LIST"',
            '.TP',
            '.B "\\-x \\(dqY\\(dq"',
            '\\&.5 of it',
            '',
        ].join('\n'),
    );
    t.end();
});

const formatter = ['groff', 'mandoc'].find((name) => spawnSync(name, ['-v']).error === undefined);

void t.test(
    'the pages are well formed',
    { skip: formatter === undefined ? 'neither groff nor mandoc is installed' : false },
    (t) => {
        for (const [name, page] of manPages()) {
            const args = formatter === 'groff' ? ['-ww', '-man', '-Tutf8'] : ['-man', '-Wwarning,stop'];
            const { status, stdout, stderr } = spawnSync(formatter ?? '', args, {
                input: page,
                encoding: 'utf8',
            });
            t.equal(status, 0, name);
            t.equal(stderr, '', name);
            t.ok(stdout.length > 500, name);
        }
        t.end();
    },
);
