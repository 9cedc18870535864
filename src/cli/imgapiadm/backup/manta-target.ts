import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { isSettings } from '../../../base/config-rules.js';
import { startDigest } from '../../../base/digests/one-digest.js';
import { writeFileDurably } from '../../../base/durable-files.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { ChangedError, type FileBytes, type Files, type KeptFile } from './backup-files.js';
import type { BackupTarget } from './backup-target.js';
import { listBackup, md5Of } from './manta-tree.js';

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
}

/** Up to this size a file is stored by a single call, bytes. */
const SMALL_SIZE = 1_048_576;

/** What the last run noted about the files it has stored: `[size, mtimeMs]` by path. */
type Noted = ReadonlyMap<string, readonly [number, number]>;

function parseState(text: string | undefined, area: string): Noted {
    try {
        const value: unknown = JSON.parse(text ?? '{}');
        if (isSettings(value) && value['area'] === area && isSettings(value['files'])) {
            return new Map(Object.entries(value['files'] as Record<string, [number, number]>));
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
    readonly #made = new Map<string, Promise<void>>();
    readonly #emptied = new Set<string>();

    constructor(options: MantaTargetOptions) {
        this.#options = options;
        this.where = `${options.root} at ${options.objects.url}`;
    }

    async open(): Promise<Files> {
        const { objects, root, statePath, parallel } = this.#options;
        const found = await listBackup(objects, root, parallel);
        const noted = parseState(await unlessMissing(readFile(statePath, 'utf8')), this.#area);
        const files = new Map<string, KeptFile>();
        for (const [path, { size }] of found) {
            const [notedSize, mtimeMs] = noted.get(path) ?? [];
            files.set(path, { size, ...(notedSize === size && mtimeMs !== undefined ? { mtimeMs } : {}) });
        }
        return files;
    }

    async hasBytes(file: FileBytes): Promise<boolean> {
        const { objects, signal } = this.#options;
        signal.throwIfAborted();
        const found = await objects.stat(this.#pathOf(file.path));
        return found?.size === file.size && found.md5 !== undefined && found.md5 === (await md5Of(file));
    }

    keep(): Promise<void> {
        return Promise.resolve();
    }

    async put(file: FileBytes): Promise<void> {
        this.#options.signal.throwIfAborted();
        const path = this.#pathOf(file.path);
        await this.#makeDirectory(posix.dirname(path));
        await (file.size > SMALL_SIZE ? this.#upload(path, file) : this.#store(path, file));
    }

    async remove(path: string): Promise<void> {
        const { objects, signal } = this.#options;
        signal.throwIfAborted();
        await objects.remove(this.#pathOf(path));
        this.#emptied.add(posix.dirname(path));
    }

    async commit(files: Files): Promise<void> {
        await this.#removeEmptied();
        await this.#note(files);
    }

    async abandon(files: Files): Promise<void> {
        await this.#note(files).catch(() => undefined);
    }

    /** What the notes of the last run are about. */
    get #area(): string {
        return `${this.#options.objects.url} ${this.#options.root}`;
    }

    #pathOf(path: string): string {
        return posix.join(this.#options.root, path);
    }

    async #note(files: Files): Promise<void> {
        const noted = [...files].flatMap(([path, { size, mtimeMs }]) =>
            mtimeMs === undefined ? [] : [[path, [size, mtimeMs]] as const],
        );
        const text = JSON.stringify({ area: this.#area, files: Object.fromEntries(noted) });
        await writeFileDurably(this.#options.statePath, `${text}\n`);
    }

    async #makeDirectory(path: string): Promise<void> {
        let making = this.#made.get(path);
        if (making === undefined) {
            making = this.#options.objects.makeDirectory(path);
            this.#made.set(path, making);
        }
        await making;
    }

    async #store(path: string, { size, chunks }: FileBytes): Promise<void> {
        const bytes = await buffer(chunks);
        if (bytes.length !== size) {
            throw new ChangedError();
        }
        const { objects, signal } = this.#options;
        await objects.put(path, bytes, {
            contentType: 'application/octet-stream',
            size,
            md5: createHash('md5').update(bytes).digest('base64'),
            signal,
        });
    }

    async #upload(path: string, { size, chunks }: FileBytes): Promise<void> {
        const { objects, signal } = this.#options;
        const upload = await objects.upload(path, { contentType: 'application/octet-stream', size, signal });
        const digest = startDigest('md5', size);
        let sent = 0;
        try {
            for await (const chunk of chunks) {
                signal.throwIfAborted();
                sent += chunk.length;
                if (sent > size) {
                    break;
                }
                await Promise.all([upload.write(chunk), digest.push(chunk)]);
            }
            if (sent !== size) {
                throw new ChangedError();
            }
            const stored = await upload.end();
            if (stored.md5 !== undefined && stored.md5 !== (await digest.end())) {
                await objects.remove(path);
                throw new Error('Manta has stored other bytes');
            }
        } catch (error) {
            digest.cancel();
            await upload.abort();
            throw error;
        }
    }

    /** Directories of images that are gone; one that is not empty stays. */
    async #removeEmptied(): Promise<void> {
        for (const directory of this.#emptied) {
            const isDeep = directory.includes('/');
            if (isDeep && (await this.#options.objects.removeDirectory(this.#pathOf(directory)))) {
                const above = posix.dirname(directory);
                if (above.includes('/')) {
                    await this.#options.objects.removeDirectory(this.#pathOf(above));
                }
            }
        }
    }
}
