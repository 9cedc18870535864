import type { ImageServices } from '../../images/context.js';
import { manifestRules } from '../../images/rules.js';
import { buildImage } from '../../manifest/build.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';

/**
 * The record that stands for an image until it is made (jobs-and-imports 1.5).
 *
 * @param manifest of the job
 * @throws 422
 */
export function placeholderOf({ config, clock }: ImageServices, manifest: JsonObject): RawImage {
    const { current } = config;
    return buildImage('placeholder', manifest, {
        rules: manifestRules(current),
        lifespanDays: current.placeholderImageLifespanDays,
        now: clock.now(),
    });
}
