import type { ApiError } from '../../base/errors.js';
import type { Say } from '../../base/work-lines.js';
import type { DockerLayer } from '../../manifest/docker/docker-layer.js';
import type { JsonObject } from '../../manifest/types.js';
import type { LayerProgress } from '../../transfers/layers/layer.js';

/** A line of the stream of a pull (jobs-and-imports 5.4). */
export interface PullLine {
    readonly type: 'status' | 'progress' | 'create-docker-image' | 'error';
    readonly [key: string]: unknown;
}

/** An image that is here, as clients are told to keep it. */
export interface PulledImage {
    readonly configDigest: string;
    readonly config: JsonObject;
    /** Of the last layer's image. */
    readonly imageUuid: string;
    readonly manifestDigest: string;
    readonly manifestText: string;
    /** Bytes of the files of all layers. */
    readonly size: number;
    /** 2.1 is the first schema. */
    readonly version: '2.1' | '2.2';
}

type Shown = Pick<DockerLayer, 'uuid' | 'shortId'>;

/** The lines of one pull; the canonical name of the repository ends each. */
export class PullLines {
    readonly #say: Say<PullLine>;
    readonly #id: string;

    constructor(say: Say<PullLine>, id: string) {
        this.#say = say;
        this.#id = id;
    }

    status(status: string): void {
        this.#tell('status', { status });
    }

    /** There is such a layer. */
    layer({ shortId: id }: Shown): void {
        this.#tell('status', { id, progressDetail: {}, status: 'Pulling fs layer' });
    }

    /** What a layer has come to; how many bytes there are takes the place of what nobody has read. */
    progress({ uuid, shortId: id }: Shown, { status, progressDetail }: LayerProgress): void {
        if (progressDetail === undefined) {
            this.#tell('progress', { id, status });
        } else {
            this.#tell('progress', { id, status, progressDetail }, `${uuid} ${status}`);
        }
    }

    image(image: PulledImage): void {
        this.#say({
            type: 'create-docker-image',
            config_digest: image.configDigest,
            head: true,
            image: image.config,
            image_uuid: image.imageUuid,
            manifest_digest: image.manifestDigest,
            manifest_str: image.manifestText,
            size: image.size,
            dockerImageVersion: image.version,
            id: this.#id,
        });
    }

    #tell(type: 'status' | 'progress', payload: Readonly<Record<string, unknown>>, key?: string): void {
        this.#say({ type, payload, id: this.#id }, key);
    }
}

/** The last line of a pull that failed. */
export function pullError({ code, message }: ApiError, id: string): PullLine {
    return { type: 'error', id, error: { code, message } };
}
