import type { IncomingHttpHeaders } from 'node:http';
import { ApiError, resourceNotFound } from '../base/errors.js';
import type { Reply } from './reply.js';
import type { Route } from './route.js';
import { chooseVersion } from './versions.js';

/** Headers a browser may send along, as answered to its preflight request (http-api 1.1). */
const CORS_HEADERS = 'accept, accept-version, content-type, request-id, origin, x-api-version, x-request-id';
const CORS_MAX_AGE = '3600';

/** Where a request goes: to a route, or to an answer that routing itself gives. */
export interface Routing {
    /** The matching row; absent for unknown paths, wrong methods and OPTIONS. */
    readonly route?: Route;
    readonly params: Readonly<Record<string, string>>;
    readonly version2: boolean;
    readonly asksProvenance: boolean;
    /** What to answer instead of calling the route. */
    readonly answer?: ApiError | Reply;
}

/** A path of the table with all rows that have it, in table order. */
interface PathPattern {
    readonly segments: readonly string[];
    /** Whether the last segment takes the rest of the path. */
    readonly openEnded: boolean;
    readonly rows: Route[];
}

function splitPath(path: string): string[] {
    return (path.includes('//') ? path.replace(/\/{2,}/g, '/') : path).split('/').slice(1);
}

/** @throws 400 `BadRequestError` for a malformed escape */
function decode(text: string): string {
    if (!text.includes('%')) {
        return text;
    }
    try {
        return decodeURIComponent(text);
    } catch (error) {
        throw new ApiError('BadRequestError', 'URI malformed', { cause: error });
    }
}

function isParameter(segment: string): boolean {
    return segment.startsWith(':');
}

function segmentMatches(wanted: string, given: string | undefined): boolean {
    return given !== undefined && (isParameter(wanted) ? given !== '' : wanted === given);
}

function isMounted(route: Route): boolean {
    return route.mounted === undefined || route.mounted();
}

function patternMatches(pattern: PathPattern, given: readonly string[]): boolean {
    const { segments, openEnded, rows } = pattern;
    if (openEnded ? given.length <= segments.length : given.length !== segments.length) {
        return false;
    }
    return segments.every((wanted, index) => segmentMatches(wanted, given[index])) && rows.some(isMounted);
}

function decodeParameters(pattern: PathPattern, given: readonly string[]): Record<string, string> {
    const params: Record<string, string> = {};
    pattern.segments.forEach((segment, index) => {
        if (isParameter(segment)) {
            params[segment.slice(1)] = decode(given[index] ?? '');
        }
    });
    if (pattern.openEnded) {
        params['rest'] = decode(given.slice(pattern.segments.length).join('/'));
    }
    return params;
}

/** Methods of a path in table order, HEAD right after GET. */
function allowedMethods(pattern: PathPattern): readonly string[] {
    return pattern.rows
        .filter(isMounted)
        .flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
}

function methodNotAllowed(method: string, allowed: readonly string[]): ApiError {
    return new ApiError('MethodNotAllowedError', `${method} is not allowed`, {
        headers: { Allow: allowed.join(', ') },
    });
}

function isPreflight(headers: IncomingHttpHeaders, allowed: readonly string[]): boolean {
    const wanted = headers['access-control-request-method'];
    return headers.origin !== undefined && wanted !== undefined && allowed.includes(wanted);
}

function preflightReply(allowed: readonly string[]): Reply {
    const methods = allowed.join(', ');
    return {
        kind: 'empty',
        status: 200,
        headers: {
            Allow: methods,
            'Access-Control-Allow-Origin': '*',
            'Access-Control-Allow-Methods': methods,
            'Access-Control-Allow-Headers': CORS_HEADERS,
            'Access-Control-Max-Age': CORS_MAX_AGE,
        },
    };
}

/**
 * Finds the row of the route table for a request (http-api 1.1). Its rules differ from those of
 * restify's own router in most points (empty segments, decoding, 405 against 404, HEAD, versions),
 * so this is the only router; restify's is never asked.
 */
export class Router {
    readonly #patterns = new Map<string, PathPattern>();
    readonly #byLength = new Map<number, PathPattern[]>();
    readonly #openEnded: PathPattern[] = [];

    constructor(routes: readonly Route[]) {
        for (const route of routes) {
            for (const path of [route.path, ...(route.aliases ?? [])]) {
                this.#pattern(path).rows.push(route);
            }
        }
        for (const patterns of this.#byLength.values()) {
            // Fixed segments win over parameters, whatever the order of the rows.
            patterns.sort(
                (a, b) => a.segments.filter(isParameter).length - b.segments.filter(isParameter).length,
            );
        }
    }

    /**
     * Routes a request.
     *
     * @param path as received, without the query string
     */
    route(method: string, path: string, headers: IncomingHttpHeaders): Routing {
        const version = chooseVersion(singleHeader(headers['accept-version']));
        const { version2, asksProvenance } = version;
        const unrouted = { params: {}, version2, asksProvenance };
        try {
            const given = splitPath(path);
            const pattern = path.startsWith('/') ? this.#find(given) : undefined;
            if (pattern === undefined) {
                return { ...unrouted, answer: unknownPath(method, path) };
            }
            const params = decodeParameters(pattern, given);
            const wanted = method === 'HEAD' ? 'GET' : method;
            const route = pattern.rows.find((row) => row.method === wanted && isMounted(row));
            if (route === undefined) {
                return { ...unrouted, answer: wrongMethod(method, headers, allowedMethods(pattern)) };
            }
            if (!version.supported && route.anyVersion !== true) {
                const message = `${version.range} is not supported by ${method} ${path}`;
                return { ...unrouted, route, params, answer: new ApiError('InvalidVersion', message) };
            }
            return { route, params, version2, asksProvenance };
        } catch (error) {
            if (error instanceof ApiError) {
                return { ...unrouted, answer: error };
            }
            throw error;
        }
    }

    #pattern(path: string): PathPattern {
        const known = this.#patterns.get(path);
        if (known !== undefined) {
            return known;
        }
        const all = splitPath(path);
        const openEnded = all.at(-1) === '*';
        const pattern: PathPattern = { segments: openEnded ? all.slice(0, -1) : all, openEnded, rows: [] };
        this.#patterns.set(path, pattern);
        if (openEnded) {
            this.#openEnded.push(pattern);
        } else {
            const others = this.#byLength.get(all.length) ?? [];
            this.#byLength.set(all.length, [...others, pattern]);
        }
        return pattern;
    }

    #find(given: readonly string[]): PathPattern | undefined {
        return (
            this.#byLength.get(given.length)?.find((pattern) => patternMatches(pattern, given)) ??
            this.#openEnded.find((pattern) => patternMatches(pattern, given))
        );
    }
}

function singleHeader(value: string | readonly string[] | undefined): string | undefined {
    return typeof value === 'string' || value === undefined ? value : value.join(', ');
}

function unknownPath(method: string, path: string): ApiError | Reply {
    return method === 'OPTIONS' && path === '*'
        ? { kind: 'empty', status: 200 }
        : resourceNotFound(`${path} does not exist`);
}

function wrongMethod(
    method: string,
    headers: IncomingHttpHeaders,
    allowed: readonly string[],
): ApiError | Reply {
    return method === 'OPTIONS' && isPreflight(headers, allowed)
        ? preflightReply(allowed)
        : methodNotAllowed(method, allowed);
}
