import type { JsonObject, RawImage } from './types.js';

/** Key in `x_imgapi` that marks a record as one a job is filling; it goes with the activation (backends F2). */
const KEY = 'import_id';

/** The id of the import that has made a record and not finished it yet; `undefined`: no such import. */
export function importIdOf({ x_imgapi: own }: Pick<RawImage, 'x_imgapi'>): string | undefined {
    const id = own?.[KEY];
    return typeof id === 'string' ? id : undefined;
}

/** What is kept of our own in a record that an import has made, marked as that import's. */
export function withImportId(own: JsonObject | undefined, importId: string): JsonObject {
    return { ...own, [KEY]: importId };
}
