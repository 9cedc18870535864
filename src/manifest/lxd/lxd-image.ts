import type { FileCompression } from '../../base/constants.js';

/** The image a caller asks for: `images:alpine/3.16`. */
export interface LxdAlias {
    /** As given. */
    readonly text: string;
    /** Name of the server in the configuration. */
    readonly registry: string;
    /** What that server calls the image. */
    readonly name: string;
}

/** A file of an LXD image as its server announces it. */
export interface LxdFile {
    readonly path: string;
    /** Bytes. */
    readonly size: number;
    /** Hex, in lower case. */
    readonly sha256: string;
    readonly compression: FileCompression;
}

/** One version of a product whose files can be had. */
export interface LxdVersion {
    readonly version: string;
    /** Hex, in lower case: the image's own, not that of a file. */
    readonly fingerprint: string;
    /** What the file with the file system is. */
    readonly ftype: string;
    /** Metadata and file system, or one file that holds both. */
    readonly files: readonly [LxdFile] | readonly [LxdFile, LxdFile];
}

/** What a product says of itself; what it does not say is absent. */
export interface LxdProduct {
    readonly key: string;
    readonly aliases: string;
    readonly pubname?: string;
    readonly arch?: string;
    readonly os?: string;
    readonly release?: string;
    readonly releaseTitle?: string;
}

/** An image that a server of LXD images has. */
export interface LxdImage {
    readonly product: LxdProduct;
    readonly version: LxdVersion;
}
