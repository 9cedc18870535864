import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { parseChallenges } from '#lib/remotes/docker/challenges.js';

type Row = [scheme: string, params: Readonly<Record<string, string>>];

function read(header: string | readonly string[] | undefined): Row[] {
    return parseChallenges(header).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);
}

void t.test('challenges as registries send them', async (t) => {
    const rows: [header: string | string[] | undefined, expected: Row[]][] = [
        [undefined, []],
        ['', []],
        [
            'Basic realm="a registry, with \\"quotes\\" and \\\\"',
            [['basic', { realm: 'a registry, with "quotes" and \\' }]],
        ],
        ['BASIC', [['basic', {}]]],
        [
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"',
            [['bearer', { realm: 'https://auth.docker.io/token', service: 'registry.docker.io' }]],
        ],
        [
            'bEARER Realm = "https://a/t?x=1,2" , SERVICE=b,scope="repository:a/b:pull,push", error=""',
            [
                [
                    'bearer',
                    {
                        realm: 'https://a/t?x=1,2',
                        service: 'b',
                        scope: 'repository:a/b:pull,push',
                        error: '',
                    },
                ],
            ],
        ],
        [
            'Basic realm="r", Bearer realm="https://a/t", service="s"',
            [
                ['basic', { realm: 'r' }],
                ['bearer', { realm: 'https://a/t', service: 's' }],
            ],
        ],
        [
            ['Negotiate', 'Negotiate YII==, Basic realm=r', 'Bearer realm=https://a:5000/t'],
            [
                ['negotiate', {}],
                ['negotiate', {}],
                ['basic', { realm: 'r' }],
                ['bearer', { realm: 'https://a:5000/t' }],
            ],
        ],
        ['Bearer realm="first", realm="second"', [['bearer', { realm: 'first' }]]],
        [', ,Basic ,', [['basic', {}]]],
        ['realm="nobody\'s", Basic', [['basic', {}]]],
    ];
    for (const [header, expected] of rows) {
        t.strictSame(read(header), expected, String(header));
    }
    t.match(read('Bearer realm="without end'), [['bearer', {}]], 'the parameter does not count');
});

const TOKEN = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/);
const VALUE = fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
const SPACE = fc.constantFrom('', ' ', '\t', '  ');
const PARAM = fc.record({
    name: TOKEN,
    value: fc.oneof(VALUE, TOKEN),
    isQuoted: fc.boolean(),
    before: SPACE,
    after: SPACE,
});
const CHALLENGE = fc.record({
    scheme: TOKEN,
    params: fc.uniqueArray(PARAM, { selector: ({ name }) => name.toLowerCase(), maxLength: 5 }),
});

function quote(value: string): string {
    return `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
}

void t.test('whatever is written as challenges is read again', async () => {
    const isBare = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
    fc.assert(
        fc.property(fc.array(CHALLENGE, { maxLength: 4 }), SPACE, (challenges, gap) => {
            const header = challenges
                .map(({ scheme, params }) => {
                    const list = params.map(
                        ({ name, value, isQuoted, before, after }) =>
                            `${name}${before}=${after}${isQuoted || !isBare.test(value) ? quote(value) : value}`,
                    );
                    return list.length === 0 ? scheme : `${scheme} ${list.join(`${gap},${gap}`)}`;
                })
                .join(', ');
            const expected = challenges.map(({ scheme, params }): Row => [
                scheme.toLowerCase(),
                Object.fromEntries(params.map(({ name, value }) => [name.toLowerCase(), value])),
            ]);
            assert.deepEqual(read(header), expected);
        }),
        { numRuns: 300 },
    );
});

void t.test('no text is too odd', async (t) => {
    fc.assert(
        fc.property(fc.string({ maxLength: 300 }), (text) => {
            return parseChallenges(text).every(({ scheme }) => scheme === scheme.toLowerCase());
        }),
    );
    const before = performance.now();
    for (const part of ['a', 'a ', 'a=', '"', '"\\', ',', 'a="', 'a a=', '=\t']) {
        parseChallenges(part.repeat(16_384 / part.length));
    }
    const took = performance.now() - before;
    t.ok(took < 5000, `long headers take no long time: ${took} ms`);
});
