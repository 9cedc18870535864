import { uuidPrefix } from '../../base/directories.js';
import { forEachParallel } from '../../base/parallel.js';
import type { AreaTop, FileArea } from './file-area.js';
import type { FileFinding, FoundFile } from './finding.js';
import { currentFacts, factsOf, type ImageFacts, type SurveyRecords } from './image-facts.js';
import { type ReadDepth, surveyImage } from './image-survey.js';

/** Images looked at at the same time. */
const PARALLEL = 16;

/** What a survey needs. */
export interface SurveyOptions {
    /** Storages that can be listed; what lies elsewhere is not judged. */
    readonly areas: readonly FileArea[];
    readonly records: SurveyRecords;
    readonly depth: ReadDepth;
    /** Only these images; absent: all, and what belongs to none. */
    readonly uuids?: readonly string[];
    readonly signal: AbortSignal;
}

/** What is told while a survey goes on. */
export interface SurveyVisitor {
    /** How many images there are to look at, as soon as that is known. */
    begun(images: number): void;
    found(finding: FileFinding): void;
    /** An image has been looked at. @param hasRecord whether there is a manifest of it */
    done(uuid: string, hasRecord: boolean): void;
}

/** The uuids of images and directories that begin with the same characters. */
interface Shelf {
    readonly prefix: string;
    readonly uuids: readonly string[];
}

function byPrefix(uuids: Iterable<string>): Map<string, string[]> {
    const shelves = new Map<string, string[]>();
    for (const uuid of uuids) {
        const prefix = uuidPrefix(uuid);
        const shelf = shelves.get(prefix);
        if (shelf === undefined) {
            shelves.set(prefix, [uuid]);
        } else {
            shelf.push(uuid);
        }
    }
    return shelves;
}

/** One walk through all storages, a prefix at a time; of the records only the facts are held. */
class Survey {
    readonly #options: SurveyOptions;
    readonly #visitor: SurveyVisitor;
    readonly #facts = new Map<string, ImageFacts>();

    constructor(options: SurveyOptions, visitor: SurveyVisitor) {
        this.#options = options;
        this.#visitor = visitor;
    }

    async run(): Promise<void> {
        const { areas, uuids } = this.#options;
        const tops: AreaTop[] = [];
        for (const area of areas) {
            tops.push(await area.top());
        }
        if (uuids !== undefined) {
            this.#visitor.begun(uuids.length);
            await this.#lookAtAll(uuids);
            return;
        }
        await this.#readRecords();
        this.#visitor.begun(this.#facts.size);
        this.#reportStrays(tops.flatMap(({ strays }) => strays));
        const old = tops.flatMap((top) => top.old);
        const shelves = byPrefix(new Set([...this.#facts.keys(), ...old]));
        const prefixes = new Set([...shelves.keys(), ...tops.flatMap((top) => top.prefixes)]);
        for (const prefix of [...prefixes].sort()) {
            this.#options.signal.throwIfAborted();
            const shelf = await this.#shelf(prefix, shelves.get(prefix) ?? []);
            await this.#lookAtAll(shelf.uuids);
        }
    }

    async #readRecords(): Promise<void> {
        for await (const { raw } of this.#options.records.all()) {
            this.#options.signal.throwIfAborted();
            this.#facts.set(raw.uuid, factsOf(raw));
        }
    }

    async #shelf(prefix: string, known: readonly string[]): Promise<Shelf> {
        const uuids = new Set(known);
        for (const area of this.#options.areas) {
            const { directory, problem, isListed, uuids: found, strays } = await area.prefix(prefix);
            this.#reportStrays(strays);
            if (problem !== undefined) {
                const { found: blocked, detail, commands } = problem;
                const { stor, path } = blocked;
                this.#visitor.found({ kind: 'permission', stor, path, detail, found: blocked, commands });
            }
            if (!isListed) {
                // Nothing is known of the images in there, so nothing is said of them.
                return { prefix, uuids: [] };
            }
            if (directory !== undefined && found.length === 0 && strays.length === 0) {
                const { stor, path } = directory;
                const detail = 'empty directory of images';
                this.#visitor.found({ kind: 'empty', stor, path, detail, found: directory });
            }
            for (const uuid of found) {
                uuids.add(uuid);
            }
        }
        return { prefix, uuids: [...uuids].sort() };
    }

    #reportStrays(strays: readonly FoundFile[]): void {
        for (const found of strays) {
            const { stor, path } = found;
            this.#visitor.found({ kind: 'foreign', stor, path, detail: 'belongs to no image', found });
        }
    }

    async #lookAtAll(uuids: readonly string[]): Promise<void> {
        const { areas, records, depth, signal } = this.#options;
        await forEachParallel(uuids, PARALLEL, async (uuid) => {
            signal.throwIfAborted();
            // What is not known may have come since, or have a record that cannot be used.
            const image = this.#facts.get(uuid) ?? (await currentFacts(records, uuid));
            for (const finding of await surveyImage(uuid, image, { areas, depth, signal })) {
                this.#visitor.found(finding);
            }
            this.#visitor.done(uuid, image !== 'absent');
        });
    }
}

/**
 * Looks at all files in all storages and compares them with the records (operations 2.4). Memory is bounded
 * by the facts of the records and the names of one prefix; bytes are read only where nothing else tells.
 *
 * @throws the error of a storage or database that cannot be read, and the reason of the signal
 */
export async function surveyFiles(options: SurveyOptions, visitor: SurveyVisitor): Promise<void> {
    await new Survey(options, visitor).run();
}
