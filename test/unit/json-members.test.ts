import { deepStrictEqual } from 'node:assert/strict';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { OutgoingError } from '#lib/base/http-errors.js';
import { jsonMembers, NoSuchObject } from '#lib/base/json-members.js';

/** A text in chunks of a few bytes, so that every token is cut somewhere. */
function bodyOf(text: string, size = 3): Readable {
    const bytes = Buffer.from(text);
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    return Readable.from(chunks, { objectMode: false });
}

async function read(text: string, path: readonly string[], { size = 3, maxBytes = 1000 } = {}) {
    const members: (readonly [string, unknown])[] = [];
    for await (const member of jsonMembers(bodyOf(text, size), path, maxBytes)) members.push(member);
    return members;
}

/** How reading fails. */
async function failureOf(reading: Promise<unknown>): Promise<OutgoingError> {
    const error: unknown = await reading.then(
        () => undefined,
        (failure: unknown) => failure,
    );
    if (!(error instanceof OutgoingError)) throw new Error(`no such failure: ${String(error)}`);
    return error;
}

void t.test('members of an object somewhere inside', async (t) => {
    const text = JSON.stringify({
        db: 'no object',
        list: [{ db: { x: { a: 'wrong' } } }, '{"db":{"x":{"a":1}}}', ['db']],
        other: { x: { a: 'wrong' }, db: { x: 1 } },
    });
    const whole = `${text.slice(0, -1)}, "db" : {"y":{"x":{"a":0}},"x": { "a" : {"b":[1,{"c":"}\\"]"}]} ,"ü\\n":-1.5e3, "":"",
        "t":true},"z":[]},"x":{"a":"wrong"}}`;
    t.strictSame(await read(whole, ['db', 'x']), [
        ['a', { b: [1, { c: '}"]' }] }],
        ['ü\n', -1500],
        ['', ''],
        ['t', true],
    ]);
    t.strictSame(await read('{"a":1,"b":[2]}', []), [
        ['a', 1],
        ['b', [2]],
    ]);
    t.strictSame(await read('{"db":{"x":{}}}', ['db', 'x']), []);
});

void t.test('what is not there, or no JSON', async (t) => {
    for (const text of [
        '{}',
        '[]',
        '[{"db":{"x":{"a":1}}}]',
        '["db",{"x":{"a":1}}]',
        '{"db":{"x":[1]}}',
        '1',
    ]) {
        await t.rejects(read(text, ['db', 'x']), NoSuchObject, text);
    }
    t.match(await failureOf(read('{"db":{"x":{"a":1', ['db', 'x'])), { kind: 'malformed' });
    t.match(await failureOf(read('{"db":{"x":{"a":nul}}}', ['db', 'x'])), { kind: 'malformed' });
    const long = `{"long":"${'.'.repeat(2000)}","db":{"x":{"a":"${'.'.repeat(50)}"}}}`;
    t.equal((await read(long, ['db', 'x'], { maxBytes: 52 })).length, 1, 'nothing else is kept');
    t.match(await failureOf(read(long, ['db', 'x'], { maxBytes: 51 })), { kind: 'too-large' });
});

void t.test('any object, in chunks of any size', async (t) => {
    const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 }));
    await fc.assert(
        fc.asyncProperty(object, fc.integer({ min: 1, max: 20 }), fc.boolean(), async (value, size, wide) => {
            const text = JSON.stringify({ a: value, db: { x: value }, z: value }, null, wide ? 2 : 0);
            const members = await read(text, ['db', 'x'], { size, maxBytes: 1_000_000 });
            const expected = JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
            deepStrictEqual(members, Object.entries(expected));
        }),
        { numRuns: 200 },
    );
    t.pass('all the same');
});
