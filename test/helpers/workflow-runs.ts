import { createContext, runInContext } from 'node:vm';
import type { Workflow, WorkflowTask } from '#lib/remotes/workflow-service.js';

/** A request of a task. */
export interface Asked {
    readonly method: string;
    readonly url: URL;
    readonly body: unknown;
    readonly headers: Readonly<Record<string, string>>;
}

/** `undefined`: nobody answers. */
export type Answer = { readonly status: number; readonly body?: unknown } | undefined;

/** Answers all requests of a job. */
export type Answers = (asked: Asked) => Answer | 'never';

/** A job as its tasks see it. */
export interface Job {
    readonly uuid: string;
    params: Record<string, unknown>;
    execution: string;
    chain_results: Result[];
    onerror_results: Result[];
    oncancel_results: Result[];
    created_images?: string[];
    error?: unknown;
    taskId?: string;
    timeToDie?: boolean;
}

/** What came of a step. */
export interface Result {
    readonly name: string;
    readonly result: string;
    readonly error: unknown;
}

/** The HTTP client of the sandbox, as far as it is used. */
export function clientModule(answers: Answers, log: Asked[]): object {
    const ask =
        (method: string, options: { url: string; headers: Asked['headers'] }) =>
        (path: string, ...rest: unknown[]): void => {
            const callback = rest.at(-1) as (...results: unknown[]) => void;
            const asked = {
                method,
                url: new URL(path, options.url),
                body: rest.length > 1 ? rest[0] : undefined,
                headers: options.headers,
            };
            log.push(asked);
            const answer = answers(asked);
            if (answer === 'never') return;
            setImmediate(() => {
                if (answer === undefined) {
                    callback(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
                } else if (answer.status < 400) {
                    callback(null, {}, {}, answer.body ?? {});
                } else {
                    const { code = 'InternalError', message = '' } = answer.body as Record<string, string>;
                    const name = code.endsWith('Error') ? code : `${code}Error`;
                    const facts = { name, restCode: code, statusCode: answer.status, body: answer.body };
                    callback(Object.assign(new Error(message), facts));
                }
            });
        };
    return {
        createJsonClient: (options: { url: string; headers: Asked['headers'] }) => ({
            get: ask('GET', options),
            del: ask('DELETE', options),
            post: ask('POST', options),
            put: ask('PUT', options),
            close: () => undefined,
        }),
    };
}

/** Times of tasks in thousandths: nobody waits for a poll. */
export const QUICK = {
    setTimeout: (run: () => void, ms: number) => setTimeout(run, ms / 1000),
    setInterval: (run: () => void, ms: number) => setInterval(run, ms / 1000),
    clearTimeout,
    clearInterval,
};

/** Runs the function of a text in a context of its own. */
export function call(text: string, globals: object, args: readonly unknown[]): Promise<[unknown, string?]> {
    return new Promise((resolve) => {
        const run = runInContext(`(${text})`, createContext({ ...globals })) as (...all: unknown[]) => void;
        run(...args, (error: unknown, result?: string) =>
            resolve(result === undefined ? [error ?? null] : [error ?? null, result]),
        );
    });
}

async function runTask(
    task: WorkflowTask,
    job: Job,
    globals: object,
    list: keyof Pick<Job, 'chain_results' | 'onerror_results' | 'oncancel_results'>,
): Promise<unknown> {
    let [error, result] = await call(task.body, globals, [job]);
    if (error !== null && task.fallback !== undefined) {
        [error, result] = await call(task.fallback, globals, [error, job]);
    }
    job[list].push({ name: task.name, result: result ?? '', error: error ?? '' });
    return error;
}

/** Runs a job as a workflow service does, and tells what it has asked for. */
export async function runJob(
    workflow: Workflow,
    params: Record<string, unknown>,
    answers: Answers,
): Promise<{ readonly job: Job; readonly asked: readonly Asked[] }> {
    const asked: Asked[] = [];
    const globals = {
        ...QUICK,
        restify: clientModule(answers, asked),
        imgapiUrl: 'http://imgapi',
        vmapiUrl: 'http://vmapi',
        cnapiUrl: 'http://cnapi',
    };
    const job: Job = {
        uuid: 'the-job',
        params: { ...params, req_id: 'the-request' },
        execution: 'running',
        chain_results: [],
        onerror_results: [],
        oncancel_results: [],
    };
    for (const task of workflow.chain) {
        const error = await runTask(task, job, globals, 'chain_results');
        if (error === null) continue;
        const isCancel = error === 'cancel';
        job.execution = isCancel ? 'canceled' : 'failed';
        for (const step of isCancel ? workflow.oncancel : workflow.onerror) {
            await runTask(step, job, globals, isCancel ? 'oncancel_results' : 'onerror_results');
        }
        return { job, asked };
    }
    job.execution = 'succeeded';
    return { job, asked };
}

/** What a job has asked for, in order, but for how the job itself is. */
export function requests(asked: readonly Asked[]): readonly string[] {
    return asked
        .filter(({ url }) => !url.pathname.startsWith('/jobs'))
        .map(({ method, url }) => `${method} ${url.pathname}${decodeURIComponent(url.search)}`);
}
