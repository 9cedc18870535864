import type { StoredImage } from '../database/database.js';
import { toNumber } from '../manifest/coerce.js';
import type { RawImage } from '../manifest/types.js';
import { validateRaw } from '../manifest/validate.js';
import type { ImageServices, RequestContext } from './context.js';
import { requireAccess, requireOwner } from './load.js';
import { manifestRules } from './rules.js';

/** A record on its way to be stored: not yet validated, not yet frozen. */
export type Draft = Readonly<Record<string, unknown>>;

/**
 * A change of a record: from the present record to the new one, `undefined` to leave it. It may run
 * more than once, each time with a newer record, and may throw to refuse.
 */
export type ImageChange = (raw: RawImage) => Draft | undefined | Promise<Draft | undefined>;

/** Throws 412 when a condition of the request does not hold for a record (http-api 1.7). */
export type Precondition = (raw: RawImage) => void;

const BOOLEANS = ['public', 'disabled', 'activated', 'generate_passwords'] as const;

/** A record without some of its keys. */
export function withoutKeys(raw: RawImage, ...keys: readonly (keyof RawImage)[]): Draft {
    return Object.fromEntries(
        Object.entries(raw).filter(([key]) => !(keys as readonly string[]).includes(key)),
    );
}

/** A record with one key as it was before, in its old place; the other keys as they are now. */
export function withKeyOf(before: RawImage, raw: RawImage, key: keyof RawImage): Draft {
    const now: Draft = { ...raw, [key]: before[key] };
    const order = new Set([...Object.keys(before), ...Object.keys(now)].filter((one) => one in now));
    return Object.fromEntries([...order].map((one) => [one, now[one]]));
}

/**
 * Validates a draft as leniently as a record that is read, since oddities that were stored before
 * must not stop a change of something else; what the caller sent has been checked strictly by then.
 * Booleans and the version of the format, where kept as text, become what they stand for (backends
 * F4, operations 5.4).
 */
function toRecord(services: ImageServices, draft: Draft): RawImage {
    const booleans = BOOLEANS.filter((key) => draft[key] === 'true' || draft[key] === 'false');
    const converted = Object.fromEntries(booleans.map((key) => [key, draft[key] === 'true']));
    const format = typeof draft['v'] === 'string' ? { v: toNumber(draft['v']) } : {};
    return validateRaw(
        { ...draft, ...converted, ...format },
        manifestRules(services.config.current),
        'lenient',
    );
}

/**
 * Changes a record and its archived manifest, archive first (backends 10). Only for tasks that run
 * in the image's queue already; all others use {@link changeImage}.
 *
 * @param options.archive false: leave the archive alone (AdminChangeImageStor)
 * @param options.seen the record as this request has read it
 * @throws what `change` throws, 404, 500, 503
 */
export async function storeChange(
    services: ImageServices,
    uuid: string,
    change: ImageChange,
    options: { readonly archive?: boolean; readonly seen?: StoredImage | undefined } = {},
): Promise<StoredImage> {
    const archivedChange = async (raw: RawImage): Promise<RawImage | undefined> => {
        const draft = await change(raw);
        if (draft === undefined) {
            return undefined;
        }
        const next = toRecord(services, draft);
        if (options.archive !== false) {
            await services.archive.write(next);
        }
        return next;
    };
    return services.database.update(uuid, archivedChange, options.seen);
}

/**
 * Changes an image for a caller: access, ownership and the request's conditions are judged on the
 * very record that is changed, each time it is read (backends W3).
 *
 * @throws 404, 412, 422 `NotImageOwner`, what `change` throws, 500, 503
 */
export async function changeImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    change: ImageChange,
    precondition?: Precondition,
): Promise<StoredImage> {
    return services.imageQueue.run(uuid, () =>
        storeChange(
            services,
            uuid,
            (raw) => {
                requireAccess(context, raw);
                requireOwner(context, raw);
                precondition?.(raw);
                return change(raw);
            },
            { seen: context.seen },
        ),
    );
}
