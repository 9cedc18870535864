import { checkFilesCommand } from '#lib/cli/imgapiadm/check-files.js';
import { parseReport } from './admin-tool.js';
import { packed, type PlantedImage } from './checked-images.js';
import type { Document } from './http-client.js';
import { runHere, type SubcommandExit } from './subcommand-run.js';

/** Bytes that can be packed. */
export const PLAIN = Buffer.from('the bytes of an image, '.repeat(40_000));
export const GZIP = packed('gzip', PLAIN) ?? Buffer.alloc(0);

/** What `check-files --json` has said. */
export interface CheckFilesRun extends SubcommandExit {
    /** By uuid. */
    readonly images: ReadonlyMap<string, Document>;
    readonly summary: Document;
}

/** Runs `check-files --json` in this process. */
export async function checkFiles(
    config: string,
    args: readonly string[] = [],
    environment: NodeJS.ProcessEnv = {},
): Promise<CheckFilesRun> {
    const exit = await runHere(checkFilesCommand, ['-j', '-c', config, ...args], environment);
    return { ...exit, ...parseReport(exit.stdout) };
}

/** What is said of the first file of an image that is not good. */
export function fileOf(
    { images }: Pick<CheckFilesRun, 'images'>,
    { uuid }: Pick<PlantedImage, 'uuid'>,
): Document {
    const files = images.get(uuid)?.['files'];
    return (Array.isArray(files) ? files[0] : undefined) as Document;
}
