import { ApiError, messageOf, validationFailed } from '../../base/errors.js';
import { isObject } from '../coerce.js';
import type { JsonObject, JsonValue } from '../types.js';
import { type DockerLayer, MAX_LAYERS } from './docker-layer.js';
import { chainOf } from './image-layers.js';
import { parseJsonObject, shownText } from './json-document.js';
import { verifySignatures } from './signed-document.js';
import { isDigest } from './tag-and-digest.js';

/** An image in Docker's first schema, whose signatures are verified (jobs-and-imports 5.5). */
export interface Schema1Manifest {
    readonly kind: 'schema1';
    /** What is signed: the manifest without its signatures. */
    readonly payload: Buffer;
    /** The config of the image but for `rootfs`, which is known only when its layers are here. */
    readonly config: JsonObject;
    /** Base layer first, without empty layers; never empty. */
    readonly layers: readonly DockerLayer[];
}

/** What stands in front of the instruction that has made an empty layer. */
const NOP = ' #(nop) ';
/** Instructions that are marked in the same way, but make a layer. */
const FILLING = ['ADD', 'COPY', 'RUN'];

function manifestError(message: string, cause?: unknown): ApiError {
    return new ApiError('InternalError', message, { cause });
}

function readV1(item: JsonValue): JsonObject {
    const text: unknown = isObject(item) ? item['v1Compatibility'] : undefined;
    try {
        return parseJsonObject(typeof text === 'string' ? text : '');
    } catch (error) {
        const shown = typeof text === 'string' ? shownText(text) : typeof text;
        throw validationFailed(
            `invalid "v1Compatibility" JSON in docker manifest: ${messageOf(error)} (${shown})`,
            [],
        );
    }
}

function digestOf(item: JsonValue, subject: string): string {
    const digest: unknown = isObject(item) ? item['blobSum'] : undefined;
    if (!isDigest(digest)) {
        throw manifestError(
            `invalid layer in ${subject} manifest: its digest is not "sha256:" and 64 hexadecimal digits`,
        );
    }
    return digest;
}

function commandOf({ container_config: config }: JsonObject): string {
    const command: unknown = isObject(config) ? config['Cmd'] : undefined;
    return Array.isArray(command) ? command.filter((word) => typeof word === 'string').join(' ') : '';
}

function isEmptyLayer(command: string): boolean {
    const at = command.indexOf(NOP);
    const instruction =
        command
            .slice(at + NOP.length)
            .trim()
            .split(/\s/, 1)[0] ?? '';
    return at !== -1 && !FILLING.includes(instruction);
}

/** An entry of the history of a config, as it would have been written for this layer. */
function historyEntry(v1: JsonObject): JsonObject {
    const command = commandOf(v1);
    return {
        ...(typeof v1.created === 'string' ? { created: v1.created } : {}),
        created_by: command,
        ...(isEmptyLayer(command) ? { empty_layer: true } : {}),
        ...(typeof v1.author === 'string' ? { author: v1.author } : {}),
        ...(typeof v1.comment === 'string' ? { comment: v1.comment } : {}),
    };
}

/** The config of the image: what is known of its newest layer, but for what it inherits from having been one. */
function configOf(newest: JsonObject, history: readonly JsonObject[]): JsonObject {
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- named only to keep them out of the rest
    const { id: _id, history: _history, rootfs: _rootfs, ...config } = newest;
    return { ...config, history };
}

function readPayload(payload: Buffer, subject: string): Schema1Manifest {
    const { fsLayers, history } = parseJsonObject(payload);
    const [layers, entries] = [fsLayers ?? [], history ?? []];
    if (!Array.isArray(layers) || !Array.isArray(entries)) {
        throw manifestError(`invalid ${subject} manifest: "fsLayers" or "history" is not an array`);
    }
    if (layers.length !== entries.length) {
        throw manifestError(`history length not equal to layers length in ${subject} manifest`);
    }
    if (layers.length > MAX_LAYERS) {
        throw manifestError(`too many layers in ${subject} manifest: ${layers.length} (max ${MAX_LAYERS})`);
    }
    const digests = (layers as readonly JsonValue[]).map((layer) => digestOf(layer, subject)).reverse();
    const v1 = (entries as readonly JsonValue[]).map(readV1).reverse();
    const steps = v1.map(historyEntry);
    const isFull = (_item: unknown, at: number): boolean => steps[at]?.empty_layer !== true;
    const filled = digests.filter(isFull).map((digest) => ({ digest }));
    if (filled.length === 0) {
        throw manifestError(`no layers in ${subject} manifest`);
    }
    const config = configOf(v1.at(-1) ?? {}, steps);
    return { kind: 'schema1', payload, config, layers: chainOf(config, steps.filter(isFull), filled) };
}

/**
 * Reads a manifest of schema 1 whose signatures verify (jobs-and-imports 5.2, 5.5).
 *
 * @param value of `bytes`, not verified yet
 * @param subject for messages, `<local name>:<tag>`
 * @throws ApiError `InternalError` that says what is wrong with the manifest or a signature; `ValidationFailed` for
 *     what it says of a layer
 */
export function parseSchema1(bytes: Buffer, value: JsonObject, subject: string): Schema1Manifest {
    try {
        return readPayload(verifySignatures(bytes, value.signatures), subject);
    } catch (error) {
        if (error instanceof ApiError) {
            throw error;
        }
        throw manifestError(`cannot verify ${subject} manifest: ${messageOf(error)}`, error);
    }
}
