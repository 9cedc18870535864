import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import type { BaseDirectories } from '../../base/config-types.js';
import type { FileCompression } from '../../base/constants.js';
import { internalError, writeFailure } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { KeyedQueue } from '../../base/keyed-queue.js';
import { Places } from '../../base/places.js';
import { shortReason } from '../../base/short-reason.js';
import type { PartFile } from '../part-file.js';
import { HeldLayers } from './held-layers.js';
import { LayerArea } from './layer-area.js';
import { downloadLayer, type DownloadRules, LAYER_RULES } from './layer-download.js';
import type { HeldLayer, LayerFetcher, LayerProgress, StagedLayer, WantedLayer } from './layer.js';
import { SharedTransfer } from './shared-transfer.js';
import { tidyLayers } from './tidy-layers.js';
import { unpackedDigest } from './unpacked-digest.js';

/** Layers that come at a time, whatever the number of pulls: each takes some MiB. */
const MAX_DOWNLOADS = 20;
/** Layers that are unpacked at a time: each takes a thread. */
const MAX_UNPACKING = 2;

/** What {@link Layers} needs. */
export interface LayersOptions {
    readonly directories: BaseDirectories;
    readonly clock: Clock;
    readonly log: Logger;
    /** Default: {@link LAYER_RULES}. */
    readonly rules?: DownloadRules;
}

type Tell = (progress: LayerProgress) => void;

/** An error of the file system as it is answered; others pass. */
function storageFailure(error: unknown): unknown {
    const isOfFiles = error instanceof Error && !(error instanceof OutgoingError) && 'syscall' in error;
    return isOfFiles ? writeFailure(error, `error storing layer: ${shortReason(error)}`) : error;
}

/** The layers of this process on their way, and those that wait in the staging area. */
export class Layers implements LayerFetcher {
    readonly #options: LayersOptions;
    readonly #log: Logger;
    readonly #area: LayerArea;
    readonly #running = new Map<string, SharedTransfer<StagedLayer, HeldLayer>>();
    readonly #held: HeldLayers;
    /** So that nobody takes a pair that is just being removed. */
    readonly #pairs = new KeyedQueue();
    readonly #downloads = new Places(MAX_DOWNLOADS);
    readonly #unpacking = new Places(MAX_UNPACKING);
    #tidying: Promise<void> | undefined;
    #hasFree = false;

    constructor(options: LayersOptions) {
        this.#options = options;
        this.#log = options.log.child({ component: 'layers' }, true);
        this.#area = new LayerArea(options.directories, options.clock);
        this.#held = new HeldLayers(
            (uuid) => this.#remove(uuid),
            () => this.#tidySoon(),
        );
    }

    async fetch(wanted: WantedLayer, tell: Tell, signal: AbortSignal): Promise<HeldLayer> {
        for (;;) {
            signal.throwIfAborted();
            const running = this.#running.get(wanted.uuid);
            const transfer = running ?? this.#start(wanted);
            const held = await transfer.wait(tell, signal, running === undefined);
            if (held !== undefined) {
                // Another image may say of the same bytes what they are unpacked, or how they are packed.
                const { uncompressedDigest, compression } = { ...held.layer, ...wanted };
                return { ...held, layer: { ...held.layer, uncompressedDigest, compression } };
            }
        }
    }

    /**
     * Removes what is too old, too much, or left by a process that is gone.
     *
     * @returns how many things
     * @throws the reason of the signal, or the file system's errors
     */
    async tidy(signal: AbortSignal): Promise<number> {
        return await tidyLayers(
            {
                area: this.#area,
                clock: this.#options.clock,
                log: this.#log,
                isInUse: (uuid) => this.#isInUse(uuid),
                remove: (uuid) => this.#remove(uuid),
            },
            signal,
        );
    }

    #start(wanted: WantedLayer): SharedTransfer<StagedLayer, HeldLayer> {
        const { uuid } = wanted;
        const transfer: SharedTransfer<StagedLayer, HeldLayer> = new SharedTransfer({
            run: (tell, signal) => this.#obtain(wanted, tell, signal),
            take: (staged) => this.#held.take(staged),
            onEnd: () => {
                if (this.#running.get(uuid) === transfer) {
                    this.#running.delete(uuid);
                }
            },
        });
        this.#running.set(uuid, transfer);
        return transfer;
    }

    async #obtain(wanted: WantedLayer, tell: Tell, signal: AbortSignal): Promise<StagedLayer> {
        const { uuid, digest } = wanted;
        try {
            const found = await this.#pairs.run(uuid, () => this.#area.find(uuid, digest));
            if (found !== undefined) {
                tell({ status: 'Download complete (cached)' });
                return found;
            }
            return await this.#downloads.run(() => this.#download(wanted, tell, signal), signal);
        } catch (error) {
            signal.throwIfAborted();
            throw storageFailure(error);
        }
    }

    async #download(wanted: WantedLayer, tell: Tell, signal: AbortSignal): Promise<StagedLayer> {
        const { uuid, digest } = wanted;
        const { rules = LAYER_RULES, clock } = this.#options;
        const part = await this.#area.part(uuid);
        try {
            const { size, sha1, md5, compression } = await downloadLayer({
                layer: wanted,
                part,
                rules,
                tell,
                signal,
            });
            const uncompressedDigest =
                wanted.uncompressedDigest ??
                (compression === 'none' ? digest : await this.#unpack(part, size, compression, tell, signal));
            signal.throwIfAborted();
            const at = new Date(clock.now()).toISOString();
            const facts = { uuid, digest, uncompressedDigest, size, sha1, contentMD5: md5, compression, at };
            const staged = await this.#area.keep(part, facts);
            tell({ status: 'Download complete' });
            return staged;
        } catch (error) {
            await part.remove().catch((err: unknown) => {
                this.#log.warn({ err, uuid }, 'part of a layer could not be removed');
            });
            throw error;
        }
    }

    /** The digest of what is in a layer that is there (jobs-and-imports 5.3 #7). */
    async #unpack(
        part: PartFile,
        size: number,
        compression: FileCompression,
        tell: Tell,
        signal: AbortSignal,
    ): Promise<string> {
        if (compression !== 'gzip') {
            throw internalError(`Unsupported layer compression: ${compression}`);
        }
        tell({ status: 'Uncompressing layer' });
        const hex = await this.#unpacking.run(() => unpackedDigest(part.path, size, signal), signal);
        tell({ status: 'Uncompression completed' });
        return `sha256:${hex}`;
    }

    #isInUse(uuid: string): boolean {
        return this.#held.isHeld(uuid) || this.#running.has(uuid);
    }

    /** Removes a pair that nobody here needs, if it can: else it goes with age. */
    async #remove(uuid: string): Promise<void> {
        await this.#pairs.run(uuid, async () => {
            if (!this.#isInUse(uuid)) {
                await this.#area.remove(uuid).catch((err: unknown) => {
                    this.#log.warn({ err, uuid }, 'staged layer could not be removed');
                });
            }
        });
    }

    /** Once at a time, and once more when pairs have become free meanwhile. */
    #tidySoon(): void {
        this.#hasFree = true;
        this.#tidying ??= this.#tidyWhileFree().finally(() => {
            this.#tidying = undefined;
        });
    }

    async #tidyWhileFree(): Promise<void> {
        while (this.#hasFree) {
            this.#hasFree = false;
            await this.tidy(new AbortController().signal).catch((err: unknown) => {
                this.#log.warn({ err }, 'staged layers could not be tidied');
            });
        }
    }
}
