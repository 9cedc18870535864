import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ADMIN } from '../datacenter.js';
import {
    extraParameters,
    invalidParameter,
    notBoolean,
    OPERATOR_ONLY,
    uuidExists,
    validationFailed,
    type ExpectedError,
} from '../rows.js';
import { validated, ZVOL_FIELDS } from './field-rules.js';
import {
    accountOf,
    type Caller,
    type Fields,
    keep,
    mayAccess,
    type Model,
    type ModelImage,
    Refusal,
    refused,
    selectChannel,
    UNSET_OWNER,
    UUID,
    type Value,
    wouldLoop,
} from './model.js';
import { channelNames, commands, picked, pickedOrNew, query, type Step } from './step.js';
import {
    callers,
    newImageBodies,
    oddBodies,
    ownerValues,
    newUuids,
    type Pick,
    type PickOrUuid,
    picks,
    publicationDates,
} from './values.js';

const COPIED_IF_SET = ['description', 'homepage', 'eula'];
const COPIED = [
    ...['error', 'requirements', 'users', 'traits', 'tags', 'billing_tags', 'generate_passwords'],
    ...['inherited_directories', 'origin'],
];
const HEAD = ['v', 'owner', 'name', 'version', 'type', 'os'];
const TAKEN = [
    ...HEAD,
    ...COPIED_IF_SET,
    ...COPIED,
    'public',
    'disabled',
    'acl',
    'files',
    'icon',
    'channels',
];

/** Names of the keys a body must not have (http-api 3.3 #8, 3.4 #10). */
function extraKeys(body: Fields, isImport: boolean): string[] {
    return Object.entries(body)
        .filter(([key, value]) => {
            if (TAKEN.includes(key) || (isImport && ['uuid', 'state'].includes(key))) return false;
            if (isImport && ['published_at', 'urn'].includes(key)) return !value;
            return !((ZVOL_FIELDS as readonly string[]).includes(key) && body['type'] === 'zvol');
        })
        .map(([key]) => key);
}

/** The fields of a new image (manifest 5, steps 2-6). */
function newFields(body: Fields, uuid: string, channel: string | undefined): Fields {
    const taken = [
        ...HEAD,
        ...[...COPIED_IF_SET, 'published_at', 'urn'].filter((key) => Boolean(body[key])),
        ...COPIED,
        ...ZVOL_FIELDS,
    ];
    return {
        ...Object.fromEntries(taken.filter((key) => body[key] !== undefined).map((key) => [key, body[key]])),
        uuid,
        public: body['public'] || false,
        disabled: body['disabled'] || false,
        state: 'unactivated',
        acl: body['acl'],
        ...(channel === undefined ? {} : { channels: [channel] }),
    };
}

/** Checks that both ways to make an image share, in their order; gives the fields to be stored. */
function newImage(
    model: Model,
    body: Fields,
    uuid: string,
    channel: string | undefined,
    isImport: boolean,
): Fields | Refusal {
    const extra = extraKeys(body, isImport);
    if (extra.length > 0) return refused(extraParameters(...extra));
    return validated(newFields(body, uuid, channel), model.rules);
}

/** The refusal of an owner that the user database does not know. */
export function unknownOwner(model: Model, owner: Value): Refusal | undefined {
    const { knownOwners } = model.rules;
    const isUnknown =
        knownOwners !== undefined && UUID.test(String(owner)) && !knownOwners.has(String(owner));
    const message = `owner "${String(owner)}" does not exist`;
    return isUnknown ? refused({ status: 422, code: 'OwnerDoesNotExist', message }) : undefined;
}

function missingOrigin(model: Model, given: Value, caller: Caller): Refusal | undefined {
    if (given === undefined) return undefined;
    const origin = given as string;
    const image = model.images.get(origin);
    const account = accountOf(caller);
    if (image !== undefined && (account === undefined || mayAccess(image, account))) return undefined;
    const message = `origin image "${origin}" does not exist`;
    return refused({ status: 422, code: 'OriginDoesNotExist', message });
}

