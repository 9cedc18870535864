import { type ApiError, invalidParameter } from '../base/errors.js';
import { Call } from './call.js';
import { runChain, type StepName } from './chain.js';
import type { Exchange } from './exchange.js';
import type { Reply } from './reply.js';
import type { ActionFacts, Route } from './route.js';
import type { ApiServices } from './services.js';

/** The work behind a chain. */
export type Handler = (call: Call) => Reply | Promise<Reply>;

/** One value of `?action=` and what is behind it. */
export interface Action extends ActionFacts {
    /** Further steps, after those of the endpoint. */
    readonly chain: readonly StepName[];
    readonly handle: Handler;
    /** Whether it leaves images as they are, so that readers serve it too (operations 4.7). */
    readonly changesNothing?: boolean;
    /** Whether the action is known under the present configuration; absent: always. */
    readonly available?: (call: Call) => boolean;
}

/** One row of the endpoint table: a route without its services. */
export interface Endpoint extends Omit<Route, 'handle' | 'actions' | 'auth' | 'mounted'> {
    readonly chain: readonly StepName[];
    readonly handle?: Handler;
    readonly actions?: readonly Action[];
    /** What a missing or empty `action` selects, or the steps before it is refused (http-api 3.19). */
    readonly withoutAction?: {
        readonly chain: readonly StepName[];
        readonly handle: Handler;
        /** Whether an empty `action` is an unknown one instead. */
        readonly emptyIsUnknown?: boolean;
    };
    /** Steps before an unknown action is refused. */
    readonly unknownAction?: readonly StepName[];
    /** The error for an unknown action; absent: 422 `InvalidParameter`. */
    readonly refuseAction?: (action: string) => ApiError;
    /** Whether the path exists under the present configuration; absent: always. */
    readonly mounted?: (services: ApiServices) => boolean;
}

function authLevel(chain: readonly StepName[]): Route['auth'] {
    return chain.includes('AUTH') ? 'strict' : chain.includes('PAUTH') ? 'passive' : 'none';
}

function refuseAction(action: string): ApiError {
    return invalidParameter(`"${action}" is not a valid action`, [{ field: 'action', code: 'Invalid' }]);
}

/** The steps before an action is chosen; those that change nothing need no writer. */
function commonChain({ chain, actions = [] }: Endpoint, { exchange }: Call): readonly StepName[] {
    const [given, ...others] = exchange.query.all('action');
    const action = others.length === 0 ? actions.find((one) => one.action === given) : undefined;
    return action?.changesNothing === true ? chain.filter((step) => step !== 'WRITER') : chain;
}

async function dispatch(endpoint: Endpoint, start: Call): Promise<Reply> {
    const call = await runChain(commonChain(endpoint, start), start);
    if (endpoint.handle !== undefined) {
        return endpoint.handle(call);
    }
    const given = call.exchange.query.raw('action');
    const action = endpoint.actions?.find(
        (one) => one.action === given && (one.available === undefined || one.available(call)),
    );
    if (action !== undefined) {
        return action.handle(await runChain(action.chain, call));
    }
    const { withoutAction } = endpoint;
    if (
        withoutAction !== undefined &&
        (given === undefined || (given === '' && withoutAction.emptyIsUnknown !== true))
    ) {
        return withoutAction.handle(await runChain(withoutAction.chain, call));
    }
    await runChain(endpoint.unknownAction ?? [], call);
    throw (endpoint.refuseAction ?? refuseAction)(given ?? '');
}

/** Binds an endpoint to the server's services. */
export function toRoute(endpoint: Endpoint, services: ApiServices): Route {
    const { name, method, path, summary, aliases, parameters, actions, anyVersion, quiet, mounted } =
        endpoint;
    return {
        name,
        method,
        path,
        summary,
        auth: authLevel(endpoint.chain),
        ...(aliases === undefined ? {} : { aliases }),
        ...(parameters === undefined ? {} : { parameters }),
        ...(actions === undefined ? {} : { actions }),
        ...(anyVersion === undefined ? {} : { anyVersion }),
        ...(quiet === undefined ? {} : { quiet }),
        ...(mounted === undefined ? {} : { mounted: () => mounted(services) }),
        handle: (exchange: Exchange) => dispatch(endpoint, new Call(services, exchange)),
    };
}
