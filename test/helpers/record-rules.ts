import { createRequire } from 'node:module';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { validateRaw } from '#lib/manifest/validate.js';
import type { Place } from './golden-forms.js';

type Json = Readonly<Record<string, unknown>>;
type Validator = (manifest: Json, options?: { channelFromName?: object }) => readonly object[] | null;

/** The rules of existing servers, which are independent of ours. */
const OTHER = createRequire(import.meta.url)('imgmanifest') as {
    readonly validatePublicManifest: Validator;
    readonly validatePrivateManifest: Validator;
};

/** Keys of a record that existing servers look at (manifest 3.1, step 2). */
const MODEL_KEYS =
    'v uuid name version description homepage eula disabled activated state published_at public type os origin icon generate_passwords nic_driver disk_driver cpu_type image_size error files requirements users traits inherited_directories owner channels'.split(
        ' ',
    );
/** Keys of a record that existing servers write (manifest 8.2). */
const KNOWN_KEYS = new Set([...MODEL_KEYS, 'urn', 'acl', 'tags', 'tagsObj', 'billing_tags', 'expires_at']);
const FILE_KEYS =
    'sha1 digest size contentMD5 mtime stor compression dataset_guid uncompressedDigest sha256'.split(' ');
const ICON_KEYS = 'sha1 size contentMD5 mtime stor contentType'.split(' ');
const ISO_RE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/;

/** What existing servers find wrong with a record when they load it (manifest 3.1, steps 1-9). */
export function problemsForOthers(raw: Json, { mode, channels }: Place): readonly unknown[] {
    const manifest: Record<string, unknown> = Object.fromEntries(
        MODEL_KEYS.filter((key) => Object.hasOwn(raw, key)).map((key) => [key, raw[key]]),
    );
    const problems: unknown[] = [];
    if (raw['tags'] !== undefined && !Array.isArray(raw['tags'])) problems.push('tags is not an array');
    if (raw['tagsObj'] !== undefined) manifest['tags'] = raw['tagsObj'];
    if (raw['icon'] !== undefined) {
        const icon = raw['icon'] as Json;
        problems.push(...['contentMD5', 'size', 'contentType'].filter((key) => !icon[key]));
        manifest['icon'] = true;
    }
    manifest['acl'] = raw['acl'];
    if (raw['billing_tags'] !== undefined) manifest['billing_tags'] = raw['billing_tags'];
    const validate = mode === 'public' ? OTHER.validatePublicManifest : OTHER.validatePrivateManifest;
    const found = validate(manifest, channels ? { channelFromName: { dev: {}, release: {} } } : {});
    return [...problems, ...(found ?? [])];
}

function searchStrings(tags: Json): string[] {
    return Object.entries(tags).map(([key, value]) => {
        const short =
            typeof value === 'string'
                ? value.length <= 100
                : typeof value === 'number' || typeof value === 'boolean';
        return `${key}=${short ? String(value) : ''}`;
    });
}

function entryProblems(entry: Json, what: string, allowed: readonly string[]): string[] {
    return [
        ...Object.keys(entry)
            .filter((key) => !allowed.includes(key))
            .map((key) => `${what}.${key} is unknown`),
        ...(['local', 'manta'].includes(String(entry['stor'])) ? [] : [`${what}.stor`]),
        ...(ISO_RE.test(String(entry['mtime'])) ? [] : [`${what}.mtime`]),
        ...(/^[0-9a-f]{40}$/.test(String(entry['sha1'])) ? [] : [`${what}.sha1`]),
        ...(typeof entry['size'] === 'number' ? [] : [`${what}.size`]),
    ];
}

/**
 * What is wrong with a record as this server writes it (backends F1-F5, operations 5.4).
 *
 * @param keeps keys of others that were there before
 */
export function problemsOfWritten(
    raw: Json,
    place: Place,
    keeps: readonly string[] = [],
): readonly unknown[] {
    const problems: unknown[] = [...problemsForOthers(raw, place)];
    const says = (isWrong: boolean, what: string) => (isWrong ? problems.push(what) : 0);
    try {
        validateRaw(raw, place, 'lenient');
    } catch (error) {
        problems.push(String(error));
    }
    const unknown = Object.keys(raw).filter(
        (key) => !KNOWN_KEYS.has(key) && !keeps.includes(key) && key !== 'x_imgapi',
    );
    says(unknown.length > 0, `unknown keys ${unknown.join()}`);
    says(
        keeps.some((key) => !Object.hasOwn(raw, key)),
        `lost one of ${keeps.join()}`,
    );
    says(raw['v'] !== 2, 'v');
    says(!Array.isArray(raw['acl']), 'acl is not an array');
    says(typeof raw['state'] !== 'string', 'state');
    for (const key of ['public', 'disabled', 'activated']) says(typeof raw[key] !== 'boolean', key);
    says(!['boolean', 'undefined'].includes(typeof raw['generate_passwords']), 'generate_passwords');
    for (const key of ['name', 'version']) says(typeof raw[key] !== 'string', key);
    for (const key of ['published_at', 'expires_at']) {
        says(raw[key] !== undefined && !ISO_RE.test(raw[key] as string), key);
    }
    says(Object.hasOwn(raw, 'tags') !== Object.hasOwn(raw, 'tagsObj'), 'tags and tagsObj go together');
    if (Array.isArray(raw['tags']) && raw['tagsObj'] !== undefined) {
        says(raw['tags'].join('\n') !== searchStrings(raw['tagsObj'] as Json).join('\n'), 'tags');
    }
    const extra = Object.keys(raw['x_imgapi'] ?? { import_id: 1 });
    says(extra.length === 0 || extra.some((key) => !['import_id', 'provenance'].includes(key)), 'x_imgapi');
    ((raw['files'] ?? []) as readonly Json[]).forEach((file, index) => {
        problems.push(...entryProblems(file, `files.${index}`, FILE_KEYS));
        says(
            Object.hasOwn(file, 'sha256') && Object.keys(file).at(-1) !== 'sha256' && raw['type'] !== 'lxd',
            'sha256 is not last',
        );
    });
    if (raw['icon'] !== undefined) problems.push(...entryProblems(raw['icon'] as Json, 'icon', ICON_KEYS));
    return problems;
}

/** The record of an image as it lies on disk, and its text. */
export function storedRecord(baseDir: string, uuid: string): { readonly raw: Json; readonly text: string } {
    const text = readFileSync(join(baseDir, 'manifests', `${uuid}.raw`), 'utf8');
    return { raw: JSON.parse(text) as Json, text };
}

/** Names in a base directory that existing servers do not expect there (backends F1, F6). */
export function unexpectedNames(baseDir: string): string[] {
    const below = (directory: string) =>
        existsSync(join(baseDir, directory))
            ? readdirSync(join(baseDir, directory), { recursive: true, withFileTypes: true })
                  .filter((entry) => entry.isFile())
                  .map((entry) => join(entry.parentPath, entry.name).slice(baseDir.length + 1))
            : [];
    const uuid = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
    const patterns: readonly (readonly [string, RegExp])[] = [
        ['manifests', new RegExp(`^manifests/${uuid}\\.raw$`)],
        [
            'images',
            new RegExp(
                `^images/(...)/\\1.{5}(-.{4}){3}-.{12}/(file[01]|icon)(\\.${uuid})?$|^images/${uuid}/(file0|icon)$`,
            ),
        ],
        ['archive', new RegExp(`^archive/(...)/\\1.{5}(-.{4}){3}-.{12}\\.json$`)],
    ];
    return patterns.flatMap(([directory, pattern]) => below(directory).filter((path) => !pattern.test(path)));
}
