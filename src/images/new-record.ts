import { buildImage, type BuildKind, type BuildOptions } from '../manifest/build.js';
import type { JsonObject, RawImage } from '../manifest/types.js';
import type { ImageServices, RequestContext } from './context.js';
import { manifestRules } from './rules.js';

/** What this server makes records by at this moment (manifest 5). */
export function buildOptions({ config, clock }: Pick<ImageServices, 'config' | 'clock'>): BuildOptions {
    const { current } = config;
    return {
        rules: manifestRules(current),
        lifespanDays: current.placeholderImageLifespanDays,
        now: clock.now(),
    };
}

/** Puts a new image in the selected channel; channels a client sends are dropped (http-api 1.16). */
export function inSelectedChannel(
    services: Pick<ImageServices, 'config'>,
    context: Pick<RequestContext, 'channel'>,
    data: JsonObject,
): JsonObject {
    const kept = Object.fromEntries(Object.entries(data).filter(([key]) => key !== 'channels'));
    const hasChannels = services.config.current.channels !== undefined && context.channel !== undefined;
    return hasChannels ? { ...kept, channels: [context.channel] } : kept;
}

/** The record of a new image, in the selected channel. @throws 422, see {@link buildImage} */
export function newRecord(
    services: ImageServices,
    context: RequestContext,
    kind: BuildKind,
    data: JsonObject,
): RawImage {
    return buildImage(kind, inSelectedChannel(services, context, data), buildOptions(services));
}
