import assert from 'node:assert/strict';
import fc from 'fast-check';
import { badAction, invalidParameter, validationFailed, type ExpectedError } from '../rows.js';
import {
    ACCOUNTS,
    type Caller,
    computedState,
    documentOf,
    type Fields,
    keep,
    list,
    loadOwn,
    type Model,
    type ModelImage,
    Refusal,
    refused,
    selectChannel,
    STRANGER,
    tagOf,
    type Value,
} from './model.js';
import { channelNames, commands, picked, query, type Step } from './step.js';
import { callers, type Pick, picks } from './values.js';

export interface Target {
    readonly pick: Pick;
    readonly caller: Caller;
    readonly channel: string | undefined;
}

export const target = { pick: picks, caller: callers, channel: channelNames };

/** LOAD and OWNER in the selected channel. */
export function ownImage(
    model: Model,
    uuid: string,
    { caller, channel }: Omit<Target, 'pick'>,
): ModelImage | Refusal {
    const selected = selectChannel(model, channel);
    return selected instanceof Refusal ? selected : loadOwn(model, uuid, caller, selected);
}

type Condition = 'none' | 'current' | 'earlier' | 'star' | 'other';

export const conditions = fc.oneof(
    { weight: 6, arbitrary: fc.constant<Condition>('none') },
    { weight: 4, arbitrary: fc.constantFrom<Condition[]>('current', 'earlier', 'star', 'other') },
);

/** The If-Match header of a condition, and the refusal it leads to (http-api 1.7). */
function conditioned(
    image: ModelImage,
    condition: Condition,
): { headers: Record<string, string>; refusal?: Refusal } {
    if (condition === 'none') return { headers: {} };
    const current = tagOf(documentOf(image));
    const sent = {
        current: `"${current}"`,
        earlier: image.earlierTag ?? 'abcdef',
        star: '*',
        other: `abcdef, W/"${current.slice(1)}"`,
    }[condition];
    const matches = condition === 'current' || condition === 'star' || sent === current;
    const message = `if-match '${sent}' didn't match etag '${current}'`;
    return {
        headers: { 'if-match': sent },
        ...(matches ? {} : { refusal: refused({ status: 412, code: 'PreconditionFailed', message }) }),
    };
}

export interface ConditionalInput extends Target {
    readonly condition: Condition;
}

/** A POST of an action that takes conditions; `change` judges and changes the image. */
export function conditionalPlan(
    model: Model,
    input: ConditionalInput,
    action: string,
    json: Value,
    change: (image: ModelImage) => Step['expected'],
): Step {
    const uuid = picked(model, input.pick);
    const image = ownImage(model, uuid, input);
    const { headers, refusal } =
        image instanceof Refusal ? { headers: {}, refusal: image } : conditioned(image, input.condition);
    return {
        method: 'POST',
        path: `/images/${uuid}${query(input.caller, { action, channel: input.channel })}`,
        ...(json === undefined ? {} : { json }),
        headers,
        expected: refusal ?? change(image as ModelImage),
    };
}

/** The image of the old uuid under a new one, or just changed. */
function withFields(image: ModelImage, changes: Fields): ModelImage {
    return { ...image, fields: { ...image.fields, ...changes } };
}

