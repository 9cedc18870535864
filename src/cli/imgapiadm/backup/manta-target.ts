import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { isSettings } from '../../../base/config-rules.js';
import { writeFileDurably } from '../../../base/durable-files.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { pathsOf, uuidOf, type FileBytes, type Files, type KeptFile } from './backup-files.js';
import type { BackupTarget } from './backup-target.js';
import { findBackup, type FoundBackup } from './find-backup.js';
import { MantaReplacements } from './manta-replacements.js';
import { md5Of, recordOf, waitingAt } from './manta-tree.js';
import { MantaWriter } from './manta-writer.js';

/** What a {@link MantaTarget} is made from. */
export interface MantaTargetOptions {
    readonly objects: ObjectStore;
    /** `<rootDir>/backup`. */
    readonly root: string;
    /** File in which it is kept from run to run when the files were changed that are in Manta. */
    readonly statePath: string;
    /** Calls at the same time. */
    readonly parallel: number;
    readonly signal: AbortSignal;
    /** Told of what is wrong in the backup itself; the run goes on. */
    readonly onProblem: (path: string, problem: string) => void;
}

/** What the last run noted about files: `[size, mtimeMs, etag]` by path; it counts for the object with that etag alone. */
type Noted = ReadonlyMap<string, readonly [size: number, mtimeMs: number, etag?: string]>;

function parseState(text: string | undefined, area: string): Noted {
    try {
        const value: unknown = JSON.parse(text ?? '{}');
        if (isSettings(value) && value['area'] === area && isSettings(value['files'])) {
            return new Map(Object.entries(value['files'] as Record<string, [number, number, string?]>));
        }
    } catch {
        // Then the bytes are compared instead.
    }
    return new Map();
}

/** Keeps one backup in Manta, `<rootDir>/backup/{images,manifests,...}`, as the existing server does. */
export class MantaTarget implements BackupTarget {
    readonly where: string;
    readonly #options: MantaTargetOptions;
    readonly #writer: MantaWriter;
    readonly #replacements: MantaReplacements;
    /** Etags of files whose bytes in Manta are known. */
    readonly #etags = new Map<string, string | undefined>();
    #found: FoundBackup = { files: new Map(), waiting: [], begun: [], broken: [] };

    constructor(options: MantaTargetOptions) {
        const { objects, root, signal } = options;
        this.#options = options;
        this.where = `${root} at ${objects.url}`;
        this.#writer = new MantaWriter(objects, root, signal);
        this.#replacements = new MantaReplacements(this.#writer, (path, etag) => this.#etags.set(path, etag));
    }

    async open(): Promise<Files> {
        const { objects, root, statePath, parallel } = this.#options;
        this.#found = await findBackup(objects, root, parallel);
        for (const { record, problem } of this.#found.broken) {
            const text = `${problem}; nothing of it is put in place, and it goes once the image is stored anew`;
            this.#options.onProblem(waitingAt(record), text);
        }
        const noted = parseState(await unlessMissing(readFile(statePath, 'utf8')), this.#area);
        const files = new Map<string, KeptFile>();
        for (const [path, { size, etag }] of this.#found.files) {
            const [notedSize, mtimeMs, notedEtag] = noted.get(path) ?? [];
            const isKnown = notedSize === size && notedEtag === etag && mtimeMs !== undefined;
            files.set(path, { size, ...(isKnown ? { mtimeMs } : {}) });
            this.#etags.set(path, etag);
        }
        return files;
    }

    async begin(): Promise<void> {
        const { files, ...found } = this.#found;
        await this.#replacements.settle(this.#found);
        // What has waited is in its place now.
        const placed = [...files].map(([path, file]) => [path, { ...file, at: path }] as const);
        this.#found = { ...found, files: new Map(placed) };
    }

    async hasBytes(file: FileBytes): Promise<boolean> {
        const { at = file.path } = this.#found.files.get(file.path) ?? {};
        const found = await this.#writer.stat(at);
        return found?.size === file.size && found.md5 !== undefined && found.md5 === (await md5Of(file));
    }

    keep(): Promise<void> {
        return Promise.resolve();
    }

    async put(file: FileBytes): Promise<void> {
        const { path } = file;
        if (this.#replacements.isWaitedFor(path)) {
            await this.#replacements.replace(file);
            return;
        }
        this.#etags.delete(path);
        this.#etags.set(path, (await this.#writer.put(path, file)).etag);
    }

    async putForRecord(file: FileBytes): Promise<void> {
        const { path } = file;
        const { files } = this.#found;
        const places = pathsOf(uuidOf(path) ?? '', posix.basename(path));
        if (files.has(recordOf(path)) && places.some((place) => files.has(place))) {
            this.#etags.delete(path);
            await this.#replacements.put(file);
        } else {
            await this.put(file);
        }
    }

    async discard(path: string): Promise<void> {
        if (!(await this.#replacements.discard(path)) && !this.#found.files.has(path)) {
            await this.remove(path);
        }
    }

    async remove(path: string): Promise<void> {
        this.#etags.delete(path);
        await this.#writer.remove(path);
    }

    async commit(files: Files): Promise<void> {
        const { broken, waiting } = this.#found;
        const isMended = (record: string): boolean =>
            files.has(record) && broken.some((image) => image.record === record);
        await this.#replacements.clear(waiting.filter((path) => isMended(recordOf(path))));
        await this.#writer.removeEmptied();
        await this.#note(files);
    }

    async abandon(files: Files): Promise<void> {
        await this.#note(files).catch(() => undefined);
    }

    /** What the notes of the last run are about. */
    get #area(): string {
        return `${this.#options.objects.url} ${this.#options.root}`;
    }

    async #note(files: Files): Promise<void> {
        const noted = [...files].flatMap(([path, { size, mtimeMs }]) => {
            const etag = this.#etags.get(path);
            const isKnown = mtimeMs !== undefined && this.#etags.has(path);
            return isKnown ? [[path, [size, mtimeMs, ...(etag === undefined ? [] : [etag])]] as const] : [];
        });
        const text = JSON.stringify({ area: this.#area, files: Object.fromEntries(noted) });
        await writeFileDurably(this.#options.statePath, `${text}\n`);
    }
}
