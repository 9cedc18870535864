import type { ApiError } from '../../base/errors.js';
import type { Say } from '../../base/work-lines.js';

/** A line of the stream of a push, without the `id` of the request, which ends each (jobs-and-imports 5.6). */
export interface PushLine {
    readonly type: 'progress' | 'error';
    readonly [key: string]: unknown;
}

/** How far the sending of a layer is, bytes. */
export interface SentBytes {
    readonly current: number;
    readonly total: number;
}

/** The lines of one push. */
export class PushLines {
    readonly #say: Say<PushLine>;
    readonly #id: string;

    /** @param id that of the request */
    constructor(say: Say<PushLine>, id: string) {
        this.#say = say;
        this.#id = id;
    }

    /** What a layer has come to. @param layer its short id */
    layer(layer: string, status: string): void {
        this.#tell({ id: layer, progressDetail: {}, status });
    }

    /** Bytes of a layer are on their way; the next such line takes the place of one that nobody has read. */
    pushing(layer: string, { current, total }: SentBytes): void {
        this.#tell({ id: layer, progressDetail: { current, total }, status: 'Pushing' }, `pushing ${layer}`);
    }

    /** Everything is there. @param reference tag or digest, as the caller gave it */
    done(reference: string, digest: string, size: number): void {
        this.#tell({ status: `${reference}: digest: ${digest} size: ${size}` });
        this.#tell({ progressDetail: {}, aux: { Tag: reference, Digest: digest, Size: size } });
    }

    #tell(payload: Readonly<Record<string, unknown>>, key?: string): void {
        this.#say({ type: 'progress', payload, id: this.#id }, key);
    }
}

/** The last line of a push that failed. */
export function pushError({ code, message }: ApiError, id: string): PushLine {
    return { type: 'error', error: { code, message }, id };
}
