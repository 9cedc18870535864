/** One way that a server offers to say who one is. */
export interface Challenge {
    /** In lower case: `basic`, `bearer`. */
    readonly scheme: string;
    /** By name in lower case; of several with one name the first counts. */
    readonly params: ReadonlyMap<string, string>;
}

/** `name="text with \"quotes\""`, `name=text`; texts without quotes are taken up to the next comma or blank. */
const PARAM = /([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;
/** A name, and perhaps base64 in place of parameters, as some schemes have it. */
const SCHEME = /([\w!#$%&'*+.^`|~-]+)(?:[ \t]+[\w.~+/-]+=*(?=[ \t]*(?:,|$)))?/y;

function matchAt(pattern: RegExp, text: string, index: number): RegExpExecArray | null {
    pattern.lastIndex = index;
    return pattern.exec(text);
}

/**
 * Reads the header `WWW-Authenticate`: challenges with parameters, both separated by commas. What cannot be
 * understood is passed over.
 *
 * @param header several headers count as one
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
    const text = typeof header === 'string' ? header : (header ?? []).join(', ');
    const found: { scheme: string; params: Map<string, string> }[] = [];
    for (let index = 0; index < text.length;) {
        const param = matchAt(PARAM, text, index);
        const scheme = param === null ? matchAt(SCHEME, text, index) : null;
        if (param !== null) {
            const [, name = '', quoted, bare = ''] = param;
            const params = found.at(-1)?.params;
            const key = name.toLowerCase();
            if (params !== undefined && !params.has(key)) {
                params.set(key, quoted === undefined ? bare : quoted.replace(/\\(.)/gs, '$1'));
            }
        } else if (scheme !== null) {
            found.push({ scheme: (scheme[1] ?? '').toLowerCase(), params: new Map() });
        }
        index += (param ?? scheme)?.[0].length ?? 1;
    }
    return found;
}
