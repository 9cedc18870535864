import type { ImageServices } from '../../images/context.js';
import { buildOptions } from '../../images/new-record.js';
import { buildImage } from '../../manifest/build.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';

/**
 * The record that stands for an image until it is made (jobs-and-imports 1.5).
 *
 * @param manifest of the job
 * @throws 422
 */
export function placeholderOf(services: ImageServices, manifest: JsonObject): RawImage {
    return buildImage('placeholder', manifest, buildOptions(services));
}
