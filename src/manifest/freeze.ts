/** Tells whether what `container` holds is to be visited. */
type Enter = (container: object) => boolean;

function addContainers(found: object[], values: readonly unknown[], enter: Enter): void {
    for (const value of values) {
        if (typeof value === 'object' && value !== null && enter(value)) {
            found.push(value);
        }
    }
}

/** Visits objects and arrays level by level, without recursion; returns the number of levels. */
function visitLevels(value: unknown, enter: Enter, limit: number): number {
    let level: object[] = [];
    addContainers(level, [value], enter);
    let depth = 0;
    while (level.length > 0 && depth < limit) {
        const next: object[] = [];
        for (const container of level) {
            const held = Array.isArray(container) ? (container as unknown[]) : Object.values(container);
            addContainers(next, held, enter);
        }
        level = next;
        depth += 1;
    }
    return depth;
}

/** How many levels deep objects and arrays are nested, at most `limit`; 0 for a plain value. */
export function nestingLevels(value: unknown, limit: number): number {
    return visitLevels(value, () => true, limit);
}

/**
 * Freezes a JSON value and everything in it, and returns how many levels deep it is nested. Copes with
 * any depth and with values that are shared or frozen already.
 */
export function freezeLevels(value: unknown): number {
    // Only what came frozen is remembered: a fresh record, the usual case, needs no set.
    let met: Set<object> | undefined;
    const freeze = (container: object): boolean => {
        if (!Object.isFrozen(container)) {
            Object.freeze(container);
            return true;
        }
        met ??= new Set();
        return !met.has(container) && Boolean(met.add(container));
    };
    return visitLevels(value, freeze, Infinity);
}

/** Freezes a JSON value and everything in it, and returns it; see {@link freezeLevels}. */
export function deepFreeze<T>(value: T): T {
    freezeLevels(value);
    return value;
}