function objectRule(body: Value): ExpectedError | undefined {
    if (body === undefined) return validationFailed('missing request body', ['body', 'MissingParameter']);
    return typeof body !== 'object' || body === null || Array.isArray(body)
        ? validationFailed('invalid request body: not a JSON object', ['body', 'Invalid'])
        : undefined;
}

export interface CreateInput {
    readonly caller: Caller;
    readonly channel: string | undefined;
    readonly owner: Value;
    readonly origin: Pick | undefined;
    readonly body: Value;
}

function withOrigin(model: Model, body: Value, origin: Pick | undefined): Fields {
    const { ...fields } = body as Fields;
    return origin === undefined ? fields : { ...fields, origin: picked(model, origin) };
}

/** The body as CreateImage goes on with it: the account is its owner (http-api 3.3 #2-#5). */
function ownedBody(body: Fields, account: string | undefined): Fields | Refusal {
    const { owner } = body;
    if (account !== undefined && Boolean(owner) && owner !== account) {
        const message = `invalid owner: given owner, "${String(owner)}", does not match account, "${account}"`;
        return refused(invalidParameter(message, ['owner', 'Invalid']));
    }
    return { v: 2, ...body, ...(account === undefined ? {} : { owner: account }) };
}

function createOutcome(model: Model, input: CreateInput, body: Value): Fields | Refusal {
    const channel = selectChannel(model, input.channel);
    if (channel instanceof Refusal) return channel;
    const odd = objectRule(body);
    if (odd !== undefined) return refused(odd);
    const owned = ownedBody(body as Fields, accountOf(input.caller));
    if (owned instanceof Refusal) return owned;
    return (
        unknownOwner(model, owned['owner']) ??
        missingOrigin(model, owned['origin'], input.caller) ??
        newImage(model, owned, '00000000-0000-4000-8000-000000000000', channel, false)
    );
}

export function createPlan(model: Model, input: CreateInput): Step {
    const { caller, channel, owner } = input;
    const isObject = objectRule(input.body) === undefined;
    const body = isObject
        ? { ...withOrigin(model, input.body, input.origin), ...(owner === undefined ? {} : { owner }) }
        : input.body;
    const outcome = createOutcome(model, input, body);
    return {
        method: 'POST',
        path: `/images${query(caller, { channel })}`,
        json: body,
        expected:
            outcome instanceof Refusal
                ? outcome
                : (answer) => {
                      const uuid = String(answer.document['uuid']);
                      assert.match(uuid, /^[0-9a-f-]{14}4[0-9a-f]{3}-[89ab]/);
                      assert.ok(!model.images.has(uuid), 'a uuid of its own');
                      return keep(model, { fields: { ...outcome, uuid }, activated: false });
                  },
    };
}

interface ImportInput extends CreateInput {
    readonly uuid: PickOrUuid;
    readonly bodyUuid: string | undefined;
    readonly publishedAt: Value;
    readonly urn: boolean;
    readonly skipOwnerCheck: string | undefined;
    readonly v: number | undefined;
}

function importBody(model: Model, input: ImportInput, uuid: string): Value {
    if (objectRule(input.body) !== undefined) return input.body;
    const { owner, publishedAt, v } = input;
    const { origin, ...body } = withOrigin(model, input.body, input.origin);
    return {
        ...(v === undefined ? {} : { v }),
        ...body,
        uuid: input.bodyUuid ?? uuid,
        state: 'active',
        ...(origin === undefined || wouldLoop(model, uuid, origin) ? {} : { origin }),
        ...(owner === undefined ? {} : { owner }),
        ...(publishedAt === undefined ? {} : { published_at: publishedAt }),
        ...(input.urn ? { urn: `sdc:sdc:base:${uuid}` } : {}),
    };
}

/** Owner of an import as it is stored, or why it is refused (http-api 3.4, owner rewriting). */
function importOwner(model: Model, owner: Value, skipCheck: boolean): Fields | Refusal {
    if (model.rules.mode !== 'dc') return { owner: UNSET_OWNER };
    if (owner === UNSET_OWNER) return { owner: ADMIN };
    const unknown = skipCheck ? undefined : unknownOwner(model, owner);
    return unknown ?? (owner === undefined ? {} : { owner });
}

