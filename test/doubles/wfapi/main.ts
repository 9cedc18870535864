import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { types } from 'node:util';

/*
 * A real workflow service, API and runner, with its jobs in memory (jobs-and-imports 2.8):
 *
 *     main
 *
 * Says `{"port":PORT}` when it takes connections. Whoever has started it tells it the globals of its
 * tasks, e.g. `{"imgapiUrl":"http://127.0.0.1:8080"}`, as messages; it ends when that process does.
 */

type Callback = (error: unknown, ...results: unknown[]) => void;

interface Job {
    readonly created_at: string;
}

/** What both halves of the service keep their jobs in. */
interface Backend {
    getJobs(params: Record<string, unknown>, callback: Callback): void;
}

interface Service {
    init(onInit: () => void, onError?: (error: unknown) => void): void;
    run(onRun: () => void): void;
}

interface Wf {
    readonly API: new (options: object) => Service;
    Runner(options: object): Service;
}

const require = createRequire(import.meta.url);
const backendPath = require.resolve('wf/lib/workflow-in-memory-backend.js');

/** Sorts and pages as backends with a database do; the one in memory takes the limit for an end. */
function withPages(backend: Backend): Backend {
    const all = backend.getJobs.bind(backend);
    backend.getJobs = (params, callback) => {
        const { offset = 0, limit = 1000, ...rest } = params as { offset?: number; limit?: number };
        all(rest, (error: unknown, found: unknown) => {
            if (error) {
                callback(error);
                return;
            }
            const jobs = (found as Job[]).reverse().sort((a, b) => b.created_at.localeCompare(a.created_at));
            callback(null, jobs.slice(offset, offset + limit), jobs.length);
        });
    };
    return backend;
}

/** API and runner each make a backend from a module of this name: both get the same one. */
function shareBackend(): void {
    const make = require(backendPath) as (options: object) => Backend;
    const module = require.cache[backendPath];
    if (module === undefined) throw new Error('the backend is not loaded');
    let shared: Backend | undefined;
    module.exports = (options: object) => (shared ??= withPages(make(options)));
}

/** The service listens on a port that is known before only. */
async function freePort(): Promise<number> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    server.close();
    await once(server, 'close');
    return typeof address === 'object' && address !== null ? address.port : 0;
}

/** It uses functions that Node.js had until version 22. */
function restoreOldFunctions(): void {
    const { isDate, isRegExp } = types;
    Object.assign(require('node:util') as object, { isArray: Array.isArray, isDate, isRegExp });
}

restoreOldFunctions();
shareBackend();
const wf = require('wf') as Wf;
const port = await freePort();
const sandbox: Record<string, unknown> = { modules: {} };
const quiet = { streams: [] };
const backend = { module: backendPath, opts: {} };
const api = new wf.API({
    backend,
    api: { port, job_extra_params: ['vm_uuid', 'server_uuid', 'image_uuid', 'task'] },
    logger: { ...quiet },
});
const runner = wf.Runner({
    backend,
    logger: { ...quiet },
    runner: {
        identifier: 'cd925eef-93fb-4bfe-a820-2aaedf9fc006',
        forks: 5,
        run_interval: 50,
        do_fork: false,
        sandbox,
    },
});

await new Promise<void>((resolve, reject) => api.init(resolve, reject));
await new Promise<void>((resolve) => runner.init(resolve));
runner.run(() => undefined);

process.on('message', (globals: object) => Object.assign(sandbox, globals));
process.once('disconnect', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ port })}\n`);
