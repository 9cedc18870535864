import type { JobEngine } from './job-engine.js';
import type { JobServices } from './services.js';

/** Whoever may have a job: the files here, and the engine if that is another one (jobs-and-imports 9.5). */
export function enginesOf({
    local,
    engine,
}: Pick<JobServices, 'local' | 'engine'>): readonly [JobEngine, ...JobEngine[]] {
    return engine === local ? [local] : [local, engine];
}
