import { posix } from 'node:path';
import type { Clock } from '../../base/clock.js';
import type { BaseDirectories } from '../../base/config-types.js';
import { messageOf } from '../../base/errors.js';
import { isStoredFileName } from '../../storage/file-names.js';
import type { UploadJournal } from '../../storage/upload-journal.js';
import type { FileArea } from './file-area.js';
import { type FileDigests, type FileFinding, isGarbage } from './finding.js';
import { surveyImage } from './image-survey.js';
import { currentFacts, type SurveyRecords } from './image-facts.js';
import { IN_USE, inFileClaims } from './in-claims.js';
import { isJournaled } from './journaled.js';

/** What became of something that was found. */
export interface Collected {
    readonly finding: FileFinding;
    readonly result: 'moved' | 'removed' | 'kept' | 'failed';
    /** Of `moved`. */
    readonly to?: string;
    /** Of `kept` and `failed`. */
    readonly reason?: string;
}

/** What a {@link GarbageCollector} needs. */
export interface CollectorOptions {
    readonly areas: readonly FileArea[];
    readonly records: SurveyRecords;
    /** Of this process as a tool: what a server claims is left alone. */
    readonly uploads: Pick<UploadJournal, 'claim'>;
    readonly directories: BaseDirectories;
    readonly clock: Clock;
    /** Youngest age at which this may be touched, milliseconds. */
    readonly minAgeMs: (finding: FileFinding) => number;
    /** Whether a server is receiving an upload under this temporary name. */
    readonly isUploading: (name: string) => boolean;
    /** Name of this run's directory in the trash. */
    readonly stamp: string;
    readonly signal: AbortSignal;
}

/** Directories of images whose uuids begin alike. */
const PREFIX = /^[0-9a-f]{3}$/;
const NOT_ANY_MORE = 'it is no garbage any more';

/** Age of what was found, milliseconds. A directory that does not tell is as old as can be. */
export function ageOf({ found }: FileFinding, now: number): number {
    return found === undefined ? 0 : now - found.mtime;
}

/**
 * Takes away what a survey has found, beside a running server (operations 2.3, 2.4). Whatever happens between
 * survey and decision: each file is judged again by the record as it is then, while no process can put bytes
 * in its place or take its record away, and is moved only if it is the very file that was found.
 */
export class GarbageCollector {
    readonly #options: CollectorOptions;
    readonly #areas: ReadonlyMap<string, FileArea>;

    constructor(options: CollectorOptions) {
        this.#options = options;
        this.#areas = new Map(options.areas.map((area) => [area.stor, area]));
    }

    /** Why something must be left alone for now; `undefined`: it need not. */
    keepReason(finding: FileFinding): string | undefined {
        const { clock, minAgeMs, isUploading } = this.#options;
        if (finding.found !== undefined && isUploading(finding.found.name)) {
            return 'it is being uploaded';
        }
        return ageOf(finding, clock.now()) < minAgeMs(finding) ? 'it is too young' : undefined;
    }

    /** Takes away what was found of one image, or of none. Rejects only when told to stop. */
    async collect(findings: readonly FileFinding[]): Promise<readonly Collected[]> {
        this.#options.signal.throwIfAborted();
        const kept = findings.flatMap((finding): Collected[] => {
            const reason = this.keepReason(finding);
            return reason === undefined ? [] : [{ finding, result: 'kept', reason }];
        });
        const due = findings.filter((finding) => this.keepReason(finding) === undefined);
        const uuid = due[0]?.uuid;
        if (due.length === 0) {
            return kept;
        }
        try {
            const collected = uuid === undefined ? await this.#tidy(due) : await this.#clear(uuid, due);
            return [...kept, ...collected];
        } catch (error) {
            this.#options.signal.throwIfAborted();
            const reason = messageOf(error);
            return [...kept, ...due.map((finding) => ({ finding, result: 'failed' as const, reason }))];
        }
    }

    /** Directories of no image: empty ones. */
    async #tidy(findings: readonly FileFinding[]): Promise<readonly Collected[]> {
        const collected: Collected[] = [];
        for (const finding of findings) {
            collected.push(await this.#removeDirectory(finding));
        }
        return collected;
    }

    async #clear(uuid: string, due: readonly FileFinding[]): Promise<readonly Collected[]> {
        const names = due.flatMap(({ file }) => (file !== undefined && isStoredFileName(file) ? [file] : []));
        const digests = new Map<string, Promise<FileDigests | undefined>>();
        // Bytes are read before the claims: uploads must not wait for that.
        await this.#survey(uuid, digests);
        const collected = await inFileClaims(this.#options.uploads, uuid, names, async () => {
            if (await isJournaled(this.#options.directories, uuid)) {
                return IN_USE;
            }
            const now = await this.#survey(uuid, digests);
            const results: Collected[] = [];
            for (const finding of due) {
                results.push(await this.#take(finding, now));
            }
            return results;
        });
        return collected === IN_USE
            ? due.map((finding) => ({
                  finding,
                  result: 'kept',
                  reason: 'the server is at work on its image',
              }))
            : collected;
    }

    async #survey(
        uuid: string,
        digests: Map<string, Promise<FileDigests | undefined>>,
    ): Promise<readonly FileFinding[]> {
        const { areas, records, signal } = this.#options;
        const image = await currentFacts(records, uuid);
        return surveyImage(uuid, image, { areas, depth: 'copies', signal, digests });
    }

    /** @param now what is wrong with the image at this moment */
    async #take(finding: FileFinding, now: readonly FileFinding[]): Promise<Collected> {
        const { path, stor, found } = finding;
        const still = now.find((one) => one.path === path && one.stor === stor && isGarbage(one));
        if (found === undefined || still?.found?.identity !== found.identity) {
            return { finding, result: 'kept', reason: NOT_ANY_MORE };
        }
        if (still.kind === 'empty') {
            return this.#removeDirectory(finding);
        }
        const area = this.#areaOf(finding);
        const to = area.trashPathOf(path, this.#options.stamp);
        try {
            if (!(await area.move(found, to))) {
                return { finding, result: 'kept', reason: NOT_ANY_MORE };
            }
            await this.#prune(area, posix.dirname(path));
            return { finding, result: 'moved', to };
        } catch (error) {
            return { finding, result: 'failed', reason: messageOf(error) };
        }
    }

    /** One that has got entries since is in use. */
    async #removeDirectory(finding: FileFinding): Promise<Collected> {
        try {
            return (await this.#prune(this.#areaOf(finding), finding.path))
                ? { finding, result: 'removed' }
                : { finding, result: 'kept', reason: NOT_ANY_MORE };
        } catch (error) {
            return { finding, result: 'failed', reason: messageOf(error) };
        }
    }

    /** Removes a directory, and that of its prefix behind it; whoever wants one of them makes it again. */
    async #prune(area: FileArea, path: string): Promise<boolean> {
        const above = posix.dirname(path);
        const isGone = await area.removeDirectory(path);
        if (isGone && PREFIX.test(posix.basename(above))) {
            await area.removeDirectory(above);
        }
        return isGone;
    }

    #areaOf({ stor }: FileFinding): FileArea {
        const area = this.#areas.get(stor);
        if (area === undefined) {
            throw new TypeError(`no storage ${stor}`);
        }
        return area;
    }
}
