import { censorAuthorization, censorUrl, MASK } from './censor-text.js';

export { censorUrl } from './censor-text.js';

/** Names of keys whose values are secret (operations 1.3). */
const SECRET_KEY_RE = /pass(word)?$|secret|token|authToken|privateKey|bindPassword/i;

/** Headers whose values are secret as a whole. */
const SECRET_HEADERS = new Set([
    'cookie',
    'set-cookie',
    'x-registry-auth',
    'x-registry-config',
    'x-auth-token',
]);

/** Headers of which the scheme may be seen. */
const CREDENTIAL_HEADERS = new Set(['authorization', 'proxy-authorization']);

/** Deepest level that is looked at; what lies deeper is left out. */
const MAX_DEPTH = 16;

const TOO_DEEP = '[too deep]';
const CIRCULAR = '[circular]';

/** Whether a value under a secret name is a secret: switches such as `dockerIdentityToken` are not. */
function isMaskable(value: unknown): boolean {
    return value !== undefined && value !== null && typeof value !== 'boolean' && typeof value !== 'function';
}

function censorCredentials(value: unknown): unknown {
    if (Array.isArray(value)) {
        return value.map(censorCredentials);
    }
    return typeof value === 'string' ? censorAuthorization(value) : isMaskable(value) ? MASK : value;
}

/** What a key says about its value. */
type KeyKind = 'plain' | 'secret' | 'credentials' | 'auth';

function kindOf(key: string): KeyKind {
    const name = key.toLowerCase();
    if (CREDENTIAL_HEADERS.has(name)) {
        return 'credentials';
    }
    if (SECRET_KEY_RE.test(key) || SECRET_HEADERS.has(name)) {
        return 'secret';
    }
    return key === 'auth' ? 'auth' : 'plain';
}

/** Kinds of keys seen before: records repeat a few names. Emptied when full. */
const knownKinds = new Map<string, KeyKind>();
const MAX_KNOWN_KINDS = 1000;
const MAX_KNOWN_LENGTH = 64;

function keyKind(key: string): KeyKind {
    let kind = knownKinds.get(key);
    if (kind === undefined) {
        kind = kindOf(key);
        if (knownKinds.size >= MAX_KNOWN_KINDS) {
            knownKinds.clear();
        }
        if (key.length <= MAX_KNOWN_LENGTH) {
            knownKinds.set(key, kind);
        }
    }
    return kind;
}

/** One walk over a value; keeps the way from the top to notice cycles. */
class Walk {
    readonly #ancestors = new Set<object>();

    value(value: unknown): unknown {
        if (typeof value === 'string') {
            return censorUrl(value);
        }
        if (typeof value === 'bigint') {
            return value.toString();
        }
        return typeof value === 'object' && value !== null ? this.#object(value) : value;
    }

    #object(value: object): unknown {
        if (value instanceof Date) {
            return value;
        }
        if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
            return `[${value.byteLength} bytes]`;
        }
        if (this.#ancestors.has(value)) {
            return CIRCULAR;
        }
        if (this.#ancestors.size >= MAX_DEPTH) {
            return TOO_DEEP;
        }
        this.#ancestors.add(value);
        try {
            return this.#inside(value);
        } finally {
            this.#ancestors.delete(value);
        }
    }

    #inside(value: object): unknown {
        if (Array.isArray(value)) {
            return this.#array(value);
        }
        if (value instanceof Error) {
            return this.#record({ ...errorRecord(value) });
        }
        const { toJSON } = value as { toJSON?: unknown };
        return typeof toJSON === 'function'
            ? this.value(toJSON.call(value))
            : this.#record(value as Readonly<Record<string, unknown>>);
    }

    #array(values: readonly unknown[]): readonly unknown[] {
        let copy: unknown[] | undefined;
        for (let index = 0; index < values.length; index += 1) {
            const censored = this.value(values[index]);
            if (censored !== values[index]) {
                copy ??= [...values];
                copy[index] = censored;
            }
        }
        return copy ?? values;
    }

    #record(record: Readonly<Record<string, unknown>>): object {
        let changes: (readonly [string, unknown])[] | undefined;
        for (const key of Object.keys(record)) {
            const value = record[key];
            const censored = this.#entry(key, value);
            if (censored !== value) {
                changes ??= [];
                changes.push([key, censored]);
            }
        }
        return changes === undefined ? record : { ...record, ...Object.fromEntries(changes) };
    }

    #entry(key: string, value: unknown): unknown {
        const kind = keyKind(key);
        if (kind === 'credentials') {
            return censorCredentials(value);
        }
        // Registry credentials in request bodies: {username, auth: <base64>}.
        const secret = kind === 'secret' || (kind === 'auth' && typeof value === 'string');
        return secret && isMaskable(value) ? MASK : this.value(value);
    }
}

/** What is said of an error: its causes are part of the stack, at most five deep. */
export interface ErrorRecord {
    readonly message: string;
    readonly name: string;
    readonly stack: string;
    readonly code?: unknown;
}

/** An error as a plain record, not yet censored (operations 1.3, serializer `err`). */
export function errorRecord(error: Error): ErrorRecord {
    const { code } = error as { code?: unknown };
    let stack = error.stack ?? `${error.name}: ${error.message}`;
    let { cause } = error;
    for (let depth = 0; depth < 5 && cause instanceof Error; depth += 1) {
        stack += `\nCaused by: ${cause.stack ?? cause.message}`;
        cause = cause.cause;
    }
    return { message: error.message, name: error.name, stack, ...(code === undefined ? {} : { code }) };
}

/**
 * The value with every secret in it replaced by `***` (operations 1.3): values of keys and headers
 * with secret names, `authorization` but for scheme, `keyId` and `algorithm`, and in all strings
 * what {@link censorUrl} masks. Never changes its argument; what holds no secret is returned as it
 * is, the same object. Cycles and levels beyond 16 are cut; errors become plain records, binary
 * data its length.
 */
export function censor<T>(value: T): T {
    // The walk keeps the shape of plain data, which is what callers read from the result.
    return new Walk().value(value) as T;
}

/** {@link censor} for a table of headers. */
export function censorHeaders<T extends Readonly<Record<string, unknown>>>(headers: T): T {
    return censor(headers);
}
