import { open, rename, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.js';
import type { BaseDirectories } from '../../base/config-types.js';
import { makeDirectory, removeIfPresent, writeFileDurably } from '../../base/durable-files.js';
import { unlessMissing } from '../../base/unless-missing.js';
import { PartFile } from '../part-file.js';
import type { StagedLayer } from './layer.js';
import { factsText, type LayerFacts, parseFacts } from './layer-facts.js';
import { PartNames } from './part-names.js';

/** Name of the area in `staging/`. */
export const LAYER_AREA = 'docker';

/** Largest JSON half that is read, bytes. */
const MAX_FACTS_SIZE = 4096;

async function readFacts(path: string): Promise<LayerFacts | 'bad' | undefined> {
    const handle = await unlessMissing(open(path, 'r'));
    if (handle === undefined) {
        return undefined;
    }
    try {
        const { size } = await handle.stat();
        return (size > MAX_FACTS_SIZE ? undefined : parseFacts(await handle.readFile('utf8'))) ?? 'bad';
    } finally {
        await handle.close();
    }
}

/**
 * Where layers wait for their place: pairs of files, `<layer uuid>.data` and `<layer uuid>.json`, the second
 * written last, and `<layer uuid>.<random>.part` while they come (jobs-and-imports 9.9). Several processes
 * may use it at the same time; what one of them has removed is not there for the others.
 *
 * All methods throw the file system's errors.
 */
export class LayerArea {
    readonly directory: string;
    readonly names: PartNames;
    readonly #clock: Clock;

    constructor(directories: BaseDirectories, clock: Clock) {
        this.directory = join(directories.staging, LAYER_AREA);
        this.names = new PartNames(clock);
        this.#clock = clock;
    }

    /** A layer that is there, complete, and from now on no older than a moment; a damaged one goes. */
    async find(uuid: string, digest: string): Promise<StagedLayer | undefined> {
        const facts = await readFacts(this.#path(uuid, 'json'));
        if (facts === undefined) {
            // The other half may be there: somebody else may be about to write this one.
            return undefined;
        }
        const path = this.#path(uuid, 'data');
        const size = (await unlessMissing(stat(path)))?.size;
        if (facts === 'bad' || facts.uuid !== uuid || facts.digest !== digest || facts.size !== size) {
            await this.remove(uuid);
            return undefined;
        }
        const isThere = await unlessMissing(this.#touch(uuid).then(() => true));
        return isThere === true ? { ...facts, path } : undefined;
    }

    /** A place for the bytes of a layer that comes. */
    async part(uuid: string): Promise<PartFile> {
        await makeDirectory(this.directory);
        return new PartFile(join(this.directory, `${uuid}.${await this.names.fresh()}.part`));
    }

    /** Makes a pair of a part file that is complete and on stable storage. */
    async keep(part: PartFile, facts: LayerFacts): Promise<StagedLayer> {
        const path = this.#path(facts.uuid, 'data');
        await rename(part.path, path);
        try {
            // The sync of the directory with this second half holds for both.
            await writeFileDurably(this.#path(facts.uuid, 'json'), factsText(facts));
        } catch (error) {
            await this.remove(facts.uuid).catch(() => undefined);
            throw error;
        }
        return { ...facts, path };
    }

    /** Removes a pair; one that is not there is fine. */
    async remove(uuid: string): Promise<void> {
        await removeIfPresent(this.#path(uuid, 'json'));
        await removeIfPresent(this.#path(uuid, 'data'));
    }

    async #touch(uuid: string): Promise<void> {
        const now = this.#clock.now() / 1000;
        await utimes(this.#path(uuid, 'data'), now, now);
        await utimes(this.#path(uuid, 'json'), now, now);
    }

    #path(uuid: string, half: 'data' | 'json'): string {
        return join(this.directory, `${uuid}.${half}`);
    }
}
