import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { buildImage } from '#lib/manifest/build.js';
import type { JsonObject, JsonValue, ManifestRules } from '#lib/manifest/types.js';

import { validateRaw } from '#lib/manifest/validate.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';

interface Vector {
    readonly id: string;
    readonly operation: 'create' | 'import' | 'placeholder' | 'raw';
    readonly mode: 'public' | 'private' | 'dc' | 'public+ch';
    readonly fragment: JsonObject;
    /** `V`: ValidationFailed; `P`: InvalidParameter. */
    readonly expected: 'OK' | 'V' | 'P';
    readonly message?: string;
    readonly entries?: readonly (readonly [string, string, string?])[];
}

const { messages, vectors } = JSON.parse(
    readFileSync(join(PROJECT_ROOT, 'test', 'fixtures', 'manifest-vectors.json'), 'utf8'),
) as { messages: Readonly<Record<string, string>>; vectors: readonly Vector[] };

const UUID = 'c58161c0-2547-11e2-a75e-9fdca1940570';
const FILE = { sha1: '046c168df2244d3a13985f042a50e479fe56455e', size: 4, compression: 'none' };

/** Fragment values that stand for others (manifest 12). */
function expand(value: JsonValue): JsonValue {
    if (typeof value === 'string') {
        return expandText(value);
    }
    if (Array.isArray(value)) {
        return (value as readonly JsonValue[]).map(expand);
    }
    if (typeof value === 'object' && value !== null) {
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, expand(inner)]));
    }
    return value;
}

function repeated(text: string): string {
    return text.replace(/\$repeat:(.):(\d+)/, (_, character: string, count: string) =>
        character.repeat(Number(count)),
    );
}

function expandText(text: string): JsonValue {
    if (text === '$f') {
        return FILE;
    }
    if (text === '$file') {
        return [FILE];
    }
    const http = /^\$http:(\d+)$/.exec(text);
    return http === null ? repeated(text) : 'http://x/'.padEnd(Number(http[1]), 'a');
}

function baseOf({ operation, mode }: Vector): JsonObject {
    const name = { name: 'n', version: '1' };
    if (operation === 'placeholder') {
        return { uuid: UUID, owner: '00000000-0000-0000-0000-000000000000', ...name };
    }
    return {
        v: 2,
        owner: '00000000-0000-0000-0000-000000000000',
        ...name,
        type: 'zone-dataset',
        os: 'smartos',
        public: mode.startsWith('public'),
        ...(operation === 'create' ? {} : { uuid: UUID }),
        ...(operation === 'raw' ? { disabled: false, activated: false, state: 'unactivated' } : {}),
        ...(operation === 'raw' && mode === 'public+ch' ? { channels: ['dev'] } : {}),
    };
}

function inputOf(vector: Vector): JsonObject {
    const merged = { ...baseOf(vector), ...vector.fragment };
    const present = Object.entries(merged).filter(([, value]) => value !== '$absent');
    const input = Object.fromEntries(present.map(([key, value]) => [key, expand(value)]));
    // CreateImage fills in an absent `v` before it builds.
    return vector.operation === 'create' ? { v: 2, ...input } : input;
}

function run(vector: Vector): void {
    const rules: ManifestRules = {
        mode: vector.mode === 'public+ch' ? 'public' : vector.mode,
        channels: vector.mode === 'public+ch',
    };
    const input = inputOf(vector);
    if (vector.operation === 'raw') {
        validateRaw(input, rules, 'lenient');
    } else {
        buildImage(vector.operation, input, { rules, lifespanDays: 7, now: 0 });
    }
}

function outcome(vector: Vector): unknown {
    try {
        run(vector);
        return 'OK';
    } catch (error) {
        if (!(error instanceof ApiError)) {
            throw error;
        }
        return { code: error.code, message: error.message, errors: error.errors };
    }
}

function expectedOutcome({ expected, message, entries = [] }: Vector): unknown {
    if (expected === 'OK') {
        return 'OK';
    }
    const errors = entries.map(([field, code, text]) =>
        text === undefined ? { field, code } : { field, code, message: messages[text] ?? repeated(text) },
    );
    return expected === 'P'
        ? { code: 'InvalidParameter', message, errors }
        : {
              code: 'ValidationFailed',
              message: `invalid image data: ${entries.map(([field]) => field).join(', ')}`,
              errors,
          };
}

void t.test('all vectors are here', async (t) => {
    t.equal(vectors.length, 241);
    t.strictSame(
        vectors.map(({ id }) => parseInt(id, 10)),
        Array.from({ length: 241 }, (_, index) => index + 1),
    );
    t.equal(Object.keys(messages).length, 27);
});

void t.test('every vector', async (t) => {
    for (const vector of vectors) {
        t.strictSame(
            outcome(vector),
            expectedOutcome(vector),
            `vector ${vector.id}: ${vector.operation} ${vector.mode} ${JSON.stringify(vector.fragment)}`,
        );
    }
});
