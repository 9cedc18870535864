import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
    makeImage,
    makeIndex,
    MEDIA_TYPES,
    type ImageSpec,
    type IndexSpec,
    type MadeBytes,
    type MadeImage,
    type MadeIndex,
} from './docker-images.js';

/** A directory with images by tags, as the OCI image layout has it. */
export class OciLayout {
    readonly directory: string;
    readonly #tags: Readonly<Record<string, unknown>>[] = [];

    constructor(directory: string) {
        this.directory = directory;
        mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
        writeFileSync(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
        this.#writeTags();
    }

    /** As skopeo names one of the images. */
    name(tag: string): string {
        return `oci:${this.directory}:${tag}`;
    }

    /** Adds an image of OCI's format. No layer is kept in memory. */
    async addImage(tag: string, spec: Omit<ImageSpec, 'format'>): Promise<MadeImage> {
        const image = await makeImage(spec, (blob) => this.#writeBlob(blob));
        this.#addTag(tag, image);
        return image;
    }

    /** Adds an index of OCI's format, with everything it leads to. */
    async addIndex(tag: string, spec: Omit<IndexSpec, 'format'>): Promise<MadeIndex> {
        const index = await makeIndex(spec, (blob) => this.#writeBlob(blob));
        for (const image of [...index.images, ...index.attestations]) this.#writeBlob(image);
        this.#addTag(tag, index);
        return index;
    }

    #addTag(tag: string, manifest: MadeBytes): void {
        this.#writeBlob(manifest);
        const { mediaType, digest, bytes } = manifest;
        const annotations = { 'org.opencontainers.image.ref.name': tag };
        this.#tags.push({ mediaType, digest, size: bytes.length, annotations });
        this.#writeTags();
    }

    #writeTags(): void {
        const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: this.#tags };
        writeFileSync(join(this.directory, 'index.json'), JSON.stringify(index));
    }

    #writeBlob({ digest, bytes }: MadeBytes): void {
        writeFileSync(join(this.directory, 'blobs', digest.replace(':', '/')), bytes);
    }
}
