/** What stands in place of a secret (operations 1.3). */
export const MASK = '***';

/** User-info of a URL; the body excludes `/`, so each `://` is looked at once. */
const USER_INFO_RE = /:\/\/[^\s/?#"'<>\\]*@/g;

/** The same where the URL is a percent-encoded value inside another one. */
const ENCODED_USER_INFO_RE = /(?::|%3A)%2F%2F(?:(?!%2F|%3F|%23)[^\s/?#&"'<>\\])*(?:@|%40)/gi;

/** The same in the name of a Docker repository, where nobody wrote a scheme; a digest also follows an `@`. */
const REPOSITORY_USER_RE =
    /([?&]repo(?:AndTag)?=)(?:(?!%2F|%3A|%40)[^&#?/:@\s])*(?::|%3A)(?:(?!%2F|%40)[^&#?/@\s])*(?:@|%40)/gi;

const PRIVATE_KEY_RE =
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|$)/g;

const SECRET_PARAMETERS = 'token|sig|X-Amz-Signature|X-Amz-Security-Token|access_token';

const PARAMETER_RE = new RegExp(`([?&;](?:${SECRET_PARAMETERS})=)[^&#\\s"'<>\\\\]+`, 'gi');

const ENCODED_PARAMETER_RE = new RegExp(
    `((?:%3F|%26|%3B|[?&;])(?:${SECRET_PARAMETERS})%3D)(?:(?!%26|%23)[^&#\\s"'<>\\\\])+`,
    'gi',
);

/** A half-encoded form: the separator is encoded, the equals sign is not. */
const MIXED_PARAMETER_RE = new RegExp(
    `((?:%3F|%26|%3B)(?:${SECRET_PARAMETERS})=)(?:(?!%26|%23)[^&#\\s"'<>\\\\])+`,
    'gi',
);

function censorAddresses(text: string): string {
    return text
        .replace(USER_INFO_RE, `://${MASK}@`)
        .replace(ENCODED_USER_INFO_RE, `%3A%2F%2F${MASK}%40`)
        .replace(REPOSITORY_USER_RE, `$1${MASK}@`);
}

function censorParameters(text: string): string {
    return text
        .replace(PARAMETER_RE, `$1${MASK}`)
        .replace(ENCODED_PARAMETER_RE, `$1${MASK}`)
        .replace(MIXED_PARAMETER_RE, `$1${MASK}`);
}

/**
 * Masks what is secret in a URL, or in all URLs of a text: user-info, the values of signature and
 * token parameters, also where one URL is an encoded parameter of another; private keys in PEM form
 * too (operations 1.3). Takes time linear in the length.
 */
export function censorUrl(text: string): string {
    let result = text;
    if (text.includes('@') || text.includes('%40')) {
        result = censorAddresses(result);
    }
    if (text.includes('=') || text.includes('%')) {
        result = censorParameters(result);
    }
    return text.includes('PRIVATE KEY') ? result.replace(PRIVATE_KEY_RE, MASK) : result;
}

/** Fields of a signature that say who signed and how. */
const SHOWN_FIELDS = [
    { name: 'keyId', pattern: /(?:^|[,\s])keyId="([^"]{0,1024})"/i },
    { name: 'algorithm', pattern: /(?:^|[,\s])algorithm="([^"]{0,1024})"/i },
];

/** Masks an `Authorization` value but for its scheme and, of a signature, `keyId` and `algorithm`. */
export function censorAuthorization(value: string): string {
    const [, scheme, rest = ''] = /^([!#$%&'*+.^_`|~\w-]+)\s+(.*)$/s.exec(value) ?? [];
    if (scheme === undefined) {
        return MASK;
    }
    if (scheme.toLowerCase() !== 'signature') {
        return `${scheme} ${MASK}`;
    }
    const kept = SHOWN_FIELDS.flatMap(({ name, pattern }) => {
        const found = pattern.exec(rest);
        return found === null ? [] : [`${name}="${found[1] ?? ''}"`];
    });
    return `${scheme} ${[...kept, MASK].join(',')}`;
}
