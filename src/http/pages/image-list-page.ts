import { bytesText } from '../../base/quantities.js';
import { OSES, STATES, TYPES } from '../../manifest/limits.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import { type Page, queryText } from './page.js';

/** What the list is limited to; parameters of the page, each may be absent. */
export const LIST_PAGE_FILTERS = ['name', 'os', 'type', 'state', 'channel', 'account'] as const;

/** Values of {@link LIST_PAGE_FILTERS} as given. */
export type ListPageFilters = Readonly<Partial<Record<(typeof LIST_PAGE_FILTERS)[number], string>>>;

/** What the list page shows. */
export interface ImageListFacts {
    /** Manifests as the caller may see them, in the order to be shown. */
    readonly manifests: readonly JsonObject[];
    readonly filters: ListPageFilters;
    /** Names of the channels there are, empty: the server has none. */
    readonly channels: readonly string[];
    /** The channel that is shown, `*` for all. */
    readonly channel: string | undefined;
    /** Whether the caller may see images that are not active. */
    readonly mayChooseState: boolean;
    /** Where the next page starts; absent: this is the last. */
    readonly nextMarker?: string;
    /** Whether images before those shown were left out. */
    readonly isContinued: boolean;
}

const TEMPLATE = `<h1>Images</h1>
<form method="get" action="./">
{{#account}}<input type="hidden" name="account" value="{{account}}"/>
{{/account}}<label>Name contains <input type="search" name="name" value="{{name}}"/></label>
{{#choices}}<label>{{label}} <select name="{{parameter}}">
{{#options}}<option value="{{value}}"{{#isChosen}} selected="selected"{{/isChosen}}>{{text}}</option>
{{/options}}</select></label>
{{/choices}}<button>Show</button>
</form>
{{^hasRows}}<p>No image matches.</p>
{{/hasRows}}{{#hasRows}}<div class="table"><table>
<thead><tr><th>Name</th><th>Version</th><th>Type</th><th>OS</th><th>Published</th><th>Size</th></tr></thead>
<tbody>
{{#rows}}<tr><td><a href="{{href}}">{{imageName}}</a>{{#notes}} <span class="note">{{.}}</span>{{/notes}}</td>\
<td>{{version}}</td><td>{{type}}</td><td>{{os}}</td><td>{{published}}</td><td>{{size}}</td></tr>
{{/rows}}</tbody>
</table></div>
{{/hasRows}}<p>{{#first}}<a href="{{first}}">Newest images</a> {{/first}}\
{{#next}}<a href="{{next}}">Older images</a>{{/next}}</p>
`;

interface Choice {
    readonly label: string;
    readonly parameter: string;
    readonly options: readonly {
        readonly value: string;
        readonly text: string;
        readonly isChosen: boolean;
    }[];
}

function choice(
    label: string,
    parameter: string,
    values: readonly (readonly [value: string, text: string])[],
    chosen = '',
): Choice {
    return {
        label,
        parameter,
        options: values.map(([value, text]) => ({ value, text, isChosen: value === chosen })),
    };
}

const ANY = ['', 'any'] as const;

function choices({ filters, channels, channel, mayChooseState }: ImageListFacts): readonly Choice[] {
    const same = (values: readonly string[]) => values.map((value) => [value, value] as const);
    const states = same(STATES.filter((state) => state !== 'active'));
    return [
        choice('OS', 'os', [ANY, ...same(OSES)], filters.os),
        choice('Type', 'type', [ANY, ...same(TYPES)], filters.type),
        ...(mayChooseState
            ? [choice('State', 'state', [['', 'active'], ...states, ['all', 'all']], filters.state)]
            : []),
        ...(channels.length === 0
            ? []
            : [choice('Channel', 'channel', [...same(channels), ['*', 'all']], channel)]),
    ];
}

/** Total size of the files; nothing for an image without one. */
function sizeText({ files }: Pick<RawImage, 'files'>): string {
    return files === undefined || files.length === 0
        ? ''
        : bytesText(files.reduce((sum, { size }) => sum + size, 0));
}

function row(manifest: JsonObject, parameters: string): Readonly<Record<string, unknown>> {
    const { uuid, name, version, type, os, state, published_at, files } = manifest as unknown as RawImage;
    return {
        href: `images/${uuid}${parameters}`,
        imageName: name,
        version,
        type,
        os,
        published: typeof published_at === 'string' ? published_at.slice(0, 10) : '',
        size: sizeText(files === undefined ? {} : { files }),
        notes: [...(state === 'active' ? [] : [state]), ...(manifest['public'] === true ? [] : ['private'])],
    };
}

/** The page that lists images, newest first (operations 7 #20). */
export function imageListPage(facts: ImageListFacts): Page {
    const { filters, nextMarker, isContinued, manifests } = facts;
    const { account, channel } = filters;
    const parameters = queryText({ channel, account });
    const here = queryText(filters);
    return {
        title: 'Images',
        template: TEMPLATE,
        up: './',
        view: {
            account,
            name: filters.name,
            choices: choices(facts),
            rows: manifests.map((manifest) => row(manifest, parameters)),
            hasRows: manifests.length > 0,
            first: isContinued && `./${here}`,
            next: nextMarker !== undefined && `./${queryText({ ...filters, marker: nextMarker })}`,
        },
    };
}
