import { toApiManifest } from '../manifest/serialize.js';
import type { RawImage } from '../manifest/types.js';
import type { RenderForm } from '../images/render.js';
import { trustedSharers } from '../images/trusted-sharers.js';
import type { Call } from './call.js';
import { checkPreconditions } from './conditions.js';
import type { Reply } from './reply.js';

function formOf(call: Call): RenderForm {
    const { account, trusted } = call;
    return {
        mode: call.config.mode,
        version2: call.exchange.version2,
        inclAdminFields: call.inclAdminFields,
        ...(call.showsProvenance ? { provenance: { account } } : {}),
        ...(account === undefined || trusted === undefined ? {} : { share: { account, trusted } }),
    };
}

/**
 * Reads what the documents of these images show beside their records: whom the account trusts, if
 * that was asked for and any of them is shared with it (jobs-and-imports 8.8).
 *
 * @throws 503 when the database cannot be reached
 */
export async function withShareInfo(call: Call, raws: readonly RawImage[]): Promise<Call> {
    if (!call.inclShareInfo) {
        return call;
    }
    const trusted = await trustedSharers(call.services.images, call.context, raws);
    return trusted === undefined ? call : call.with({ trusted });
}

/** Answers with an image document and its entity tag (http-api 1.6). */
export function documentReply(call: Call, raw: RawImage): Reply {
    const { text, etag } = call.services.renderer.document(raw, formOf(call));
    return { kind: 'text', parts: [text], headers: { Etag: etag } };
}

/** An image document as the call would be answered with, to be part of something else. */
export function documentValue(call: Call, raw: RawImage): unknown {
    return toApiManifest(raw, formOf(call));
}

/** As {@link documentReply}, in version 2 form whatever the request asks for (http-api 1.9). */
export function version2DocumentReply(call: Call, raw: RawImage): Reply {
    const { text, etag } = call.services.renderer.document(raw, { ...formOf(call), version2: true });
    return { kind: 'text', parts: [text], headers: { Etag: etag } };
}

/** Answers with an array of image documents (http-api 3.1). */
export function listReply(call: Call, raws: readonly RawImage[]): Reply {
    return { kind: 'text', parts: call.services.renderer.list(raws, formOf(call)) };
}

/** Answers in version 2 form with admin fields and without an entity tag (http-api 3.18). */
export function adminDocumentReply(call: Call, raw: RawImage): Reply {
    const form = { mode: call.config.mode, version2: true, inclAdminFields: true };
    return { kind: 'text', parts: [call.services.renderer.document(raw, form).text] };
}

/**
 * Evaluates the request's conditions against the document this request would be answered with now
 * (http-api 1.7, D17).
 *
 * @returns 304 to be answered instead, on GET and HEAD
 * @throws 412 `PreconditionFailed`
 */
export function checkDocumentConditions(call: Call, raw: RawImage): Reply | undefined {
    const { headers, method } = call.exchange;
    if (headers['if-match'] === undefined && headers['if-none-match'] === undefined) {
        return undefined;
    }
    const { etag } = call.services.renderer.document(raw, formOf(call));
    return checkPreconditions(headers, { etag }, method) === 'not-modified'
        ? { kind: 'empty', status: 304, headers: { Etag: etag } }
        : undefined;
}
