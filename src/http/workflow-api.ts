import { httpBaseUrl } from '../base/http-urls.js';
import type { JobEngine } from '../jobs/job-engine.js';
import type { JobServices } from '../jobs/services.js';
import type { Call } from './call.js';
import { clientFacts } from './forwarded.js';
import type { Reply, ReplyHeaders } from './reply.js';

/** A call of a server that has jobs. */
export interface JobCall extends Pick<Call, 'config' | 'exchange'> {
    readonly services: { readonly jobs: Pick<JobServices, 'engine' | 'local'> };
}

/** What came of the wish to copy an image (jobs-and-imports 8.2). */
export type CopyResult = 'started' | 'attached' | 'updated' | 'unchanged' | 'current';

/** What is answered about a job that was started or found. */
export interface JobFacts {
    readonly imageUuid: string;
    readonly jobUuid: string;
    /** Whether the job is one of this server's own files, whatever engine new jobs go to. */
    readonly local?: boolean;
    /** Of copies; told in a header, and in the body unless {@link oldForm}. */
    readonly result?: CopyResult;
    /** Fields that a copy has changed. */
    readonly changed?: readonly string[];
    /** Whether the body has only the two keys that were there from the start (jobs-and-imports 8.2). */
    readonly oldForm?: boolean;
}

/** A `Host` header as it can be part of a URL. */
const HOST_RE = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i;

/** This server as the client has addressed it; clients without a usable `Host` get the listener's address. */
function addressedUrl({ config, exchange }: Pick<Call, 'config' | 'exchange'>): string {
    const { host } = exchange.headers;
    if (host === undefined || !HOST_RE.test(host)) {
        return httpBaseUrl(config.address, config.port);
    }
    const { secure } = clientFacts(config.trustedProxies, {
        address: exchange.remoteAddress,
        encrypted: exchange.encrypted,
        proxied: exchange.proxied,
        headers: exchange.headers,
    });
    return `${secure ? 'https' : 'http'}://${host}`;
}

/**
 * Base URL where clients ask for the jobs of an engine (jobs-and-imports 9.5). In a datacenter each
 * instance keeps its own jobs, so the name of all of them would not do.
 */
export function workflowApi(call: Pick<Call, 'config' | 'exchange'>, engine: Pick<JobEngine, 'url'>): string {
    const { config } = call;
    const known = engine.url ?? config.jobs.publicUrl;
    if (known !== undefined) {
        return known.replace(/\/+$/, '');
    }
    return config.mode === 'dc' && config.adminIp !== undefined
        ? httpBaseUrl(config.adminIp, config.port)
        : addressedUrl(call);
}

/** Base URL where clients ask for this job. */
function jobUrl(call: JobCall, { local }: Pick<JobFacts, 'local'>): string {
    const { jobs } = call.services;
    return workflowApi(call, local === true ? jobs.local : jobs.engine);
}

/** The headers of an answer about a job that was started or found (jobs-and-imports 8.2, 9.5). */
export function jobHeaders(call: JobCall, facts: Pick<JobFacts, 'local' | 'result'>): ReplyHeaders {
    return {
        'workflow-api': jobUrl(call, facts),
        ...(facts.result === undefined ? {} : { 'x-imgapi-copy': facts.result }),
    };
}

/** Answers about a job that was started or found (jobs-and-imports 1.2, 3.4, 8.2). */
export function jobReply(call: JobCall, facts: JobFacts): Reply {
    const { imageUuid, jobUuid, result, changed = [], oldForm = false } = facts;
    return {
        kind: 'json',
        value: {
            image_uuid: imageUuid,
            job_uuid: jobUuid,
            ...(result === undefined || oldForm ? {} : { result, changed }),
        },
        headers: jobHeaders(call, facts),
    };
}
