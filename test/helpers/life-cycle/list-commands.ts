import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Answer } from '../http-client.js';
import { invalidParameter, notBoolean, notFound, type ExpectedError } from '../rows.js';
import {
    accountOf,
    type Caller,
    compareImages,
    documentOf,
    type Fields,
    list,
    type Model,
    type ModelImage,
    ownerOf,
    publishedTime,
    Refusal,
    refused,
    selectChannel,
    UUID,
    uuidOf,
} from './model.js';
import { adminFields, adminRefusal } from './read-commands.js';
import { channelNames, commands, picked, query, type Step } from './step.js';
import { billingTags, callers, names, ownerValues, type Pick, picks, systems, versions } from './values.js';

// ---- ListImages (http-api 3.1)

interface ListInput {
    readonly caller: Caller;
    readonly channel: string | undefined;
    readonly admin: string | undefined;
    readonly owner: string | undefined;
    readonly state: string | undefined;
    readonly name: string | undefined;
    readonly version: string | undefined;
    readonly os: string | undefined;
    readonly type: string | undefined;
    readonly public: string | undefined;
    readonly tags: readonly (readonly [string, string])[];
    readonly billingTags: readonly string[];
    readonly limit: string | undefined;
    readonly marker: Pick | { readonly text: string } | undefined;
    readonly sort: string | undefined;
}

const STATES = ['active', 'disabled', 'unactivated', 'all', 'creating', 'failed'];

function matchesState(image: ModelImage, state: string): boolean {
    const { activated, fields } = image;
    switch (state) {
        case 'active':
            return activated && fields['disabled'] === false;
        case 'disabled':
            return activated && fields['disabled'] === true;
        case 'unactivated':
            return !activated;
        case 'all':
            return true;
        default:
            return fields['state'] === state;
    }
}

function matchesText(value: unknown, wanted: string | undefined): boolean {
    if (wanted === undefined) return true;
    if (wanted === '') return false;
    return wanted.startsWith('~') ? String(value).includes(wanted.slice(1)) : value === wanted;
}

function matchesType(value: unknown, wanted: string | undefined): boolean {
    if (wanted === undefined) return true;
    return wanted.startsWith('!') ? value !== wanted.slice(1) : value === wanted;
}

function hasTag(image: ModelImage, key: string, wanted: string): boolean {
    const tags = (image.fields['tags'] ?? {}) as Fields;
    if (!Object.hasOwn(tags, key)) return false;
    if (wanted === '') return true;
    const value = tags[key];
    const isSearchable =
        typeof value === 'string' ? value.length <= 100 : ['number', 'boolean'].includes(typeof value);
    return isSearchable && String(value) === wanted;
}

function matches(image: ModelImage, input: ListInput, channel: string | undefined): boolean {
    const { fields } = image;
    return (
        matchesText(fields['name'], input.name) &&
        matchesText(fields['version'], input.version) &&
        (input.os === undefined || fields['os'] === input.os) &&
        matchesType(fields['type'], input.type) &&
        (input.public === undefined || String(fields['public']) === input.public) &&
        input.tags.every(([key, value]) => hasTag(image, key, value)) &&
        input.billingTags.every((tag) => list(image, 'billing_tags').includes(tag)) &&
        (channel === undefined || list(image, 'channels').includes(channel))
    );
}

/** Whether a list for this account has an image of this owner at all (http-api 3.1, result set). */
function isForCaller(image: ModelImage, input: ListInput, state: string): boolean {
    const account = accountOf(input.caller);
    const owner = ownerOf(image);
    if (input.owner !== undefined && owner !== input.owner) return false;
    if (account === undefined || account === owner) return true;
    if (state === 'disabled' || state === 'unactivated' || !image.activated) return false;
    return image.fields['public'] === true || list(image, 'acl').includes(account);
}

function listRefusal(model: Model, input: ListInput, marker: string | undefined): ExpectedError | undefined {
    const { limit, state, sort } = input;
    if (limit !== undefined && limit !== '' && !/^[0-9]+$/.test(limit)) {
        return invalidParameter(`invalid limit: "${limit}"`, ['limit', 'Invalid']);
    }
    if (state !== undefined && state !== '' && !STATES.includes(state)) {
        return invalidParameter(`invalid state: "${state}"`, ['state', 'Invalid']);
    }
    if (hidesAll(model, input)) return undefined;
    if (input.public === 'yes') return notBoolean('public', 'yes');
    if (sort === 'name') {
        return invalidParameter(`invalid 'sort': not a valid sorting attribute: 'name'`, ['sort', 'Invalid']);
    }
    if (sort === 'published_at.up') {
        return invalidParameter(`invalid 'sort': not a valid sort direction: 'up'`, ['sort', 'Invalid']);
    }
    if (marker === undefined) return undefined;
    if (UUID.test(marker))
        return model.images.has(marker) ? undefined : notFound(`image ${marker} not found`);
    return Number.isNaN(Date.parse(marker))
        ? invalidParameter(
              `invalid value for "marker" param: ${JSON.stringify(marker)} is not a UUID or date string`,
              ['marker', 'Invalid'],
          )
        : undefined;
}

/** Outside a datacenter, callers without a signature see active images only. */
function hidesAll({ rules }: Model, { state }: ListInput): boolean {
    return rules.mode !== 'dc' && !['active', 'all', '', undefined].includes(state);
}

function isAtOrAfter(model: Model, image: ModelImage, marker: string, descending: boolean): boolean {
    const at = model.images.get(marker);
    const order =
        at === undefined
            ? publishedTime(image) - Date.parse(marker)
            : at === image
              ? 0
              : compareImages(image, at);
    return descending ? order <= 0 : order >= 0;
}

