import fc from 'fast-check';
import { invalidImage, uuidExists, validationFailed, type Entry, type ExpectedError } from '../rows.js';
import { conditionalPlan, type ConditionalInput, conditions, ownImage, target } from './change-commands.js';
import { validated } from './field-rules.js';
import {
    accountOf,
    documentOf,
    type Fields,
    forget,
    keep,
    list,
    type Model,
    type ModelFile,
    type ModelImage,
    Refusal,
    refused,
    type Value,
    wouldLoop,
} from './model.js';
import { unknownOwner } from './new-image-commands.js';
import { commands, picked, pickedOrNew, type Step } from './step.js';
import { newUuids, oddBodies, type Pick, type PickOrUuid, picks, updateBodies } from './values.js';

// ---- UpdateImage (http-api 3.15)

const UPDATABLE = [
    ...['owner', 'name', 'version', 'description', 'homepage', 'eula', 'public', 'os', 'acl', 'requirements'],
    ...[
        'users',
        'tags',
        'generate_passwords',
        'inherited_directories',
        'nic_driver',
        'disk_driver',
        'cpu_type',
    ],
    ...['image_size', 'channels'],
];
const OPERATORS_ONLY = ['state', 'error', 'billing_tags', 'traits', 'files', 'origin', 'uuid'];

function filesEntries(image: ModelImage, files: Value): Entry[] {
    const given = Array.isArray(files) && files.length === 1 ? (files[0] as Fields) : undefined;
    if (given === undefined || image.file === undefined) {
        return [['files', 'Invalid', 'must be an array with one file object']];
    }
    const [stored] = documentOf(image)['files'] as readonly Fields[];
    return Object.keys(given)
        .filter((key) => key !== 'digest' && key !== 'uncompressedDigest' && given[key] !== stored?.[key])
        .map((): Entry => [
            'files',
            'NotAllowed',
            'Can only update "digest" or "uncompressedDigest" fields on files',
        ]);
}

function permissionEntries(image: ModelImage, body: Fields, isAccount: boolean): Entry[] {
    const unknown = Object.keys(body)
        .filter((key) => !UPDATABLE.includes(key) && !OPERATORS_ONLY.includes(key))
        .map((key): Entry => [key, 'NotAllowed', 'Parameter cannot be updated']);
    const guarded = OPERATORS_ONLY.filter((key) => Object.hasOwn(body, key)).flatMap((key): Entry[] => {
        if (isAccount) return [[key, 'NotAllowed', 'Can only be updated by operators']];
        if (image.activated && ['files', 'origin', 'uuid'].includes(key)) {
            return [[key, 'NotAllowed', 'Can only be updated on unactivated images']];
        }
        return key === 'files' ? filesEntries(image, body['files']) : [];
    });
    return [...unknown, ...guarded];
}

function bodyRefusal(body: Value): ExpectedError | undefined {
    if (typeof body !== 'object')
        return validationFailed('missing request body', ['body', 'MissingParameter']);
    if (body === null || (Array.isArray(body) && body.length > 0)) {
        return validationFailed('invalid request body: not a JSON object', ['body', 'Invalid']);
    }
    return Object.keys(body).length === 0
        ? { ...validationFailed('invalid image update data: no parameters provided'), errors: [] }
        : undefined;
}

function channelRefusal(model: Model, image: ModelImage, channels: Value): ExpectedError | undefined {
    if (model.rules.channels === undefined || !Array.isArray(channels)) return undefined;
    if (channels.length === 0) return invalidImage(['channels', 'Invalid']);
    const known = [...model.rules.channels, ...list(image, 'channels')];
    const unknown = (channels as string[]).find((name) => !known.includes(name));
    return unknown === undefined
        ? undefined
        : validationFailed(`unknown channel: ${unknown}`, ['channels', 'Invalid']);
}

function mergedFields(image: ModelImage, body: Fields): Fields {
    const all = Object.entries({ ...image.fields, ...body });
    return Object.fromEntries(all.filter(([key, value]) => key !== 'files' && value !== null));
}

function withDigests(file: ModelFile | undefined, files: Value): { readonly file?: ModelFile } {
    if (file === undefined || files === undefined) return {};
    const { digest, uncompressedDigest } = (files as readonly Partial<ModelFile>[])[0] ?? {};
    return {
        file: {
            ...file,
            ...(digest ? { digest } : {}),
            ...(uncompressedDigest ? { uncompressedDigest } : {}),
        },
    };
}

