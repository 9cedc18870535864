import { inspect } from 'node:util';
import { validationFailed } from '../../base/errors.js';
import type { ListEntry, ManifestList } from './image-manifest.js';
import { manifestKindOf } from './media-types.js';

/** How many lists may lead to one another before there is an image. */
export const MAX_LIST_DEPTH = 3;

/** Most of a platform's name that a message repeats, characters. */
const MAX_SHOWN = 64;

function platformOf({ os, architecture }: ListEntry): string {
    return `${os ?? 'unknown'}-${architecture ?? 'unknown'}`;
}

/** A list in a list that does not say what it is for. */
function isOpenList(entry: ListEntry): boolean {
    return (
        entry.os === undefined &&
        entry.architecture === undefined &&
        manifestKindOf(entry.mediaType) === 'list'
    );
}

/**
 * The digest of the manifest to take from a list: the first one for `linux`/`amd64` (jobs-and-imports 5.2);
 * if there is none, the first list in it that may have one. What it is of can be a list again, of which
 * {@link MAX_LIST_DEPTH} may follow one another.
 *
 * @throws ApiError `ValidationFailed` with the platforms there are
 */
export function choosePlatform({ entries }: ManifestList): string {
    const images = entries.filter(({ isAttestation }) => !isAttestation);
    const chosen =
        images.find(({ os, architecture }) => os === 'linux' && architecture === 'amd64') ??
        images.find(isOpenList);
    if (chosen === undefined) {
        const platforms = images.map((entry) => platformOf(entry).slice(0, MAX_SHOWN));
        // On one line, as error lines are.
        const shown = inspect(platforms, { breakLength: Infinity, compact: true });
        throw validationFailed(`no linux-amd64 platform found in manifest list: ${shown}`, []);
    }
    return chosen.digest;
}
