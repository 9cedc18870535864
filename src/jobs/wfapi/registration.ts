import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type Logger from 'bunyan';
import { isObject } from '../../manifest/coerce.js';
import type { StoredWorkflow, Workflow, WorkflowService } from '../../remotes/workflow-service.js';
import { readWorkflow, WORKFLOWS, type WorkflowTable } from './workflow-files.js';

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 60_000;

/** What {@link Registration} is made from. */
export interface RegistrationOptions {
    readonly service: WorkflowService;
    readonly log: Logger;
    /** `wfapi.workflows`. */
    readonly names: readonly string[];
    /** Replace what is there, always or when it differs. */
    readonly forceReplace: boolean;
    readonly forceMd5Check: boolean;
}

const PARTS = ['chain', 'onerror', 'oncancel'] as const;

/** A task as far as it counts: services give it a uuid, and may keep `modules` as text. */
function comparableTask(task: unknown): unknown {
    if (!isObject(task)) {
        return task;
    }
    const { modules } = task;
    const rest = Object.fromEntries(Object.entries(task).filter(([key]) => key !== 'uuid'));
    try {
        const parsed: unknown = typeof modules === 'string' ? JSON.parse(modules) : modules;
        return { ...rest, modules: parsed };
    } catch {
        return rest;
    }
}

function comparable(workflow: Workflow | StoredWorkflow): unknown {
    const { timeout } = workflow;
    const parts = PARTS.map((part) => {
        const tasks = workflow[part];
        return Array.isArray(tasks) ? tasks.map(comparableTask) : tasks;
    });
    return { timeout, parts };
}

/** Whether a service has another workflow than ours under its name (jobs-and-imports 2.2). */
function isDifferent(stored: StoredWorkflow, ours: Workflow): boolean {
    return !isDeepStrictEqual(comparable(stored), comparable(ours));
}

/** Makes our workflows known to a service and knows them by its uuids (jobs-and-imports 2.2). */
export class Registration {
    readonly #options: RegistrationOptions;
    #uuids: ReadonlyMap<string, string> = new Map();
    #onForget: () => void = () => undefined;

    constructor(options: RegistrationOptions) {
        this.#options = options;
    }

    /** Whether all workflows are known. */
    get isComplete(): boolean {
        return this.#tables().every(({ task }) => this.#uuids.has(task));
    }

    /** The service's uuid of the workflow for a task; `undefined`: it has none yet. */
    uuidOf(task: string): string | undefined {
        return this.#uuids.get(task);
    }

    /** Whether jobs of this task are to be run at all. */
    hasWorkflow(task: string): boolean {
        return this.#tables().some((table) => table.task === task);
    }

    /** Forgets what was registered: the service does not know it any more. */
    forget(): void {
        this.#uuids = new Map();
        this.#onForget();
    }

    /** Resolves when there is something to be registered again, or `signal` is aborted. */
    async incomplete(signal: AbortSignal): Promise<void> {
        if (this.isComplete && !signal.aborted) {
            await new Promise<void>((resolve) => {
                this.#onForget = resolve;
                signal.addEventListener('abort', () => resolve(), { once: true });
            });
        }
    }

    /** Registers all, again until nothing fails. Resolves then, or when `signal` is aborted. */
    async run(signal: AbortSignal): Promise<void> {
        const { log, names } = this.#options;
        for (let pauseMs = BACKOFF_MIN_MS; !signal.aborted; pauseMs = Math.min(BACKOFF_MAX_MS, 2 * pauseMs)) {
            try {
                this.#uuids = await this.#registerAll(signal);
                log.info({ workflows: names }, 'workflows are registered');
                return;
            } catch (err) {
                if (!signal.aborted) {
                    log.warn({ err, pauseMs }, 'workflows could not be registered');
                }
                await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
            }
        }
    }

    #tables(): readonly WorkflowTable[] {
        return WORKFLOWS.filter(({ task }) => this.#options.names.includes(task));
    }

    async #registerAll(signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
        const uuids = new Map<string, string>();
        for (const table of this.#tables()) {
            uuids.set(table.task, await this.#register(await readWorkflow(table), signal));
        }
        return uuids;
    }

    async #register(workflow: Workflow, signal: AbortSignal): Promise<string> {
        const { service, log, forceReplace, forceMd5Check } = this.#options;
        const { name } = workflow;
        const [stored] = await service.workflowsNamed(name, signal);
        if (stored === undefined) {
            const uuid = await service.createWorkflow(workflow, signal);
            log.info({ workflow: name, uuid }, 'workflow created');
            return uuid;
        }
        if (forceReplace || (forceMd5Check && isDifferent(stored, workflow))) {
            await service.replaceWorkflow(stored.uuid, workflow, signal);
            log.info({ workflow: name, uuid: stored.uuid }, 'workflow replaced');
        }
        return stored.uuid;
    }
}
