import type { Filter } from '../query.js';

/** What Moray is asked of a filter; the rest is tested on what it finds (backends 4.3). */
export interface Pushed {
    /** Finds every record that the filters match, and maybe more; `undefined`: nothing to be asked for. */
    readonly text: string | undefined;
    /** Whether it finds nothing else. */
    readonly isExact: boolean;
    /** Whether records that were never published may match. */
    readonly mayBeUnpublished: boolean;
}

/** The parts that one condition adds, and whether they say all of it. */
interface Parts {
    readonly parts: readonly string[];
    readonly isExact: boolean;
}

type PartsOf<K extends keyof Filter> = (wanted: NonNullable<Filter[K]>) => Parts;

const NOTHING_TO_ASK: Parts = { parts: [], isExact: false };

const ESCAPES: Readonly<Record<string, string>> = {
    '*': '\\2a',
    '(': '\\28',
    ')': '\\29',
    '\\': '\\5c',
    '\0': '\\00',
};

/** A value as it stands in a filter (backends 4.3). */
export function escapeValue(value: string): string {
    return value.replace(/[*()\\\0]/g, (character) => ESCAPES[character] ?? character);
}

/**
 * What a filter's text can carry to the database: it holds no NUL, and the ends of a value are
 * trimmed on the way.
 */
function isCarried(value: string): boolean {
    return value !== '' && value.trim() === value && !value.includes('\0');
}

/** `(field=value)`; nothing where the value would not arrive as it is. */
function equal(field: string) {
    return (wanted: string): Parts =>
        isCarried(wanted) ? { parts: [`(${field}=${escapeValue(wanted)})`], isExact: true } : NOTHING_TO_ASK;
}

/**
 * The longest piece that LIKE, which substrings become, takes for itself. It knows `%`, `_` and
 * backslash, and pages that it finds too much for come back short, as the last page does.
 */
function plainPiece(part: string): string {
    return part.split(/[%_\\]/).reduce((longest, piece) => (piece.length > longest.length ? piece : longest));
}

function contained(field: string) {
    const whole = equal(field);
    return (wanted: string): Parts => {
        if (!wanted.startsWith('~')) {
            return whole(wanted);
        }
        const part = wanted.slice(1);
        const piece = plainPiece(part).trim();
        return {
            parts: piece === '' || piece.includes('\0') ? [] : [`(${field}=*${escapeValue(piece)}*)`],
            isExact: piece === part,
        };
    };
}

function negatable(field: string) {
    const whole = equal(field);
    return (wanted: string): Parts => {
        if (!wanted.startsWith('!')) {
            return whole(wanted);
        }
        const { parts, isExact } = whole(wanted.slice(1));
        return { parts: parts.map((part) => `(!${part})`), isExact: isExact || wanted === '!' };
    };
}

function flag(field: string) {
    return (wanted: boolean): Parts => ({ parts: [`(${field}=${wanted})`], isExact: true });
}

/** One part for each entry; the column keeps neither an entry `NULL` nor spaces at the ends. */
function entries(field: string, isPlain: (entry: string) => boolean = () => true) {
    const whole = equal(field);
    return (wanted: readonly string[]): Parts => {
        const all = wanted.map((entry) =>
            isPlain(entry) && entry.toUpperCase() !== 'NULL' ? whole(entry) : NOTHING_TO_ASK,
        );
        return { parts: all.flatMap(({ parts }) => parts), isExact: all.every(({ isExact }) => isExact) };
    };
}

/**
 * What of a filter has an index column that can tell (backends 4.1, 4.3). A key that is not here is
 * tested on what is found.
 */
const PUSHED: { readonly [K in keyof Filter]: PartsOf<K> } = {
    owner: equal('owner'),
    state: equal('state'),
    origin: equal('origin'),
    os: equal('os'),
    name: contained('name'),
    version: contained('version'),
    type: negatable('type'),
    activated: flag('activated'),
    disabled: flag('disabled'),
    public: flag('public'),
    acl: entries('acl'),
    // `key=` asks for the tag with any value, which its search strings do not tell.
    tags: entries('tags', (entry) => !entry.endsWith('=')),
    billing_tags: entries('billing_tags'),
    expires_at: () => ({ parts: ['(expires_at=*)'], isExact: false }),
};

function partsOf(filter: Filter): Parts {
    const all = Object.entries(filter)
        .filter(([, wanted]) => wanted !== undefined)
        .map(([key, wanted]) => {
            // Key and value come from the same entry of a Filter, which the compiler cannot follow.
            const push = PUSHED[key as keyof Filter] as ((wanted: unknown) => Parts) | undefined;
            return push?.(wanted) ?? NOTHING_TO_ASK;
        });
    return { parts: all.flatMap(({ parts }) => parts), isExact: all.every(({ isExact }) => isExact) };
}

/** All parts must hold; without parts, `undefined`. */
export function allOf(parts: readonly (string | undefined)[]): string | undefined {
    const given = parts.filter((part) => part !== undefined);
    return given.length > 1 ? `(&${given.join('')})` : given[0];
}

/** What to ask Moray for to find all that any of these filters matches. */
export function pushDown(anyOf: readonly Filter[]): Pushed {
    const each = anyOf.map(partsOf);
    const isAll = each.some(({ parts }) => parts.length === 0);
    const texts = new Set(each.map(({ parts }) => allOf(parts)).filter((text) => text !== undefined));
    const [first, ...others] = texts;
    return {
        text: isAll ? undefined : others.length === 0 ? first : `(|${[...texts].join('')})`,
        isExact: each.every(({ isExact }) => isExact),
        mayBeUnpublished: anyOf.some(({ activated }) => activated !== true),
    };
}