function updateOutcome(model: Model, image: ModelImage, input: UpdateInput, body: Value): Step['expected'] {
    const odd = bodyRefusal(body);
    if (odd !== undefined) return refused(odd);
    const given = body as Fields;
    const entries = permissionEntries(image, given, accountOf(input.caller) !== undefined);
    if (entries.length > 0) {
        const names = entries.map(([field]) => field).join(', ');
        return refused(validationFailed(`invalid image update data: ${names}`, ...entries));
    }
    const badChannel = channelRefusal(model, image, given['channels']);
    if (badChannel !== undefined) return refused(badChannel);
    const fields = validated(mergedFields(image, given), model.rules);
    if (fields instanceof Refusal) return fields;
    const unknown = unknownOwner(model, fields['owner']);
    if (unknown !== undefined) return unknown;
    const before = String(image.fields['uuid']);
    const uuid = String(fields['uuid']);
    if (uuid !== before && model.images.has(uuid)) return refused(uuidExists(uuid));
    return () => {
        const next = { ...image, fields, ...withDigests(image.file, given['files']) };
        if (uuid !== before) forget(model, before);
        return keep(model, next);
    };
}

type FilesInput = 'none' | 'digests' | 'same size' | 'other size' | 'two';

interface UpdateInput extends ConditionalInput {
    readonly body: Value;
    readonly origin: Pick | null | 'absent';
    readonly uuid: PickOrUuid | 'absent';
    readonly files: FilesInput;
    readonly channels: Value;
}

function filesValue(image: ModelImage, kind: FilesInput): Value {
    const digests = { digest: `sha256:${'ab'.repeat(32)}`, uncompressedDigest: '' };
    const size = image.file?.bytes.length ?? 0;
    return {
        none: undefined,
        digests: [digests],
        'same size': [{ size, uncompressedDigest: 'sha256:cd' }],
        'other size': [{ size: size + 1, ...digests }],
        two: [digests, digests],
    }[kind];
}

/** What is sent: values that depend on the images there are, filled in. */
function updateBody(model: Model, image: ModelImage | Refusal, input: UpdateInput): Value {
    const { body } = input;
    if (typeof body !== 'object' || body === null || Array.isArray(body) || image instanceof Refusal)
        return body;
    const own = String(image.fields['uuid']);
    const origin =
        input.origin === null || input.origin === 'absent' ? input.origin : picked(model, input.origin);
    const files = filesValue(image, input.files);
    const uuid = input.uuid === 'absent' ? undefined : pickedOrNew(model, input.uuid);
    const merged: Record<string, Value> = {
        ...body,
        ...(origin === 'absent' || wouldLoop(model, own, origin) ? {} : { origin }),
        ...(uuid === undefined ? {} : { uuid }),
        ...(files === undefined ? {} : { files }),
        ...(input.channels === undefined ? {} : { channels: input.channels }),
    };
    // A placeholder of a datacenter may do without an owner; nothing else here could go on with one.
    if (merged['owner'] === null && [merged['state'], image.fields['state']].includes('creating')) {
        delete merged['owner'];
    }
    return merged;
}

const rarely = <A, B>(weight: number, usual: A, other: fc.Arbitrary<B>): fc.Arbitrary<A | B> =>
    fc.oneof<fc.WeightedArbitrary<A | B>[]>(
        { weight, arbitrary: fc.constant(usual) },
        { weight: 1, arbitrary: other },
    );

export const updateCommands = commands(
    'update',
    fc.record<UpdateInput>({
        ...target,
        condition: conditions,
        body: fc.oneof({ weight: 30, arbitrary: updateBodies }, { weight: 1, arbitrary: oddBodies }),
        origin: rarely(8, 'absent' as const, fc.oneof(picks, fc.constant(null))),
        uuid: rarely(12, 'absent' as const, fc.oneof<fc.Arbitrary<PickOrUuid>[]>(newUuids, newUuids, picks)),
        files: rarely(12, 'none', fc.constantFrom<FilesInput[]>('digests', 'same size', 'other size', 'two')),
        channels: rarely(
            20,
            undefined,
            fc.constantFrom<Value[]>(['dev'], ['release', 'dev'], ['nope'], [], null, 'dev'),
        ),
    }),
    (model, input) => {
        const uuid = picked(model, input.pick);
        const image = ownImage(model, uuid, input);
        const body = updateBody(model, image, input);
        return conditionalPlan(model, input, 'update', body, (loaded) =>
            updateOutcome(model, loaded, input, body),
        );
    },
);
