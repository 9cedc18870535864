const RECORD_FILE_RE = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.raw$/;
const TEMPORARY_RE = /\.raw\.[^.]+\.tmp$/;

/** Name of the file that holds an image's record. */
export function recordFileName(uuid: string): string {
    return `${uuid}.raw`;
}

/** The uuid a file of the `manifests` directory is the record of; `undefined` for any other file. */
export function uuidOfFile(name: string): string | undefined {
    return RECORD_FILE_RE.exec(name)?.[1];
}

/** Tells whether a file is an unfinished record, for the writer to clear away (backends W1). */
export function isTemporary(name: string): boolean {
    return TEMPORARY_RE.test(name);
}
