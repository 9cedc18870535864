import { createHash } from 'node:crypto';

/** Tags as registries know them; nothing of them means anything in a path. */
const TAG_RE = /^\w[\w.-]{0,127}$/;
const DIGEST_RE = /^sha256:[0-9a-f]{64}$/;

/** Whether this is the text of a tag, such as `latest`. */
export function isTag(value: unknown): value is string {
    return typeof value === 'string' && TAG_RE.test(value);
}

/** Whether this is a digest: `sha256:` and 64 hex digits in lower case, the only kind that is supported. */
export function isDigest(value: unknown): value is string {
    return typeof value === 'string' && DIGEST_RE.test(value);
}

/** The digest of these bytes, or of a text as UTF-8. */
export function digestOf(content: Uint8Array | string): string {
    return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** The first 12 hex digits of a digest, by which people know layers (jobs-and-imports 5.3). */
export function shortIdOf(digest: string): string {
    return digest.slice('sha256:'.length, 'sha256:'.length + 12);
}
