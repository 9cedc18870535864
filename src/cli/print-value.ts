/** A value as scripts read it: a string bare, `undefined` by its name, the rest as 4-space JSON. */
export function printedValue(value: unknown): string {
    if (typeof value === 'string') {
        return value;
    }
    return value === undefined ? 'undefined' : JSON.stringify(value, null, 4);
}

/** A path that leads nowhere. */
export class NoSuchProperty extends Error {
    override readonly name = 'NoSuchProperty';
}

/**
 * Own property by a dotted path; array elements by their index (backends 1.6).
 *
 * @throws NoSuchProperty `no property a.b found` with the path up to the part that is missing
 */
export function propertyAt(value: unknown, path: string): unknown {
    const parts = path.split('.');
    let current = value;
    parts.forEach((part, index) => {
        if (typeof current !== 'object' || current === null || !Object.hasOwn(current, part)) {
            throw new NoSuchProperty(`no property ${parts.slice(0, index + 1).join('.')} found`);
        }
        current = (current as Readonly<Record<string, unknown>>)[part];
    });
    return current;
}