function importRefusal(model: Model, input: ImportInput, uuid: string, given: Fields): Refusal | undefined {
    if (accountOf(input.caller) !== undefined) return refused(OPERATOR_ONLY);
    if (given['uuid'] !== uuid) {
        const message = `URL UUID, "${uuid}" and body UUID, "${String(given['uuid'])}" do not match`;
        return refused(invalidParameter(message, ['uuid', 'Invalid']));
    }
    if (input.skipOwnerCheck === 'maybe') return refused(notBoolean('skip_owner_check', 'maybe'));
    const existing = model.images.get(uuid);
    return existing === undefined || existing.fields['state'] === 'creating'
        ? undefined
        : refused(uuidExists(uuid));
}

function importOutcome(model: Model, input: ImportInput, uuid: string, body: Value): Fields | Refusal {
    const channel = selectChannel(model, input.channel);
    if (channel instanceof Refusal) return channel;
    const given = objectRule(body) === undefined ? (body as Fields) : {};
    const early =
        importRefusal(model, input, uuid, given) ?? missingOrigin(model, given['origin'], 'operator');
    if (early !== undefined) return early;
    const owner = importOwner(model, given['owner'], input.skipOwnerCheck === 'true');
    if (owner instanceof Refusal) return owner;
    const date = given['published_at'];
    if (Boolean(date) && typeof date !== 'string') {
        return refused(invalidParameter('invalid "published_at"', ['published_at', 'Invalid']));
    }
    return newImage(model, { ...given, ...owner }, uuid, channel, true);
}

function importPlan(model: Model, input: ImportInput): Step {
    const uuid = pickedOrNew(model, input.uuid);
    const body = importBody(model, input, uuid);
    const outcome = importOutcome(model, input, uuid, body);
    const { caller, channel, skipOwnerCheck } = input;
    return {
        method: 'POST',
        path: `/images/${uuid}${query(caller, { action: 'import', channel, skip_owner_check: skipOwnerCheck })}`,
        json: body,
        expected:
            outcome instanceof Refusal
                ? outcome
                : () => keep(model, { fields: outcome, activated: false } satisfies ModelImage),
    };
}

const bodies = fc.oneof({ weight: 40, arbitrary: newImageBodies }, { weight: 1, arbitrary: oddBodies });
const origins = fc.oneof(
    { weight: 2, arbitrary: fc.constant<Pick | undefined>(undefined) },
    { weight: 1, arbitrary: picks },
);
const common = { channel: channelNames, origin: origins, body: bodies };
/** Accounts mostly leave the owner to the server. */
const callersWithOwners = fc.oneof(
    fc.record({ caller: fc.constant<Caller>('operator'), owner: ownerValues }),
    fc.record({
        caller: callers,
        owner: fc.oneof(
            { weight: 6, arbitrary: fc.constant<Value>(undefined) },
            { weight: 1, arbitrary: ownerValues },
        ),
    }),
);

export const createCommands = commands(
    'create',
    fc
        .tuple(callersWithOwners, fc.record(common))
        .map(([first, rest]): CreateInput => ({ ...first, ...rest })),
    createPlan,
);

export const importCommands = commands(
    'import',
    fc.record<ImportInput>({
        ...common,
        caller: fc.oneof(
            { weight: 15, arbitrary: fc.constant<Caller>('operator') },
            { weight: 1, arbitrary: callers },
        ),
        owner: ownerValues,
        uuid: fc.oneof<fc.WeightedArbitrary<PickOrUuid>[]>(
            { weight: 3, arbitrary: newUuids },
            { weight: 2, arbitrary: picks },
        ),
        bodyUuid: fc.oneof(
            { weight: 25, arbitrary: fc.constant<string | undefined>(undefined) },
            { weight: 1, arbitrary: fc.uuid() },
        ),
        publishedAt: publicationDates,
        urn: fc.boolean(),
        skipOwnerCheck: fc.constantFrom<(string | undefined)[]>(
            undefined,
            undefined,
            undefined,
            'true',
            'false',
            '',
            'maybe',
        ),
        v: fc.oneof(
            { weight: 25, arbitrary: fc.constant<number | undefined>(2) },
            { weight: 1, arbitrary: fc.constant<number | undefined>(undefined) },
        ),
    }),
    importPlan,
);
