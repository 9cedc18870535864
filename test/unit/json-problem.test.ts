import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { jsonProblem } from '#lib/base/json-problem.js';

function problemOf(text: string): string {
    try {
        JSON.parse(text);
    } catch (error) {
        return jsonProblem(text, error);
    }
    return 'none';
}

await t.test('what the parser says, and where', (t) => {
    for (const [text, expected] of [
        ['{"ufds": {\n  "bindPassword": "secret"x\n}}', /in JSON at position 37 \(line 2 column 27\)$/],
        ['{"bindPassword": secretword, "b": 1}', "Unexpected token 's' in JSON (line 1 column 18)"],
        ['{"a":\n1,\n"bindPassword": secretword}', "Unexpected token 's' in JSON (line 3 column 17)"],
        ['{"a": x, "ab": 1, "ab": 1}', /^Unexpected token 'x' in JSON/],
        ['secret', "Unexpected token 's' in JSON"],
        ['', 'Unexpected end of JSON input'],
        ['{"a', 'Unterminated string in JSON at position 3 (line 1 column 4)'],
    ] as const) {
        t.match(problemOf(text), expected, text);
    }
    t.end();
});

await t.test('nothing of the text but one character is in it', (t) => {
    const words = fc.constantFrom('{', '}', '[', ']', ':', ',', '"', '\\', '\n', '...', ' is not valid JSON');
    const secret = 'QZQZQZ';
    fc.assert(
        fc.property(fc.array(fc.oneof(words, fc.constant(secret), fc.constant(`"${secret}"`))), (parts) => {
            const problem = problemOf(parts.join(''));
            return !problem.includes('QZ');
        }),
        { numRuns: 2000 },
    );
    t.end();
});

await t.test('a server that cannot start does not log what is near the mistake', (t) => {
    const base = t.testdir({ 'c.json': '{"port": 80, "ufds": {"bindPassword": hunter2hunter2}}' });
    const path = join(base, 'c.json');
    for (const args of [
        ['main.js', '-f', path],
        ['main.js', '-f', path, '--check'],
        ['bin/imgapiadm', 'config', '-c', path],
    ]) {
        const { status, stdout, stderr } = spawnSync(process.execPath, args, {
            encoding: 'utf8',
            timeout: 60_000,
        });
        t.not(status, 0);
        t.match(stdout + stderr, /could not parse .*c\.json: Unexpected token 'h'/);
        t.notMatch(stdout + stderr, /hunter/);
    }
    t.end();
});
