import type { Exchange } from './exchange.js';
import type { Reply } from './reply.js';

/** Methods a route row may have; HEAD comes with every GET (http-api 1.8). */
export type RouteMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** A query parameter, for the documentation. */
export interface ParameterFacts {
    readonly name: string;
    readonly summary: string;
    readonly required?: boolean;
}

/** What `?action=` selects on a route that has actions, for the documentation. */
export interface ActionFacts {
    readonly action: string;
    readonly name: string;
    readonly summary: string;
    readonly parameters?: readonly ParameterFacts[];
}

/**
 * One row of the route table (http-api 2): the router, 405 answers, OpenAPI, the API reference and
 * the conformance tests read these rows.
 */
export interface Route {
    /** Endpoint name, e.g. `ListImages`; lower-cased in the audit record and the metrics. */
    readonly name: string;
    readonly method: RouteMethod;
    /** Fixed segments and `:parameter` segments; a last segment `*` takes the rest of the path as `params.rest`. */
    readonly path: string;
    /** Further paths of the same endpoint, e.g. `/images/`. */
    readonly aliases?: readonly string[];
    /** Signature level, for the documentation and the conformance tests; the handler's chain enforces it. */
    readonly auth: 'strict' | 'passive' | 'none';
    readonly summary: string;
    readonly parameters?: readonly ParameterFacts[];
    readonly actions?: readonly ActionFacts[];
    /** Any `Accept-Version` is taken (README table B). */
    readonly anyVersion?: boolean;
    /** Answers not to be audited when the status is below 400: `never` (ping, docs) or `ok` (health). */
    readonly quiet?: 'always' | 'ok';
    /** Whether the path exists under the present configuration; absent: always. */
    readonly mounted?: () => boolean;
    handle(exchange: Exchange): Promise<Reply>;
}
