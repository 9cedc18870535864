import type { FileCompression } from '../../base/constants.js';
import type { OpenedSourceFile, ResumePoint } from '../../remotes/image-source.js';

/** A layer that is to be there (jobs-and-imports 5.3). */
export interface WantedLayer {
    /** Of the layer's image. */
    readonly uuid: string;
    /** `sha256:<hex>` of its file. */
    readonly digest: string;
    /** Absent: its first bytes tell. */
    readonly compression?: FileCompression;
    /** `sha256:<hex>` of its file unpacked; absent: it is computed. */
    readonly uncompressedDigest?: string;
    /** @throws OutgoingError */
    readonly open: (resume: ResumePoint | undefined, signal: AbortSignal) => Promise<OpenedSourceFile>;
}

/** A layer whose file lies, complete and verified, in the staging area (jobs-and-imports 9.9). */
export interface StagedLayer {
    readonly uuid: string;
    readonly digest: string;
    readonly uncompressedDigest: string;
    /** Bytes. */
    readonly size: number;
    /** Hex. */
    readonly sha1: string;
    /** Base64. */
    readonly contentMD5: string;
    readonly compression: FileCompression;
    /** ISO date of the moment it was complete. */
    readonly at: string;
    readonly path: string;
}

/** How far a layer is, in the words of message lines (jobs-and-imports 5.3). */
export interface LayerProgress {
    readonly status: string;
    readonly progressDetail?: { readonly current: number; readonly total: number; readonly start: number };
}

/** A staged layer that stays where it is until it is let go. */
export interface HeldLayer {
    readonly layer: StagedLayer;
    /** It is not needed for the moment, but may be by a later pull. Calls after the first do nothing. */
    release(): void;
    /** It has found its place: its staged file goes when nobody else holds it. */
    discard(): Promise<void>;
}

/** Fetches layers into the staging area, each once, however many ask for it at the same time. */
export interface LayerFetcher {
    /**
     * @throws ApiError `Download`, `ImageFileTooBig`, `NotImplemented`, 503 `StorageIsDown`; OutgoingError; the
     * reason of the signal
     */
    fetch(
        layer: WantedLayer,
        tell: (progress: LayerProgress) => void,
        signal: AbortSignal,
    ): Promise<HeldLayer>;
}
