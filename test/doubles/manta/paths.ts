import { MantaError } from './manta-error.js';

/** Top directories of every account; they are always there. */
export const AREAS: readonly string[] = ['stor', 'public'];

/** A path as the store knows it. */
export interface MantaPath {
    /** `/account/area/...`, decoded, without a slash at the end. */
    readonly full: string;
    readonly account: string;
    /** Names below the account: the area first. */
    readonly names: readonly string[];
}

function notFound(encoded: string): MantaError {
    return new MantaError(404, 'ResourceNotFound', `${encoded} does not exist`);
}

/** Takes the path of a URL or of a `location` header apart. @throws a MantaError for what is no path in an area */
export function parsePath(encoded: string): MantaPath {
    let parts: string[];
    try {
        parts = encoded.split('/').filter(Boolean).map(decodeURIComponent);
    } catch {
        throw new MantaError(400, 'InvalidResource', `${encoded} is not a valid path`);
    }
    const [account, ...names] = parts;
    if (!encoded.startsWith('/') || account === undefined || !AREAS.includes(names[0] ?? '')) {
        throw notFound(encoded);
    }
    if (parts.some((part) => part === '.' || part === '..' || part.includes('/') || part.includes('\0'))) {
        throw notFound(encoded);
    }
    return { full: `/${parts.join('/')}`, account, names };
}

/** Whether it is one of the top directories. */
export function isRoot(path: MantaPath): boolean {
    return path.names.length === 1;
}

/** The directory above. */
export function parentOf(path: MantaPath): string {
    return path.full.slice(0, path.full.lastIndexOf('/'));
}

export function nameOf(path: string): string {
    return path.slice(path.lastIndexOf('/') + 1);
}
