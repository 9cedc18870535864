import t from 'tap';
import { UsageError } from '#lib/cli/imgapiadm/command.js';
import { parseOptions, usageProblem, type CommandOption, type ParsedOptions } from '#lib/cli/options.js';
import { runScript, type ScriptDefinition } from '#lib/cli/scripts/script.js';
import { paragraphs, TableCommand, wrapped } from '#lib/cli/table-command.js';

const TABLE: readonly CommandOption[] = [
    { name: 'debug', short: 'd', help: ['More', 'talk.'] },
    { name: 'file', short: 'f', argument: 'PATH', help: ['A file.'] },
    { name: 'no-cache', help: ['No cache.'] },
];

void t.test('a command line taken apart', (t) => {
    const cases: [string, Partial<Record<keyof ParsedOptions, unknown>>][] = [
        ['', { counts: {}, values: {}, lists: {}, positionals: [], unknown: [], misused: [] }],
        ['-ddd', { counts: { debug: 3 }, values: {} }],
        ['-d a --debug b', { counts: { debug: 2 }, positionals: ['a', 'b'] }],
        ['-f a --file=b -fc', { values: { file: 'c' }, lists: { file: ['a', 'b', 'c'] } }],
        ['-df --debug', { counts: { debug: 1, file: 1 }, values: { file: '--debug' } }],
        ['--file= x', { values: { file: '' }, positionals: ['x'] }],
        ['-f -1', { values: { file: '-1' } }],
        ['--no-cache', { counts: { 'no-cache': 1 }, unknown: [] }],
        ['--cache', { counts: {}, unknown: ['--cache'] }],
        ['- -- -d --', { counts: {}, positionals: ['-', '-d', '--'], unknown: [] }],
        ['-x a -dy --zoo=1 --zoo -x -- -q', { counts: { debug: 1 }, unknown: ['-x', '-y', '--zoo'] }],
        ['-x a -d b -- -q', { counts: { debug: 1 }, positionals: ['a', 'b', '-q'] }],
        ['--deb', { unknown: ['--deb'] }],
        ['--debug=1', { counts: {}, misused: ['option takes no argument: --debug'] }],
        ['-d --file', { counts: { debug: 1 }, misused: ['option requires an argument: --file'] }],
        ['-x -ddf', { counts: { debug: 2 }, unknown: ['-x'], misused: ['option requires an argument: -f'] }],
        [
            '--debug=1 -f',
            { misused: ['option takes no argument: --debug', 'option requires an argument: -f'] },
        ],
    ];
    for (const [line, expected] of cases) {
        const parsed = parseOptions(TABLE, line === '' ? [] : line.split(' '));
        const shown = {
            ...parsed,
            counts: Object.fromEntries(parsed.counts),
            values: Object.fromEntries(parsed.values),
            lists: Object.fromEntries(parsed.lists),
        };
        t.match(shown, expected, line);
        if (expected.counts !== undefined) t.same(shown.counts, expected.counts, line);
        if (expected.values !== undefined) t.same(shown.values, expected.values, line);
    }
    t.equal(usageProblem(parseOptions(TABLE, ['-f'])), 'option requires an argument: -f');
    t.equal(usageProblem(parseOptions(TABLE, ['-x', '-f'])), 'unknown option: -x');
    t.equal(usageProblem(parseOptions(TABLE, ['-d'])), undefined);
    t.throws(() => parseOptions([...TABLE, { name: 'dry', short: 'd', help: [] }], []), /conflicting/);
    t.end();
});

void t.test('a help text', (t) => {
    const words = (count: number): string => Array.from({ length: count }, () => 'word').join(' ');
    t.same(wrapped(`${words(16)}\n\n  term   ${words(16)}\n  ${words(16)}\n  short`, 60).split('\n'), [
        words(12),
        words(4),
        '',
        `  term   ${words(10)}`,
        `         ${words(6)}`,
        `  ${words(11)}`,
        `      ${words(5)}`,
        '  short',
    ]);
    t.same(paragraphs(['a', 'b', '', 'c', '  x  y', '  z', 'd']), ['a b', '', 'c', '  x  y', '  z', 'd']);
    const help = new TableCommand('tool', TABLE)
        .describe({ usage: '[OPTIONS]', description: ['What', 'it does.'], sections: [['More', ['a', 'b']]] })
        .helpInformation();
    t.equal(
        help,
        `Usage: tool [OPTIONS]

What it does.

Options:
  -d, --debug      More talk.
  -f, --file PATH  A file.
  --no-cache       No cache.

More:
  a
  b
`,
    );
    t.end();
});

void t.test('a script', async (t) => {
    const script = (
        run: ScriptDefinition['run'],
        more: Partial<ScriptDefinition> = {},
    ): ScriptDefinition => ({
        name: 'imgapi-try',
        summary: 'Try.',
        usage: '[OPTIONS]',
        description: ['Tries.'],
        options: TABLE,
        examples: ['imgapi-try -d'],
        exitStatuses: [['0', 'done']],
        run,
        ...more,
    });
    const trace = process.env['TRACE'];
    const run = async (
        definition: ScriptDefinition,
        ...argv: string[]
    ): Promise<{ status: number; out: string; err: string }> => {
        const out = t.capture(process.stdout, 'write', () => true);
        const err = t.capture(process.stderr, 'write', () => true);
        const textOf = (capture: typeof out): string =>
            capture()
                .map(({ args }) => args[0])
                .join('');
        try {
            const status = await runScript(definition, argv);
            return { status, out: textOf(out), err: textOf(err) };
        } finally {
            out.restore();
            err.restore();
        }
    };
    delete process.env['TRACE'];
    const fine = script(({ parsed, terminal }) => {
        terminal.trace('step 1');
        terminal.line(`${parsed.counts.get('debug') ?? 0} ${parsed.positionals.join()}`);
        return Promise.resolve(7);
    });
    t.same(await run(fine, '-d', 'x'), { status: 7, out: '1 x\n', err: '' });
    const help = await run(fine, '-d', '--help');
    t.match(help, { status: 0, err: '' });
    for (const text of [
        'Usage: imgapi-try [OPTIONS]',
        '-h, --help',
        '-f, --file PATH',
        '0  done',
        'imgapi-try -d',
    ])
        t.ok(help.out.includes(text), text);
    t.same(await run(fine, '--colour'), {
        status: 1,
        out: '',
        err: 'imgapi-try: error: unknown option: --colour\n',
    });
    const failing = (error: Error) =>
        script(() => Promise.reject(error), { usageStatus: 3, failureStatus: 4 });
    t.same(await run(failing(new UsageError('no'))), { status: 3, out: '', err: 'imgapi-try: error: no\n' });
    t.same(await run(failing(new Error('oh'))), { status: 4, out: '', err: 'imgapi-try: error: oh\n' });
    process.env['TRACE'] = '1';
    t.teardown(() => {
        if (trace === undefined) delete process.env['TRACE'];
        else process.env['TRACE'] = trace;
    });
    t.equal((await run(fine)).err, 'imgapi-try: step 1\n');
    t.match((await run(failing(new Error('oh')))).err, /error: oh\nError: oh\n {4}at /);
});