function listed(
    model: Model,
    input: ListInput,
    channel: string | undefined,
    marker: string | undefined,
): ModelImage[] {
    if (hidesAll(model, input)) return [];
    const state = model.rules.mode === 'dc' ? input.state || 'active' : 'active';
    const isEmpty = [input.owner, input.name, input.version, input.os, input.type].includes('');
    const descending = /desc$/i.test(input.sort ?? '');
    const all = [...model.images.values()]
        .filter((image) => !isEmpty && matchesState(image, state))
        .filter((image) => isForCaller(image, input, state) && matches(image, input, channel))
        .filter((image) => marker === undefined || isAtOrAfter(model, image, marker, descending))
        .sort((a, b) => (descending ? compareImages(b, a) : compareImages(a, b)));
    const limit = Number(input.limit ?? 0);
    return all.slice(0, limit === 0 ? 1000 : limit);
}

function markerOf(model: Model, marker: ListInput['marker']): string | undefined {
    if (marker === undefined) return undefined;
    return typeof marker === 'object' ? marker.text || undefined : picked(model, marker);
}

function listPlan(model: Model, input: ListInput): Step {
    const marker = markerOf(model, input.marker);
    const channel = selectChannel(model, input.channel, true);
    const refusal =
        channel instanceof Refusal
            ? channel
            : (adminRefusal(model, input.admin) ?? listRefusal(model, input, marker));
    const { caller, tags, billingTags: billing, admin, ...texts } = input;
    const base = query(caller, { ...texts, marker, inclAdminFields: admin });
    const more = new URLSearchParams([
        ...tags.map(([key, value]): [string, string] => [`tag.${key}`, value]),
        ...billing.map((tag): [string, string] => ['billing_tag', tag]),
    ]);
    const path = `/images${base}${base === '' ? '?' : '&'}${more.toString()}`;
    if (refusal !== undefined) {
        return { method: 'GET', path, expected: refusal instanceof Refusal ? refusal : refused(refusal) };
    }
    const expected = listed(model, input, channel as string | undefined, marker);
    return {
        method: 'GET',
        path,
        expected: (answer) => {
            expectList(answer, expected, admin === 'true');
            return undefined;
        },
    };
}

/** Compares a whole list: the images, their order and their documents. */
export function expectList(answer: Answer, expected: readonly ModelImage[], withStorage = false): void {
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.uuids, expected.map(uuidOf));
    const documents = expected.map((image) => documentOf(image, withStorage));
    assert.equal(JSON.stringify(answer.json), JSON.stringify(documents));
}

/** Mostly not given. */
const filter = <T>(...values: T[]): fc.Arbitrary<T | undefined> =>
    fc.oneof(
        { weight: 5, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: fc.constantFrom<T[]>(...values) },
    );

const tagFilters: [string, string][] = [
    ['role', 'db'],
    ['role', 'web'],
    ['n', '5'],
    ['flag', 'true'],
    ['a b', '(x)*\\%_'],
    ['eq', 'a=b'],
    ['big', 'x'.repeat(101)],
    ...['role', 'object', 'nothing', 'big', 'absent'].map((key): [string, string] => [key, '']),
];

const dates = [
    '2019-01-01',
    '2019-01-01T00:00:00.000Z',
    '2020-05-06T07:08:09.124Z',
    '1970-01-01',
    'soon',
    '',
];

export const listCommands = commands(
    'list',
    fc.record<ListInput>({
        caller: callers,
        channel: channelNames,
        admin: adminFields,
        owner: fc.oneof(
            { weight: 4, arbitrary: fc.constant<string | undefined>(undefined) },
            { weight: 1, arbitrary: ownerValues as fc.Arbitrary<string | undefined> },
        ),
        state: fc.constantFrom<(string | undefined)[]>(undefined, '', 'all', 'all', 'all', ...STATES, 'gone'),
        name: filter(...names, '~', '~base', '~%', '~_', '~BASE', ''),
        version: filter(...versions, '~0.', ''),
        os: filter(...systems, 'none', ''),
        type: filter('zone-dataset', 'zvol', 'docker', '!docker', '!', ''),
        public: filter('true', 'true', 'true', 'false', 'false', 'false', 'yes'),
        tags: fc.oneof(
            { weight: 4, arbitrary: fc.constant([]) },
            {
                weight: 1,
                arbitrary: fc.uniqueArray(fc.constantFrom(...tagFilters), {
                    minLength: 1,
                    maxLength: 2,
                    selector: ([key]) => key,
                }),
            },
        ),
        billingTags: fc.oneof(
            { weight: 4, arbitrary: fc.constant([]) },
            {
                weight: 1,
                arbitrary: fc.uniqueArray(fc.constantFrom(...billingTags), { minLength: 1, maxLength: 2 }),
            },
        ),
        limit: filter('1', '2', '3', '5', '0', '', '1000', '2000', '-1'),
        marker: fc.oneof<fc.WeightedArbitrary<ListInput['marker']>[]>(
            { weight: 6, arbitrary: fc.constant(undefined) },
            { weight: 3, arbitrary: picks },
            { weight: 2, arbitrary: fc.constantFrom(...dates).map((text) => ({ text })) },
        ),
        sort: filter(
            'published_at',
            'published_at.asc',
            'published_at.desc',
            'published_at.desc',
            'published_at.DESC',
            'published_at.',
            'name',
            'published_at.up',
        ),
    }),
    listPlan,
);
