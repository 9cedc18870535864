import type { RequestContext } from './context.js';

/** The context of what the server does on its own account, for nobody in particular. */
export function ownContext(context: Pick<RequestContext, 'requestId' | 'log' | 'signal'>): RequestContext {
    const { requestId, log, signal } = context;
    return { requestId, log, signal, version2: true, userAgent: '' };
}

/** The same, where new images go to a channel. */
export function ownContextInChannel(
    context: Pick<RequestContext, 'requestId' | 'log' | 'signal' | 'channel'>,
): RequestContext {
    const { channel } = context;
    return { ...ownContext(context), ...(channel === undefined ? {} : { channel }) };
}
