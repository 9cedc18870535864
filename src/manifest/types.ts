import type { FileCompression, ServerMode } from '../base/constants.js';

/** Any value that JSON can hold, never changed once parsed. */
export type JsonValue =
    string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A JSON object. */
export type JsonObject = Readonly<Record<string, JsonValue>>;

/** The states of an image (manifest 0). */
export type ImageState = 'active' | 'unactivated' | 'disabled' | 'failed' | 'creating';

/** One entry of a raw record's `files` (manifest 1, subfields). */
export interface ImageFile {
    readonly sha1: string;
    readonly size: number;
    readonly compression: FileCompression;
    readonly contentMD5?: string;
    /** ISO date of the upload. */
    readonly mtime?: string;
    /** Name of the storage that holds the bytes; absent in very old records: local. */
    readonly stor?: string;
    readonly dataset_guid?: string;
    readonly digest?: string;
    readonly uncompressedDigest?: string;
    /** Hex SHA-256 of the file, ours; never sent (backends F2). */
    readonly sha256?: string;
}

/** A raw record's `icon`. */
export interface ImageIcon {
    readonly sha1: string;
    readonly size: number;
    readonly contentType: string;
    readonly contentMD5: string;
    readonly mtime?: string;
    readonly stor?: string;
}

/**
 * The record of an image as the database keeps it (manifest 8). Known keys are typed as a validated
 * record has them; unknown keys are kept. Always deeply frozen: a change makes a new record.
 */
export interface RawImage {
    readonly v: number | string;
    readonly uuid: string;
    readonly owner: string;
    readonly name: string;
    readonly version: string;
    readonly type: string;
    readonly os: string;
    readonly state: ImageState;
    readonly public: boolean | 'true' | 'false';
    readonly disabled: boolean | 'true' | 'false';
    readonly activated: boolean | 'true' | 'false';
    readonly acl: readonly string[];
    readonly published_at?: string;
    readonly expires_at?: string;
    readonly description?: string;
    readonly homepage?: string;
    readonly eula?: string;
    readonly urn?: string;
    readonly origin?: string;
    readonly error?: JsonValue;
    readonly requirements?: JsonValue;
    readonly users?: JsonValue;
    readonly traits?: JsonValue;
    /** Search strings `key=value` (manifest 10). */
    readonly tags?: readonly string[];
    /** The tags as clients see them. */
    readonly tagsObj?: JsonObject;
    readonly billing_tags?: readonly string[];
    readonly generate_passwords?: boolean | 'true' | 'false';
    readonly inherited_directories?: readonly string[];
    readonly nic_driver?: string;
    readonly disk_driver?: string;
    readonly cpu_type?: string;
    readonly image_size?: number | string;
    readonly channels?: readonly string[];
    readonly files?: readonly ImageFile[];
    readonly icon?: ImageIcon;
    readonly x_imgapi?: JsonObject;
}

/** What the manifest rules depend on of a server's configuration. */
export interface ManifestRules {
    readonly mode: ServerMode;
    /** Whether channels are configured. */
    readonly channels: boolean;
}
