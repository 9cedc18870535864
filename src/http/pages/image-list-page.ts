import { OSES, STATES, TYPES } from '../../manifest/limits.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import { totalSizeText } from './file-sizes.js';
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
    /** Whether there are public images, so that it says something that one is not. */
    readonly hasPublicImages: boolean;
    /** Where the next page starts; absent: this is the last. */
    readonly nextMarker?: string;
    /** Whether images before those shown were left out. */
    readonly isContinued: boolean;
}

const TEMPLATE = `<h1>Images</h1>
<form method="get" action="./">
<label>Name contains <input type="search" name="name" value="{{name}}"/></label>
{{#choices}}<label>{{label}} <select name="{{parameter}}">
{{#options}}<option value="{{value}}"{{#isChosen}} selected="selected"{{/isChosen}}>{{text}}</option>
{{/options}}</select></label>
{{/choices}}{{#account}}<label>As account <input type="text" name="account" value="{{account}}"/></label>
{{/account}}<button>Show</button>
</form>
{{^hasRows}}<p>No image matches.</p>
{{/hasRows}}{{#hasRows}}<div class="table" role="region" aria-label="Images" tabindex="0"><table>
<thead><tr><th scope="col">Name</th><th scope="col">Version</th><th scope="col">Type</th><th scope="col">OS</th>\
<th scope="col">Published</th><th scope="col">Size</th></tr></thead>
<tbody>
{{#rows}}<tr><td><a href="{{href}}">{{imageName}}</a>{{#notes}} <span class="note">{{.}}</span>{{/notes}}</td>\
<td>{{version}}</td><td>{{type}}</td><td>{{os}}</td><td>{{published}}</td><td>{{size}}</td></tr>
{{/rows}}</tbody>
</table></div>
{{/hasRows}}{{#first}}<p><a href="{{first}}">Newest images</a></p>
{{/first}}{{#next}}<p><a href="{{next}}">Older images</a></p>
{{/next}}`;

type Option = readonly [value: string, text: string];

interface Choice {
    readonly label: string;
    readonly parameter: string;
    readonly options: readonly {
        readonly value: string;
        readonly text: string;
        readonly isChosen: boolean;
    }[];
}

function choice(label: string, parameter: string, offered: readonly Option[], chosen = ''): Choice {
    // What came by hand, such as `!docker`, must not be gone with the next search.
    const options = offered.some(([value]) => value === chosen)
        ? offered
        : [...offered, [chosen, chosen] as const];
    return {
        label,
        parameter,
        options: options.map(([value, text]) => ({ value, text, isChosen: value === chosen })),
    };
}

const ANY: Option = ['', 'any'];

function choices({ filters, channels, channel, mayChooseState }: ImageListFacts): readonly Choice[] {
    const same = (values: readonly string[]): readonly Option[] => values.map((value) => [value, value]);
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

function row(
    manifest: JsonObject,
    query: string,
    hasPublicImages: boolean,
): Readonly<Record<string, unknown>> {
    const { uuid, name, version, type, os, state, published_at, files } = manifest as unknown as RawImage;
    const isPrivate = hasPublicImages && manifest['public'] !== true;
    return {
        href: `images/${uuid}${query}`,
        imageName: name,
        version,
        type,
        os,
        published: typeof published_at === 'string' ? published_at.slice(0, 10) : '',
        size: totalSizeText(files ?? []),
        notes: [...(state === 'active' ? [] : [state]), ...(isPrivate ? ['private'] : [])],
    };
}

/** The page that lists images, newest first (operations 7 #20). */
export function imageListPage(facts: ImageListFacts): Page {
    const { filters, nextMarker, isContinued, manifests, hasPublicImages } = facts;
    const { account, channel } = filters;
    const query = queryText({ channel, account });
    return {
        title: 'Images',
        template: TEMPLATE,
        up: './',
        query,
        view: {
            account,
            name: filters.name,
            choices: choices(facts),
            rows: manifests.map((manifest) => row(manifest, query, hasPublicImages)),
            hasRows: manifests.length > 0,
            first: isContinued && `./${queryText(filters)}`,
            next: nextMarker !== undefined && `./${queryText({ ...filters, marker: nextMarker })}`,
        },
    };
}
