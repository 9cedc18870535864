import { setTimeout as pause } from 'node:timers/promises';
import type Logger from 'bunyan';
import type { MorayConnection } from './connection.js';
import { isNamed, isUnavailable } from './failures.js';

/** First and longest pause between attempts, milliseconds (backends 4.1). */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;

/** A bucket and the columns it is searched by. */
export interface Bucket {
    readonly name: string;
    readonly index: Readonly<
        Record<string, { readonly type: 'string' | '[string]' | 'boolean'; readonly unique?: true }>
    >;
}

const TEXT = { type: 'string' } as const;
const TEXTS = { type: '[string]' } as const;
const FLAG = { type: 'boolean' } as const;

/** The records of images (backends 4.1). */
export const IMAGES: Bucket = {
    name: 'imgapi_images',
    index: {
        uuid: { type: 'string', unique: true },
        name: TEXT,
        version: TEXT,
        owner: TEXT,
        origin: TEXT,
        state: TEXT,
        os: TEXT,
        urn: { type: 'string', unique: true },
        tags: TEXTS,
        billing_tags: TEXTS,
        type: TEXT,
        acl: TEXTS,
        activated: FLAG,
        disabled: FLAG,
        public: FLAG,
        expires_at: TEXT,
        published_at: TEXT,
    },
};

/** Whom accounts trust (jobs-and-imports 8.8). */
export const SHARING: Bucket = { name: 'imgapi_sharing', index: { account: TEXT } };

/** Creates a bucket unless it is there. An existing one is never changed. */
export async function ensureBucket(moray: MorayConnection, bucket: Bucket): Promise<'found' | 'created'> {
    const { name, index } = bucket;
    try {
        await moray.call(moray.deadline(), (client, done) => client.getBucket(name, {}, done));
        return 'found';
    } catch (error) {
        if (!isNamed(error, 'BucketNotFoundError')) {
            throw error;
        }
    }
    await moray.call(moray.deadline(), (client, done) => client.createBucket(name, { index }, {}, done));
    return 'created';
}

/**
 * Sees to it that a bucket is there: looks whenever the connection comes up and, when that fails,
 * again and again with growing pauses (backends W19).
 */
export class BucketKeeper {
    readonly #moray: MorayConnection;
    readonly #bucket: Bucket;
    readonly #log: Logger;
    readonly #end = new AbortController();
    #work: Promise<void> | undefined;

    constructor(moray: MorayConnection, bucket: Bucket, log: Logger) {
        this.#moray = moray;
        this.#bucket = bucket;
        this.#log = log;
        moray.on('connected', () => this.check());
    }

    /** Looks for the bucket, unless it is being looked for; returns at once. */
    check(): void {
        if (!this.#end.signal.aborted) {
            this.#work ??= this.#keepTrying().finally(() => (this.#work = undefined));
        }
    }

    /** Stops; resolves when nothing is under way. */
    async close(): Promise<void> {
        this.#end.abort();
        await this.#work;
    }

    async #keepTrying(): Promise<void> {
        let isReported = false;
        for (let wait = FIRST_PAUSE; ; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
            try {
                if ((await ensureBucket(this.#moray, this.#bucket)) === 'created') {
                    this.#log.info({ bucket: this.#bucket.name }, 'bucket created');
                }
                return;
            } catch (error) {
                if (this.#end.signal.aborted || (isUnavailable(error) && !this.#moray.isConnected)) {
                    return;
                }
                this.#log[isReported ? 'debug' : 'warn'](
                    { bucket: this.#bucket.name, err: error },
                    'bucket could not be made ready, will try again',
                );
                isReported = true;
            }
            await pause(wait, undefined, { signal: this.#end.signal }).catch(() => undefined);
        }
    }
}
