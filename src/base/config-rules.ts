import { isIP } from 'node:net';

/** The words type problems are told with (backends 1.4). */
export type TypeWord = 'finite' | 'number' | 'string' | 'bool' | 'object' | '[string]' | '[object]';

/** A parsed configuration file, or one of its objects, before anything is known about it. */
export type Settings = Readonly<Record<string, unknown>>;

/** Whether `value` is an object with keys: neither `null` nor an array. */
export function isSettings(value: unknown): value is Settings {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a key was left out; `null` replaces a default but says nothing (backends 1.1). */
export function isAbsent(value: unknown): value is undefined | null {
    return value === undefined || value === null;
}

/** Own property of an object by a dotted path; `undefined` when any part of it is missing. */
export function settingAt(settings: Settings, key: string): unknown {
    let value: unknown = settings;
    for (const part of key.split('.')) {
        if (!isSettings(value) || !Object.hasOwn(value, part)) {
            return undefined;
        }
        value = value[part];
    }
    return value;
}

const isString = (value: unknown): value is string => typeof value === 'string';

const TYPE_TESTS: Readonly<Record<TypeWord, (value: unknown) => boolean>> = {
    finite: Number.isFinite,
    // JSON can hold an infinite number (1e999), which no key can use.
    number: Number.isFinite,
    string: isString,
    bool: (value) => typeof value === 'boolean',
    object: isSettings,
    '[string]': (value) => Array.isArray(value) && value.every(isString),
    '[object]': (value) => Array.isArray(value) && value.every(isSettings),
};

/** Whether `value` has the type that `word` stands for. */
export function hasType(value: unknown, word: TypeWord): boolean {
    return TYPE_TESTS[word](value);
}

/** What a value of the right type must be beside: one of some words, or as a sentence says. */
export type ConfigRule =
    | { readonly kind: 'words'; readonly words: readonly string[] }
    | { readonly kind: 'sentence'; readonly text: string; readonly test: (value: unknown) => boolean };

/** A value out of a list; anything else is `invalid config.<key>: X`. */
export function oneOf(...words: readonly string[]): ConfigRule {
    return { kind: 'words', words };
}

/** A whole number from `minimum` to `maximum`. */
export function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER): ConfigRule {
    return {
        kind: 'sentence',
        text:
            maximum === Number.MAX_SAFE_INTEGER ? `integer >= ${minimum}` : `integer ${minimum}..${maximum}`,
        test: (value) => Number.isSafeInteger(value) && Number(value) >= minimum && Number(value) <= maximum,
    };
}

/** A time in seconds, fractions allowed. */
export function seconds(minimum: number): ConfigRule {
    return {
        kind: 'sentence',
        text: `seconds >= ${minimum}`,
        test: (value) => Number.isFinite(value) && Number(value) >= minimum,
    };
}

/** An absolute http or https URL. */
export const HTTP_URL: ConfigRule = {
    kind: 'sentence',
    text: 'a URL',
    test: (value) => isString(value) && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
};

/** Text that can stand in front of a path (README table A, `accelRedirect.prefix`). */
export const SLASHED: ConfigRule = {
    kind: 'sentence',
    text: 'a string starting and ending with /',
    test: (value) => isString(value) && value.startsWith('/') && value.endsWith('/'),
};

/** Whether `text` is an IP address or a CIDR block such as `10.0.0.0/8`. */
export function isAddressOrBlock(text: string): boolean {
    const [address = '', bits, ...rest] = text.split('/');
    const family = isIP(address);
    if (family === 0 || rest.length > 0) {
        return false;
    }
    return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** A list of IP addresses and CIDR blocks. */
export const ADDRESSES: ConfigRule = {
    kind: 'sentence',
    text: 'an array of addresses or CIDR blocks',
    test: (value) => Array.isArray(value) && value.every((one) => isString(one) && isAddressOrBlock(one)),
};

/** The problem of a value with a rule, or `undefined`. */
export function ruleProblem(key: string, value: unknown, rule: ConfigRule): string | undefined {
    if (rule.kind === 'words') {
        return rule.words.includes(String(value)) ? undefined : `invalid config.${key}: ${String(value)}`;
    }
    return rule.test(value) ? undefined : `config.${key} must be ${rule.text}`;
}
