import type { ImageServices } from '../../images/context.js';
import type { JobKind, JobRun } from '../job-kind.js';
import { importOnCancel, importOnError } from './import-clean-up.js';
import { ImageImport } from './import-image.js';
import { originsOf, transferLimit } from './import-params.js';

async function importOrigins(services: ImageServices, run: JobRun): Promise<string> {
    const work = new ImageImport(services, run);
    const { origins, uuid } = work.params;
    let wanted = [...origins, uuid];
    work.plan(wanted);
    for (const origin of origins) {
        if (!(await work.bringOrigin(origin))) {
            wanted = wanted.filter((one) => one !== origin);
            work.plan(wanted);
        }
    }
    // Before anything else is done, so that jobs that have it among their origins wait for it.
    await run.lock(uuid);
    return origins.length === 0
        ? 'No origins (skipping import of origins)'
        : 'Image origins have been imported';
}

async function importImage(services: ImageServices, run: JobRun): Promise<string> {
    const work = new ImageImport(services, run);
    const { uuid } = work.params;
    await run.lock(uuid);
    await work.create(uuid);
    return `Image ${uuid} created`;
}

async function addImageFile(services: ImageServices, run: JobRun): Promise<string> {
    const work = new ImageImport(services, run);
    await work.addFiles(work.params.uuid);
    return `Image ${work.params.uuid} file added`;
}

async function activate(services: ImageServices, run: JobRun): Promise<string> {
    const work = new ImageImport(services, run);
    await work.activate(work.params.uuid);
    return `Image ${work.params.uuid} activated`;
}

/** The image of a job, as far as its parameters name one. */
function imageOf({ params }: Pick<JobRun, 'params'>): readonly string[] {
    const { image_uuid: uuid } = params;
    return typeof uuid === 'string' ? [uuid] : [];
}

/** The job that copies an image, with the origins that are not here, from another image server (jobs-and-imports 3.6). */
export function importRemoteImageKind(services: ImageServices): JobKind {
    return {
        task: 'import-remote-image',
        name: 'import-remote-image-8.0.0',
        version: '8.0.0',
        timeout: 7250,
        busyTarget: 'attach',
        chain: [
            {
                name: 'origin_import_images',
                timeout: (run) => transferLimit(run, originsOf(run)),
                run: (run) => importOrigins(services, run),
            },
            { name: 'import_image', timeout: 60, run: (run) => importImage(services, run) },
            {
                name: 'add_image_file',
                timeout: (run) => transferLimit(run, imageOf(run)),
                run: (run) => addImageFile(services, run),
            },
            { name: 'activate_image', timeout: 10, run: (run) => activate(services, run) },
        ],
        onError: importOnError(services),
        onCancel: importOnCancel(services),
    };
}
