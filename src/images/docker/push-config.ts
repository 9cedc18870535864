import { invalidParameter } from '../../base/errors.js';
import { goJson } from '../../manifest/docker/go-json.js';
import { digestOf } from '../../manifest/docker/tag-and-digest.js';
import type { JsonObject } from '../../manifest/types.js';

/**
 * The bytes of an image's config, of which the caller has kept only the value: the compact JSON that has the
 * digest the manifest knows it by, as JavaScript or as Go writes it (jobs-and-imports 5.6).
 *
 * @throws 422 `InvalidParameter` when neither has it
 */
export function configBytes(config: JsonObject, digest: string): Buffer {
    const plain = JSON.stringify(config);
    const plainDigest = digestOf(plain);
    if (plainDigest === digest) {
        return Buffer.from(plain);
    }
    const escaped = goJson(config);
    if (digestOf(escaped) === digest) {
        return Buffer.from(escaped);
    }
    throw invalidParameter(`image config digest does not match: ${plainDigest} != ${digest}`, [
        { field: 'config_digest', code: 'Invalid' },
    ]);
}
