import type { ConfigSource } from '../base/config-types.js';
import type { ImageServices } from '../images/context.js';
import { createFromVmKind } from '../jobs/from-vm/job-kind.js';
import { importRemoteImageKind } from '../jobs/import/import-job.js';
import type { JobKind } from '../jobs/job-kind.js';

/** What the jobs of this server are done with. */
export interface JobKindParts {
    readonly config: ConfigSource;
    readonly images: ImageServices;
}

/** What the embedded engine can do, a line each; `undefined`: not with this configuration. */
const KINDS: readonly ((parts: JobKindParts) => JobKind | undefined)[] = [
    ({ images }) => createFromVmKind(images),
    ({ images }) => importRemoteImageKind(images),
];

/** The jobs that the embedded engine can do; nothing is connected yet. */
export function jobKinds(parts: JobKindParts): readonly JobKind[] {
    return KINDS.flatMap((make) => make(parts) ?? []);
}
