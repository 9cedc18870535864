import { VALID_FILE_COMPRESSIONS, type FileCompression } from '../../base/constants.js';
import { isUuid } from '../../base/uuid.js';
import { isDigest } from '../../manifest/docker/tag-and-digest.js';
import type { StagedLayer } from './layer.js';

/** What is kept of a layer beside its bytes: the JSON half of a pair (jobs-and-imports 9.9). */
export type LayerFacts = Omit<StagedLayer, 'path'>;

const SHA1_RE = /^[0-9a-f]{40}$/;
const MD5_RE = /^[A-Za-z0-9+/]{22}==$/;

function matches(value: unknown, pattern: RegExp): value is string {
    return typeof value === 'string' && pattern.test(value);
}

function isCompression(value: unknown): value is FileCompression {
    return VALID_FILE_COMPRESSIONS.some((one) => one === value);
}

/** The JSON half as it is written. */
export function factsText(facts: LayerFacts): string {
    const { uuid, digest, uncompressedDigest, size, sha1, contentMD5, compression, at } = facts;
    return `${JSON.stringify({ uuid, digest, uncompressedDigest, size, sha1, contentMD5, compression, at })}\n`;
}

/** Reads a JSON half; `undefined`: it is none. */
export function parseFacts(text: string): LayerFacts | undefined {
    let value: unknown;
    try {
        value = JSON.parse(text);
    } catch {
        return undefined;
    }
    const { uuid, digest, uncompressedDigest, size, sha1, contentMD5, compression, at } = (value ??
        {}) as Partial<Record<keyof LayerFacts, unknown>>;
    if (
        !isUuid(uuid) ||
        !isDigest(digest) ||
        !isDigest(uncompressedDigest) ||
        !matches(sha1, SHA1_RE) ||
        !matches(contentMD5, MD5_RE) ||
        !isCompression(compression) ||
        typeof size !== 'number' ||
        !Number.isSafeInteger(size) ||
        typeof at !== 'string'
    ) {
        return undefined;
    }
    return { uuid, digest, uncompressedDigest, size, sha1, contentMD5, compression, at };
}
