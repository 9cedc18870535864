/**
 * Deepest nesting of a field's value. Nothing real comes near; far deeper values would overflow the
 * stack wherever they are written as JSON or text.
 */
export const MAX_NESTING = 512;

function containersIn(values: readonly object[]): object[] {
    const found: object[] = [];
    for (const value of values) {
        for (const key of Object.keys(value)) {
            const child = (value as Readonly<Record<string, unknown>>)[key];
            if (typeof child === 'object' && child !== null) {
                found.push(child);
            }
        }
    }
    return found;
}

/** Whether objects and arrays in `value` are nested more than {@link MAX_NESTING} levels deep. */
export function isNestedTooDeeply(value: unknown): boolean {
    let level: object[] = typeof value === 'object' && value !== null ? [value] : [];
    for (let depth = 0; level.length > 0; depth += 1) {
        if (depth === MAX_NESTING) {
            return true;
        }
        level = containersIn(level);
    }
    return false;
}
