/** Bunyan's levels by name (operations 1.3). */
export const LOG_LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;

/**
 * The number of a level given as name, number or digits; `undefined` when it is none. Numbers
 * between and below bunyan's own are levels too.
 */
export function parseLogLevel(level: unknown): number | undefined {
    if (typeof level === 'number') {
        return Number.isSafeInteger(level) && level > 0 ? level : undefined;
    }
    if (typeof level !== 'string') {
        return undefined;
    }
    if (/^[1-9]\d{0,8}$/.test(level)) {
        return Number(level);
    }
    const name = level.toLowerCase();
    return Object.hasOwn(LOG_LEVELS, name) ? LOG_LEVELS[name as keyof typeof LOG_LEVELS] : undefined;
}
