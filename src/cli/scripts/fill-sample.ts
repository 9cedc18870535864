/** What a placeholder stands for: a word, whole lines, or `null`, which takes its line out. */
export type SampleValue = string | number | readonly string[] | null;

const PLACEHOLDER = /@@([A-Z][A-Z0-9_]*)@@/g;

/** What is one word to every program whose samples are filled, quoted or not; most paths are. */
const WORD = /^[\w./:*,@%+-]+$/;

function namesIn(line: string): readonly string[] {
    return [...line.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
}

function valueOf(name: string, values: Readonly<Record<string, SampleValue>>): SampleValue {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) {
        throw new Error(`there is no value for @@${name}@@`);
    }
    return value;
}

function word(name: string, value: string | number): string {
    const text = String(value);
    if (!WORD.test(text)) {
        throw new Error(
            `${JSON.stringify(text)} cannot stand for @@${name}@@: it is not a single plain word`,
        );
    }
    return text;
}

function filledLine(line: string, values: Readonly<Record<string, SampleValue>>): readonly string[] {
    const named = namesIn(line).map((name) => [name, valueOf(name, values)] as const);
    if (named.some(([, value]) => value === null)) {
        return [];
    }
    const [first] = named;
    if (first !== undefined && Array.isArray(first[1])) {
        if (line.trim() !== `@@${first[0]}@@`) {
            throw new Error(`@@${first[0]}@@ stands for whole lines, but is not alone in its line`);
        }
        return first[1] as readonly string[];
    }
    let rest = line;
    for (const [name, value] of named) {
        rest = rest.replace(`@@${name}@@`, () => word(name, value as string | number));
    }
    return [rest];
}

/**
 * Fills the placeholders `@@NAME@@` of a sample configuration (operations 4.6).
 *
 * @param values may have more names than the sample
 * @throws Error when a placeholder has no value, or a value would not stay what it is in the file
 */
export function fillSample(sample: string, values: Readonly<Record<string, SampleValue>>): string {
    return sample
        .split('\n')
        .flatMap((line) => filledLine(line, values))
        .join('\n');
}