export function activatePlan(model: Model, input: ConditionalInput): Step {
    return conditionalPlan(model, input, 'activate', {}, (image) => {
        const uuid = String(image.fields['uuid']);
        if (image.activated) {
            const message = `image "${uuid}" is already activated`;
            return refused({ status: 422, code: 'ImageAlreadyActivated', message });
        }
        if (image.file === undefined) {
            const message = `image "${uuid}" cannot be activated: it has no file`;
            return refused({ status: 422, code: 'NoActivationNoFile', message });
        }
        return (answer, sentAt) => {
            const date = image.fields['published_at'] ?? answer.document['published_at'];
            if (image.fields['published_at'] === undefined) {
                assert.match(String(date), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
                const time = Date.parse(String(date));
                assert.ok(time >= sentAt && time <= Date.now(), `${String(date)} is now`);
            }
            const state = computedState(true, image.fields['disabled'] === true);
            return keep(model, { ...withFields(image, { published_at: date, state }), activated: true });
        };
    });
}

export const activateCommands = commands(
    'activate',
    fc.record<ConditionalInput>({ ...target, condition: conditions }),
    activatePlan,
);

export const disableCommands = commands(
    'disable',
    fc.record<ConditionalInput & { readonly disabled: boolean }>({
        ...target,
        condition: conditions,
        disabled: fc.boolean(),
    }),
    (model, input) =>
        conditionalPlan(model, input, input.disabled ? 'disable' : 'enable', {}, (image) => () => {
            const { disabled } = input;
            const state = String(image.fields['state']);
            const isPlaceholder = state === 'creating' || state === 'failed';
            return keep(
                model,
                withFields(image, {
                    disabled,
                    state: isPlaceholder ? state : computedState(image.activated, disabled),
                }),
            );
        }),
);

export const unknownActionCommands = commands(
    'unknown-action',
    fc.record<ConditionalInput & { readonly action: string | undefined }>({
        ...target,
        condition: conditions,
        action: fc.constantFrom<(string | undefined)[]>('destroy', '', undefined),
    }),
    (model, input) => {
        const unknown = input.action
            ? badAction(input.action)
            : invalidParameter('no image "action" was specified', ['action', 'MissingParameter']);
        const plan = conditionalPlan(model, input, '', {}, () => refused(unknown));
        const path = plan.path.split('?')[0] ?? '';
        return {
            ...plan,
            path: `${path}${query(input.caller, { action: input.action, channel: input.channel })}`,
        };
    },
);

export const channelAddCommands = commands(
    'channel-add',
    fc.record<ConditionalInput & { readonly name: string | undefined }>({
        ...target,
        condition: conditions,
        name: fc.constantFrom<(string | undefined)[]>(
            'dev',
            'release',
            'release',
            'support',
            'nope',
            undefined,
        ),
    }),
    (model, input) => {
        const { name } = input;
        return conditionalPlan(model, input, 'channel-add', { channel: name }, (image) => {
            const { channels } = model.rules;
            if (channels === undefined) return refused(badAction('channel-add'));
            if (name === undefined || !channels.includes(name)) {
                return refused(validationFailed(`unknown channel: ${name}`, ['channel', 'Invalid']));
            }
            const present = list(image, 'channels');
            return () =>
                keep(
                    model,
                    withFields(image, { channels: present.includes(name) ? present : [...present, name] }),
                );
        });
    },
);

// ---- AddImageAcl, RemoveImageAcl (http-api 3.17)

interface AclInput extends Target {
    readonly action: string | undefined;
    readonly body: Value;
}

function aclRefusal({ action, body }: AclInput): ExpectedError | undefined {
    if (action && action !== 'add' && action !== 'remove') return badAction(action);
    if (!Array.isArray(body))
        return invalidParameter('invalid image "acl" (not an array)', ['acl', 'Invalid']);
    const index = body.findIndex((item) => typeof item !== 'string' || item.length !== 36);
    return index === -1
        ? undefined
        : invalidParameter(`invalid image "acl" (item ${index} is not a UUID): ${String(body[index])}`, [
              'acl',
              'Invalid',
          ]);
}

export const aclCommands = commands(
    'acl',
    fc.record<AclInput>({
        ...target,
        action: fc.constantFrom<(string | undefined)[]>(
            'add',
            'add',
            'remove',
            'remove',
            undefined,
            '',
            'toggle',
        ),
        body: fc.oneof(
            {
                weight: 12,
                arbitrary: fc.array(fc.constantFrom(...ACCOUNTS, STRANGER), { minLength: 1, maxLength: 4 }),
            },
            {
                weight: 1,
                arbitrary: fc.constantFrom<Value[]>([], [ACCOUNTS[0], 'nobody'], [5], {}, null, undefined),
            },
        ),
    }),
    (model, input) => {
        const uuid = picked(model, input.pick);
        const image = ownImage(model, uuid, input);
        const bad = aclRefusal(input);
        const change = (loaded: ModelImage): ModelImage => {
            const named = [...new Set(input.body as readonly string[])];
            const listed = list(loaded, 'acl');
            const acl =
                input.action === 'remove'
                    ? listed.filter((account) => !named.includes(account))
                    : [...listed, ...named.filter((account) => !listed.includes(account))];
            return keep(model, withFields(loaded, { acl }));
        };
        return {
            method: 'POST',
            path: `/images/${uuid}/acl${query(input.caller, { action: input.action, channel: input.channel })}`,
            ...(input.body === undefined ? {} : { json: input.body }),
            expected:
                image instanceof Refusal ? image : bad === undefined ? () => change(image) : refused(bad),
        };
    },
);
