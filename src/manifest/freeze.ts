function isContainer(value: unknown): value is object {
    return typeof value === 'object' && value !== null;
}

/**
 * Freezes a JSON value and everything in it, and returns it. Works without recursion, so depth does
 * not matter, and copes with values that are shared or frozen already.
 */
export function deepFreeze<T>(value: T): T {
    const pending: object[] = [];
    // Only objects that came frozen are remembered: a fresh record, the usual case, needs no set.
    let seen: Set<object> | undefined;
    const visit = (candidate: unknown): void => {
        if (!isContainer(candidate)) {
            return;
        }
        if (!Object.isFrozen(candidate)) {
            Object.freeze(candidate);
            pending.push(candidate);
        } else if (seen?.has(candidate) !== true) {
            seen ??= new Set();
            seen.add(candidate);
            pending.push(candidate);
        }
    };
    visit(value);
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        for (const key of Object.keys(next)) {
            visit((next as Readonly<Record<string, unknown>>)[key]);
        }
    }
    return value;
}
