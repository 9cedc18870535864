import { COMPRESSION_EXTENSIONS } from '../../base/constants.js';
import { bytesText } from '../../base/quantities.js';
import type { ImageFile, JsonObject, JsonValue, RawImage } from '../../manifest/types.js';
import { fileSize } from './file-sizes.js';
import { type Page, queryText } from './page.js';

/** What the page of an image shows. */
export interface ImagePageFacts {
    /** The manifest as the caller may see it. */
    readonly manifest: JsonObject;
    /** The channel to be named in links, `*` for all; absent: none, so the default. */
    readonly channel?: string;
    /** Whether the server has channels. */
    readonly hasChannels: boolean;
    readonly account?: string;
    /** The image that lets the account see this one. */
    readonly via?: string;
}

const TEMPLATE = `{{#icon}}<img src="{{icon}}" alt=""/>
{{/icon}}<h1>{{name}} {{version}}</h1>
{{#description}}<p class="text">{{description}}</p>
{{/description}}{{#command}}<pre>{{command}}</pre>
{{/command}}{{#hasFiles}}<h2>Files</h2>
<div class="table" role="region" aria-label="Files" tabindex="0"><table>
<thead><tr><th scope="col">File</th><th scope="col">Size</th><th scope="col">Compression</th>\
<th scope="col">Digests</th></tr></thead>
<tbody>
{{#files}}<tr><td><a href="{{href}}" download="{{download}}">{{download}}</a></td><td>{{size}}</td>\
<td>{{compression}}</td><td>{{#others}}<div>{{key}} <code>{{value}}</code></div>{{/others}}</td></tr>
{{/files}}</tbody>
</table></div>
{{/hasFiles}}<h2>Manifest</h2>
<div class="table" role="region" aria-label="Manifest" tabindex="0"><table>
<tbody>
{{#fields}}<tr><th scope="row">{{key}}</th><td>{{#href}}<a href="{{href}}">{{text}}</a>{{/href}}\
{{#plain}}{{plain}}{{/plain}}{{#json}}<pre>{{json}}</pre>{{/json}}</td></tr>
{{/fields}}</tbody>
</table></div>
<p><a href="{{document}}">Manifest as JSON</a></p>
`;

/** Shown elsewhere on the page. */
const SHOWN_APART = new Set(['description', 'files', 'icon']);

function isTextList(value: JsonValue): value is readonly string[] {
    return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

/** A value as text; objects and lists of other things than texts as JSON. */
function valueText(value: JsonValue): string {
    if (isTextList(value)) {
        return value.join(', ');
    }
    return typeof value === 'object' ? JSON.stringify(value, null, 2) : String(value);
}

/** Of manifests' links only those to pages: any other would do something when it is followed. */
function webAddress(value: JsonValue): string | undefined {
    return typeof value === 'string' && /^\s*https?:\/\//i.test(value) ? value.trim() : undefined;
}

/** Where the value of a field leads. */
function linkOf(key: string, value: JsonValue, originQuery: string): string | undefined {
    if (key === 'origin') {
        return typeof value === 'string' ? `${encodeURIComponent(value)}${originQuery}` : undefined;
    }
    return key === 'homepage' || key === 'eula' ? webAddress(value) : undefined;
}

function fieldView(key: string, value: JsonValue, originQuery: string): Readonly<Record<string, unknown>> {
    const href = linkOf(key, value, originQuery);
    const text = valueText(value);
    const isJson = typeof value === 'object' && !isTextList(value);
    return { key, href, text, plain: href === undefined && !isJson && text, json: isJson && text };
}

/** A size for people, and exactly. */
function sizeText(file: ImageFile): string {
    const size = fileSize(file);
    const text = size === undefined ? '' : bytesText(size);
    return size === undefined || size < 1024 ? text : `${text} (${size})`;
}

function fileView(
    uuid: string,
    file: ImageFile,
    index: number,
    parameters: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, unknown>> {
    // Odd records may lack it, or have another one.
    const extension = (COMPRESSION_EXTENSIONS as Partial<Record<string, string>>)[file.compression] ?? '';
    const others = Object.entries(file).filter(([key]) => key !== 'size' && key !== 'compression');
    const further = index > 0 ? String(index) : undefined;
    return {
        href: `../../images/${uuid}/file${queryText({ ...parameters, index: further })}`,
        download: `${uuid}${further === undefined ? '' : `-${further}`}${extension}`,
        size: sizeText(file),
        compression: file.compression,
        others: others.map(([key, value]) => ({ key, value: String(value) })),
    };
}

/** How a compute node gets the image; nothing where that takes more than this line. */
function importCommand({ manifest, channel }: ImagePageFacts): string | undefined {
    const { uuid, state, type, files = [] } = manifest as unknown as RawImage;
    const isImportable = state === 'active' && type !== 'lxd' && files.length > 0;
    // Compute nodes are told of channels where they are told of the server, so this is for the default alone.
    return isImportable && channel === undefined ? `imgadm import ${uuid}` : undefined;
}

/** The page of one image (operations 7 #20). */
export function imagePage(facts: ImagePageFacts): Page {
    const { manifest, channel, account, via, hasChannels } = facts;
    const { uuid, name, version, files = [] } = manifest as unknown as RawImage;
    const { description } = manifest;
    const kept = { channel, account };
    const query = queryText({ ...kept, via });
    // An origin may be in any channel, and not be the account's to see but for this image.
    const originQuery = queryText({
        channel: hasChannels ? '*' : undefined,
        account,
        via: account === undefined ? undefined : (via ?? uuid),
    });
    return {
        title: `${name} ${version}`,
        template: TEMPLATE,
        up: '../',
        query: queryText(kept),
        view: {
            name,
            version,
            // GetImageIcon knows nothing of `via`.
            icon: manifest['icon'] === true && via === undefined && `../../images/${uuid}/icon${query}`,
            description: description !== undefined && valueText(description),
            command: importCommand(facts),
            hasFiles: files.length > 0,
            files: files.map((file, index) => fileView(uuid, file, index, { ...kept, via })),
            fields: Object.entries(manifest)
                .filter(([key]) => !SHOWN_APART.has(key))
                .map(([key, value]) => fieldView(key, value, originQuery)),
            document: `../../images/${uuid}${query}`,
        },
    };
}
