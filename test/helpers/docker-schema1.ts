import { createHash } from 'node:crypto';
import {
    CREATED,
    makeLayer,
    sha256Digest,
    type LayerSpec,
    type MadeBytes,
    type MadeLayer,
    type PutBlob,
} from './docker-images.js';
import { makeKey, makeSignature, prettyJson, signedPart, withSignatures } from './signed-document.js';

/** A command that changes nothing but the config of what follows. */
export interface EmptyStep {
    readonly command: string;
}

/** What an image of schema 1 is made of. */
export interface Schema1Spec {
    /** Of the repository, in URLs. */
    readonly name: string;
    readonly tag: string;
    /** The oldest first. Layers are packed with gzip. */
    readonly steps: readonly (LayerSpec | EmptyStep)[];
    /** By default a key on a curve, as Docker makes them. */
    readonly algorithm?: 'ES256' | 'RS256';
    /** Keys of the newest entry that differ. */
    readonly config?: Readonly<Record<string, unknown>>;
    /** Keys of what is signed that differ; those that are `undefined` are left out. */
    readonly manifest?: Readonly<Record<string, unknown>>;
}

/** An image of schema 1, with its signature; its digest is that of what is signed. */
export interface Schema1Image extends MadeBytes {
    /** Of the steps that are no empty ones, the oldest first. */
    readonly layers: readonly MadeLayer[];
    /** What is signed. */
    readonly payload: Buffer;
}

export const SCHEMA1_TYPE = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

/** What steps without a layer refer to: an archive of nothing, as Docker has always packed it. */
const EMPTY_LAYER = Buffer.from('1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000', 'hex');

function hexId(text: string): string {
    return createHash('sha256').update(text).digest('hex');
}

/** Makes an image of schema 1 and signs it; its layers are handed on. */
export async function makeSchema1(spec: Schema1Spec, put: PutBlob): Promise<Schema1Image> {
    const { name, tag, steps, algorithm = 'ES256' } = spec;
    const layers: MadeLayer[] = [];
    const blobs: string[] = [];
    const entries: Record<string, unknown>[] = [];
    for (const [at, step] of steps.entries()) {
        const isEmpty = 'command' in step;
        const { bytes, ...layer } = isEmpty
            ? { bytes: EMPTY_LAYER, digest: sha256Digest(EMPTY_LAYER), mediaType: '' }
            : makeLayer({ ...step, packing: 'gzip' }, 'docker');
        await put({ mediaType: layer.mediaType, digest: layer.digest, bytes });
        if ('diffId' in layer) layers.push(layer);
        blobs.push(layer.digest);
        const command = isEmpty ? step.command : `ADD file:${step.seed} in /`;
        entries.push({
            id: hexId(`${name} ${at}`),
            ...(at === 0 ? {} : { parent: hexId(`${name} ${at - 1}`) }),
            created: CREATED,
            container_config: { Cmd: [`/bin/sh -c #(nop) ${command}`] },
            ...(isEmpty ? { throwaway: true } : {}),
        });
    }
    const newest = {
        architecture: 'amd64',
        os: 'linux',
        config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] },
        docker_version: '1.8.2',
        ...entries.pop(),
        ...spec.config,
    };
    const payload = prettyJson({
        schemaVersion: 1,
        name,
        tag,
        architecture: 'amd64',
        fsLayers: blobs.toReversed().map((blobSum) => ({ blobSum })),
        history: [...entries, newest]
            .toReversed()
            .map((entry) => ({ v1Compatibility: JSON.stringify(entry) })),
        ...spec.manifest,
    });
    const signature = makeSignature(payload, makeKey(algorithm), signedPart(payload, CREATED));
    return {
        mediaType: SCHEMA1_TYPE,
        bytes: Buffer.from(withSignatures(payload, [signature])),
        payload: Buffer.from(payload),
        digest: sha256Digest(payload),
        layers,
    };
}
