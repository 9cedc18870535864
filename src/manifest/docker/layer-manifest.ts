import { UNSET_OWNER_UUID } from '../../base/constants.js';
import { isObject } from '../coerce.js';
import { MANIFEST_VERSION, MAX_DESCRIPTION_LENGTH, MAX_TAGS_LENGTH, PUBLISHED_AT_RE } from '../limits.js';
import type { JsonObject, JsonValue } from '../types.js';
import type { DockerLayer } from './docker-layer.js';
import type { DockerRepository } from './repository.js';

/** What the manifest of a layer depends on beside the layer. */
export interface LayerManifestOptions {
    readonly repository: DockerRepository;
    readonly isPublic: boolean;
    /** Tags of the repository that name the image, each as {@link isTag} knows them. */
    readonly tags?: readonly string[];
}

/** What clients need to know to run the image, in the order of manifest 11. */
const CONFIG_KEYS = ['Cmd', 'Entrypoint', 'Env', 'WorkingDir'] as const;

/** Longest name of an architecture, characters. Real ones have less than ten. */
const MAX_ARCHITECTURE_LENGTH = 128;

/** A date with its time, as Go writes it: up to nine digits behind the point, any time zone. */
const GO_DATE_RE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/i;

/** `undefined` for what is no date; images without one are published when they are activated. */
function publishedAt(created: JsonValue | undefined): string | undefined {
    const time = typeof created === 'string' && GO_DATE_RE.test(created) ? Date.parse(created) : NaN;
    const date = Number.isNaN(time) ? '' : new Date(time).toISOString();
    return PUBLISHED_AT_RE.test(date) ? date : undefined;
}

function commandOf(config: JsonValue | undefined): string {
    const command: unknown = isObject(config) ? config['Cmd'] : undefined;
    if (Array.isArray(command)) {
        return command.filter((word) => typeof word === 'string').join(' ');
    }
    return typeof command === 'string' ? command : '';
}

/** At most `limit` UTF-16 units, without half a character at the end. */
function cut(text: string, limit: number): string {
    return text.slice(0, limit).replace(/[\uD800-\uDBFF]$/, text.length > limit ? '' : '$&');
}

function descriptionOf({ comment, container_config }: JsonObject): string {
    const text = typeof comment === 'string' && comment !== '' ? comment : commandOf(container_config);
    return cut(text, MAX_DESCRIPTION_LENGTH);
}

/** The part of the config that fits beside the other tags: a key that would be too much is left out. */
function configTag(config: JsonObject, room: number): JsonObject {
    const entries: (readonly [string, JsonValue])[] = [];
    let left = room;
    for (const key of CONFIG_KEYS) {
        const value = config[key];
        const length = value === undefined ? 0 : JSON.stringify({ [key]: value }).length;
        if (value !== undefined && length <= left) {
            entries.push([key, value]);
            left -= length;
        }
    }
    return Object.fromEntries(entries);
}

function tagsOf({ digest, metadata }: DockerLayer, options: LayerManifestOptions): JsonObject {
    const { architecture, config } = metadata;
    const isArchitecture = typeof architecture === 'string' && architecture.length <= MAX_ARCHITECTURE_LENGTH;
    const tags: JsonObject = {
        'docker:repo': options.repository.localName,
        'docker:id': digest,
        ...(isArchitecture ? { 'docker:architecture': architecture } : {}),
        ...Object.fromEntries((options.tags ?? []).map((tag) => [`docker:tag:${tag}`, true])),
    };
    if (!isObject(config)) {
        return tags;
    }
    const room = MAX_TAGS_LENGTH - JSON.stringify({ ...tags, 'docker:config': {} }).length;
    return { ...tags, 'docker:config': configTag(config, room) };
}

/**
 * The manifest of a layer, to build a record of kind `import` from (jobs-and-imports 5.3, manifest 11). Its owner
 * is nobody in particular, and it is in no channel: both are up to the server.
 *
 * Whatever the config says, it keeps the limits of manifests: what has another type than it should is left out,
 * and so are keys of `docker:config` that are too long for a tag.
 */
export function layerManifest(layer: DockerLayer, options: LayerManifestOptions): JsonObject {
    const { metadata } = layer;
    const published = publishedAt(metadata.created);
    const description = descriptionOf(metadata);
    return {
        v: MANIFEST_VERSION,
        uuid: layer.uuid,
        owner: UNSET_OWNER_UUID,
        name: 'docker-layer',
        version: layer.shortId,
        disabled: false,
        public: options.isPublic,
        ...(published === undefined ? {} : { published_at: published }),
        type: 'docker',
        os: metadata.os === 'linux' ? 'linux' : 'other',
        ...(description === '' ? {} : { description }),
        tags: tagsOf(layer, options),
        ...(layer.origin === undefined ? {} : { origin: layer.origin }),
    };
}
