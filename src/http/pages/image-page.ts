import { bytesText } from '../../base/quantities.js';
import type { ImageFile, JsonObject, JsonValue, RawImage } from '../../manifest/types.js';
import { type Page, queryText } from './page.js';

/** What the page of an image shows. */
export interface ImagePageFacts {
    /** The manifest as the caller may see it. */
    readonly manifest: JsonObject;
    /** Parameters that links to the image keep. */
    readonly channel?: string;
    readonly account?: string;
}

const TEMPLATE = `{{#icon}}<img src="{{icon}}" alt=""/>
{{/icon}}<h1>{{name}} {{version}}</h1>
{{#description}}<p class="text">{{description}}</p>
{{/description}}{{#command}}<pre>{{command}}</pre>
{{/command}}{{#hasFiles}}<h2>Files</h2>
<div class="table"><table>
<thead><tr><th>File</th><th>Size</th><th>Compression</th><th>SHA-1</th></tr></thead>
<tbody>
{{#files}}<tr><td><a href="{{href}}" download="{{download}}">{{download}}</a></td><td>{{size}}</td>\
<td>{{compression}}</td><td><code>{{sha1}}</code></td></tr>
{{/files}}</tbody>
</table></div>
{{/hasFiles}}<h2>Manifest</h2>
<div class="table"><table>
<tbody>
{{#fields}}<tr><th>{{key}}</th><td>{{#href}}<a href="{{href}}" rel="noreferrer">{{text}}</a>{{/href}}\
{{#plain}}{{plain}}{{/plain}}{{#json}}<pre>{{json}}</pre>{{/json}}</td></tr>
{{/fields}}</tbody>
</table></div>
<p><a href="{{document}}">Manifest as JSON</a></p>
`;

/** Shown elsewhere on the page. */
const SHOWN_APART = new Set(['description', 'files', 'icon']);

/** What is behind the name of a downloaded file, by compression (manifest 0). */
const SUFFIXES: Readonly<Record<string, string>> = { gzip: '.gz', bzip2: '.bz2', xz: '.xz' };

/** Of manifests' links only those to pages: any other would do something when it is followed. */
function webAddress(value: JsonValue): string | undefined {
    return typeof value === 'string' && /^\s*https?:\/\//i.test(value) ? value.trim() : undefined;
}

function fieldView(key: string, value: JsonValue, parameters: string): Readonly<Record<string, unknown>> {
    const isText = typeof value !== 'object';
    const href =
        key === 'origin' && isText
            ? `${encodeURIComponent(String(value))}${parameters}`
            : key === 'homepage' || key === 'eula'
              ? webAddress(value)
              : undefined;
    const isList = Array.isArray(value) && value.every((one) => typeof one === 'string');
    return {
        key,
        href,
        text: isText ? String(value) : '',
        plain: href === undefined && (isText ? String(value) : isList && value.join(', ')),
        json: !isText && !isList && JSON.stringify(value, null, 2),
    };
}

function fileView(
    uuid: string,
    file: ImageFile,
    index: number,
    parameters: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, unknown>> {
    const suffix = SUFFIXES[file.compression] ?? '';
    const further = index > 0 ? String(index) : undefined;
    return {
        href: `../../images/${uuid}/file${queryText({ ...parameters, index: further })}`,
        download: `${uuid}${further === undefined ? '' : `-${further}`}${suffix}`,
        size: bytesText(file.size),
        compression: file.compression,
        sha1: file.sha1,
    };
}

/** The page of one image (operations 7 #20). */
export function imagePage({ manifest, channel, account }: ImagePageFacts): Page {
    const image = manifest as unknown as RawImage;
    const { uuid, files = [] } = image;
    const parameters = { channel, account };
    const query = queryText(parameters);
    const option = channel === undefined || channel === '*' ? '' : `-C ${channel} `;
    return {
        title: `${image.name} ${image.version}`,
        template: TEMPLATE,
        up: '../',
        view: {
            name: image.name,
            version: image.version,
            icon: manifest['icon'] === true && `../../images/${uuid}/icon${query}`,
            description: image.description,
            command: image.state === 'active' && files.length > 0 && `imgadm import ${option}${uuid}`,
            hasFiles: files.length > 0,
            files: files.map((file, index) => fileView(uuid, file, index, parameters)),
            fields: Object.entries(manifest)
                .filter(([key]) => !SHOWN_APART.has(key))
                .map(([key, value]) => fieldView(key, value, query)),
            document: `../../images/${uuid}${query}`,
        },
    };
}
