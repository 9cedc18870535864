import { bytesOfFiles } from '../../../manifest/document-files.js';
import type { SourceAddress } from '../../../remotes/image-source.js';
import type { ImageDocument } from '../../../remotes/imgapi/answers.js';
import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import { imagesOfPages } from '../../../remotes/imgapi/list-pages.js';
import { needOf, sourceUrlOf, type Need } from './plan.js';
import { baseFirst, isUsable, latest, textOf } from './selection.js';

const EVERY_CHANNEL = '*';

/** What to mirror. */
export interface Selection {
    /** Parameters of the source's list. */
    readonly filters: Readonly<Record<string, string>>;
    /** Newest images of each name; `undefined`: all. */
    readonly latest: number | undefined;
    /** Whether what is not there any more goes here. */
    readonly deletes: boolean;
}

/** Who is asked. */
export interface Sides {
    readonly source: ImageServerClient;
    readonly here: ImageServerClient;
    readonly address: SourceAddress;
    /** Of the images here; `undefined`: all. */
    readonly channel: string | undefined;
    readonly signal: AbortSignal;
    /** Asks again while a server is away. */
    readonly again: <T>(what: string, task: () => Promise<T>) => Promise<T>;
}

/** An image of the source and what there is to do for it. */
export interface Item {
    readonly image: ImageDocument;
    readonly need: Need;
    /** The image as it is here; `undefined`: it is not. */
    readonly here: ImageDocument | undefined;
    readonly bytes: number;
}

/** All there is to do. */
export interface Survey {
    /** Each behind the image it is based on. */
    readonly items: readonly Item[];
    /** To go here, dependents first. */
    readonly deletions: readonly ImageDocument[];
}

async function collect(
    pages: AsyncIterable<ImageDocument>,
    keep: (image: ImageDocument) => boolean,
): Promise<ImageDocument[]> {
    const images: ImageDocument[] = [];
    for await (const image of pages) {
        if (keep(image)) {
            images.push(image);
        }
    }
    return images;
}

/** Adds what the images are based on and is not here yet; what the source does not have is left to the import to tell. */
async function withOrigins(
    sides: Sides,
    chosen: readonly ImageDocument[],
    here: ReadonlyMap<string, ImageDocument>,
): Promise<readonly ImageDocument[]> {
    const all = new Map(chosen.map((image) => [image.uuid, image]));
    for (const image of chosen) {
        let origin = textOf(image, 'origin');
        while (origin !== '' && !all.has(origin) && !here.has(origin)) {
            const uuid = origin;
            const found = await sides.again(uuid, () => sides.source.document(uuid, sides.signal));
            if (found === undefined) {
                break;
            }
            all.set(uuid, found);
            origin = textOf(found, 'origin');
        }
    }
    return baseFirst(all.values());
}

/** Images that came from the source and have gone there, or are none of the newest any more. */
async function obsolete(
    sides: Sides,
    here: Iterable<ImageDocument>,
    listed: ReadonlySet<string>,
    wanted: ReadonlySet<string>,
): Promise<readonly ImageDocument[]> {
    const gone: ImageDocument[] = [];
    for (const image of here) {
        const { uuid } = image;
        if (wanted.has(uuid) || sourceUrlOf(image) !== sides.address.shownUrl) {
            continue;
        }
        const isThere =
            !listed.has(uuid) &&
            (await sides.again(uuid, () => sides.source.document(uuid, sides.signal))) !== undefined;
        if (!isThere) {
            gone.push(image);
        }
    }
    return baseFirst(gone).toReversed();
}

/** Compares the two servers. @throws OutgoingError when one of them cannot be listed */
export async function compare(sides: Sides, selection: Selection): Promise<Survey> {
    const { source, here, signal, again } = sides;
    const { filters } = selection;
    const listed = await collect(
        imagesOfPages((marker) => again('source', () => source.documents(filters, marker, signal))),
        isUsable,
    );
    const own = {
        state: 'all',
        channel: sides.channel ?? EVERY_CHANNEL,
        // Not everybody is told.
        ...(selection.deletes ? { inclProvenance: 'true' } : {}),
    };
    const present = await collect(
        imagesOfPages((marker) => again('list', () => here.documents(own, marker, signal))),
        () => true,
    );
    const byUuid = new Map(present.map((image) => [image.uuid, image]));
    const chosen = await withOrigins(sides, latest(listed, selection.latest), byUuid);
    const wanted = new Set(chosen.map(({ uuid }) => uuid));
    const items = chosen.map((image) => {
        const found = byUuid.get(image.uuid);
        const need = needOf(image, found);
        return { image, need, here: found, bytes: need.kind === 'import' ? (bytesOfFiles(image) ?? 0) : 0 };
    });
    const known = new Set(listed.map(({ uuid }) => uuid));
    const deletions = selection.deletes ? await obsolete(sides, present, known, wanted) : [];
    return { items, deletions };
}
