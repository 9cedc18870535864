import { resourceNotFound } from '../../base/errors.js';
import type { RawImage } from '../../manifest/types.js';
import type { StoredImage } from '../database.js';
import { IMAGES } from './bucket.js';
import type { MorayConnection } from './connection.js';
import type { Deadline } from './deadline.js';
import { isMissing } from './failures.js';
import type { OwnWrites } from './own-writes.js';
import type { Records } from './records.js';
import { etagOf, toRow, type Row } from './rows.js';

const BUCKET = IMAGES.name;

/** How long a write may take, and when what it changes was read, on the clock of `performance.now`. */
export interface Times {
    readonly deadline: Deadline;
    readonly started: number;
}

/** The rows of images: single calls, with the client's errors (backends 4.2). */
export class ImageRows {
    readonly #moray: MorayConnection;
    readonly #records: Records;
    readonly #writes: OwnWrites;

    constructor(moray: MorayConnection, records: Records, writes: OwnWrites) {
        this.#moray = moray;
        this.#records = records;
        this.#writes = writes;
    }

    /**
     * The record of a row that was read; `undefined` when it is unusable.
     *
     * @param since when the reading began, seen from the writes of this process
     */
    toImage(row: Row, since: number): StoredImage | undefined {
        const raw = this.#records.read(row);
        if (raw === undefined) {
            return undefined;
        }
        const image = Object.freeze({ raw, token: row.etag });
        this.#writes.noteReading(image, since);
        return image;
    }

    /** @throws the client's errors; ApiError 404 `not found` when the record is unusable */
    async read(uuid: string, deadline: Deadline): Promise<StoredImage> {
        const since = this.#writes.now;
        const data = await this.#moray.call(deadline, (client, done) =>
            client.getObject(BUCKET, uuid, { noCache: true }, done),
        );
        const image = this.toImage(toRow(data), since);
        if (image === undefined) {
            // Whoever cleans up must not take an image whose record is unusable for one that is gone.
            throw resourceNotFound('not found');
        }
        return image;
    }

    /** As {@link read}; `undefined` when there is no such row. */
    async find(uuid: string, deadline: Deadline): Promise<StoredImage | undefined> {
        try {
            return await this.read(uuid, deadline);
        } catch (error) {
            if (isMissing(error)) {
                return undefined;
            }
            throw error;
        }
    }

    /** Stores a record in the place of the version `etag`; `null`: of none. */
    async put(raw: RawImage, etag: string | null, times: Times): Promise<StoredImage> {
        const { deadline, started } = times;
        const answer = await this.#moray.call(deadline, (client, done) =>
            client.putObject(BUCKET, raw.uuid, raw, { etag }, done),
        );
        return this.#written(raw, etagOf({ ...(answer as object), key: raw.uuid }, raw.uuid), started);
    }

    /** Stores a record under its new uuid and removes the version `etag` of the old one, in one transaction. */
    async move(oldUuid: string, etag: string, raw: RawImage, times: Times): Promise<StoredImage> {
        const { deadline, started } = times;
        const steps = [
            // In this order, for both may have the same unique `urn`.
            { bucket: BUCKET, operation: 'delete', key: oldUuid, options: { etag } },
            { bucket: BUCKET, operation: 'put', key: raw.uuid, value: raw, options: { etag: null } },
        ];
        const answer = await this.#moray.call(deadline, (client, done) => client.batch(steps, {}, done));
        this.#writes.noteWrite(oldUuid, undefined, started);
        return this.#written(raw, etagOf(answer, raw.uuid), started);
    }

    /** Removes a version of a record. */
    async remove(uuid: string, etag: string, times: Times): Promise<void> {
        const { deadline, started } = times;
        await this.#moray.call(deadline, (client, done) => client.deleteObject(BUCKET, uuid, { etag }, done));
        this.#writes.noteWrite(uuid, undefined, started);
    }

    #written(raw: RawImage, etag: string, started: number): StoredImage {
        this.#records.written(raw, etag);
        const image = Object.freeze({ raw, token: etag });
        this.#writes.noteWrite(raw.uuid, image, started);
        return image;
    }
}
