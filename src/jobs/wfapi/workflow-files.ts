import { readFile } from 'node:fs/promises';
import type { Workflow, WorkflowTask } from '../../remotes/workflow-service.js';
import type { Task } from '../job.js';

/** A step and the files its function is made of. */
interface StepFiles {
    readonly name: string;
    /** Seconds. */
    readonly timeout: number;
    /** Has the function itself. */
    readonly file: string;
    /** Have functions it calls. */
    readonly shared: readonly string[];
    /** Has the function that is called when it fails. */
    readonly fallback?: string;
}

/** A workflow as a table; the functions are in files. */
export interface WorkflowTable {
    readonly task: Task;
    readonly version: string;
    /** Seconds. */
    readonly timeout: number;
    readonly chain: readonly StepFiles[];
    readonly onerror: readonly StepFiles[];
    readonly oncancel: readonly StepFiles[];
}

const CALLS = ['shared/send.js', 'shared/canceled.js'];
const IMAGES = ['shared/send.js', 'shared/images.js'];
const IMPORTS = [...CALLS, 'shared/images.js', 'shared/import.js'];
const REMOVALS = [...IMAGES, 'shared/remove.js'];

/** A step of CreateImageFromVm: why it fails is kept for the image. */
function fromVmStep(name: string, timeout: number, file: string, shared = CALLS): StepFiles {
    return {
        name,
        timeout,
        file: `create-from-vm/${file}`,
        shared,
        fallback: 'create-from-vm/note-error.js',
    };
}

function updateStep(name: string, file: string): StepFiles {
    return { name, timeout: 60, file: `create-from-vm/${file}`, shared: IMAGES };
}

function importStep(name: string, timeout: number, file: string, shared = IMPORTS): StepFiles {
    return { name, timeout, file: `import-remote-image/${file}`, shared };
}

const ON_ERROR: StepFiles = { name: 'On error', timeout: 10, file: 'shared/on-error.js', shared: [] };

/** The workflows this server runs its jobs with (jobs-and-imports 1.7, 3.6). */
export const WORKFLOWS: readonly WorkflowTable[] = [
    {
        task: 'create-from-vm',
        version: '8.0.0',
        timeout: 3630,
        chain: [
            fromVmStep('vmapi.get_vm_server', 10, 'get-vm-server.js'),
            fromVmStep('cnapi.queue_create_from_vm_task', 10, 'queue-task.js'),
            fromVmStep('cnapi.poll_task', 3600, 'poll-task.js', [...CALLS, 'create-from-vm/task-failure.js']),
        ],
        onerror: [updateStep('update_with_error', 'update-with-error.js'), ON_ERROR],
        oncancel: [updateStep('update_with_cancel', 'update-with-cancel.js')],
    },
    {
        task: 'import-remote-image',
        version: '8.0.0',
        timeout: 7250,
        chain: [
            importStep('origin_import_images', 3600, 'origin-import-images.js'),
            importStep('import_image', 60, 'import-image.js'),
            importStep('add_image_file', 3600, 'add-image-file.js'),
            importStep('activate_image', 10, 'activate-image.js'),
        ],
        onerror: [
            importStep('delete_image', 60, 'delete-image.js', REMOVALS),
            importStep('origin_delete_images', 60, 'origin-delete-images.js', REMOVALS),
            ON_ERROR,
        ],
        oncancel: [
            importStep('delete_image', 10, 'cancel-image.js', REMOVALS),
            importStep('origin_delete_images', 10, 'origin-delete-images.js', REMOVALS),
        ],
    },
];

/** Where the functions are; they are read as text and never loaded as a part of this server. */
const DIRECTORY = new URL('../../../workflows/', import.meta.url);
const FUNCTION_RE = /^function (\w+)\(([\w, ]*)\) \{$/m;

/**
 * The text of a function that stands alone: the one in `file`, with the shared ones inside. It is exactly
 * what an engine gives back as the text of the function, so that a stored one compares equal.
 */
function standingAlone(texts: ReadonlyMap<string, string>, file: string, shared: readonly string[]): string {
    const own = texts.get(file) ?? '';
    const [, name, parameters] = FUNCTION_RE.exec(own) ?? [];
    if (name === undefined || parameters === undefined) {
        throw new Error(`no function in workflows/${file}`);
    }
    const parts = [...shared.map((one) => texts.get(one) ?? ''), own].map((text) => text.trim());
    return `function (${parameters}) {\n${parts.join('\n\n')}\n\nreturn ${name}(${parameters});\n}`;
}

function taskOf(texts: ReadonlyMap<string, string>, step: StepFiles): WorkflowTask {
    const { name, timeout, file, shared, fallback } = step;
    return {
        name,
        timeout,
        retry: 1,
        body: standingAlone(texts, file, shared),
        ...(fallback === undefined ? {} : { fallback: standingAlone(texts, fallback, []) }),
        modules: { restify: 'restify' },
    };
}

function filesOf({ file, shared, fallback }: StepFiles): readonly string[] {
    return [...shared, file, ...(fallback === undefined ? [] : [fallback])];
}

/** A workflow as a service takes it. @throws the file system's error */
export async function readWorkflow(table: WorkflowTable): Promise<Workflow> {
    const { task, version, timeout, chain, onerror, oncancel } = table;
    const files = [...chain, ...onerror, ...oncancel].flatMap(filesOf);
    const texts = new Map(
        await Promise.all(
            [...new Set(files)].map(
                async (file) => [file, await readFile(new URL(file, DIRECTORY), 'utf8')] as const,
            ),
        ),
    );
    const read = (steps: readonly StepFiles[]): readonly WorkflowTask[] =>
        steps.map((step) => taskOf(texts, step));
    return {
        name: `${task}-${version}`,
        version,
        timeout,
        chain: read(chain),
        onerror: read(onerror),
        oncancel: read(oncancel),
    };
}
