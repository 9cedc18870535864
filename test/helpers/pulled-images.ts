import type { Test } from 'tap';
import { sha256Digest, type MadeLayer } from './docker-images.js';
import { layerUuids } from './docker-pulls.js';
import type { Importer } from './import-place.js';
import { eventually } from './server-process.js';

const TIDY_LIMIT_MS = 15_000;
const HALF = /^staging\/docker\/([0-9a-f-]{36})\.(data|json)$/;
/** Pairs, halves of them, and halves that were being written. */
const AGING = /^staging\/docker\/[0-9a-f-]{36}\.(data|json|json\.[0-9a-f]+\.tmp)$/;

/** Layers of which both halves wait for a later pull (jobs-and-imports 9.9), sorted; throws when something else is there. */
function stagedPairs(leftovers: readonly string[]): readonly string[] {
    const halves = leftovers.map((path) => HALF.exec(path));
    const of = (half: string): readonly string[] =>
        halves.flatMap((found) => (found?.[2] === half ? [found[1] ?? ''] : [])).sort();
    const pairs = of('data');
    if (halves.includes(null) || pairs.join() !== of('json').join()) {
        throw new Error(`half-made: ${leftovers.join()}`);
    }
    return pairs;
}

/**
 * Fails the test unless a server has the images of these layers and of no others, and nothing half-made.
 *
 * @param staged layers that are to wait in the staging area; `aging`: after a kill there may be what goes with age
 */
export async function expectOnly(
    t: Test,
    importer: Importer,
    layers: readonly string[],
    staged: readonly string[] | 'aging' = [],
): Promise<void> {
    const isTidy = (): boolean => {
        try {
            const left = importer.leftovers();
            if (staged === 'aging') return left.every((path) => AGING.test(path));
            return stagedPairs(left).join() === staged.toSorted().join();
        } catch {
            return false;
        }
    };
    await eventually('nothing half-made', TIDY_LIMIT_MS, isTidy).catch(() =>
        t.same(importer.leftovers(), staged, 'what waits'),
    );
    const { records, files } = await importer.images();
    t.same(records, layers.toSorted(), 'records');
    t.same(files, layers.toSorted(), 'files');
    for (const uuid of layers) {
        t.equal((await importer.client.get(`/images/${uuid}`)).document['state'], 'active');
    }
}

/** Fails the test unless each layer is an image with the bytes of its digest, one upon the other. */
export async function expectChain(
    t: Test,
    importer: Importer,
    layers: readonly Pick<MadeLayer, 'digest'>[],
): Promise<void> {
    const uuids = layerUuids(layers);
    for (const [at, uuid] of uuids.entries()) {
        const { document } = await importer.client.get(`/images/${uuid}`);
        t.match(document, { state: 'active', origin: uuids[at - 1] });
        t.equal(sha256Digest((await importer.client.get(`/images/${uuid}/file`)).body), layers[at]?.digest);
    }
}
