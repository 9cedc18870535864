import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Answer } from '../http-client.js';
import { notBoolean } from '../rows.js';
import { ownImage } from './change-commands.js';
import {
    type Caller,
    dependentsOf,
    forget,
    keep,
    list,
    type Model,
    type ModelImage,
    Refusal,
    refused,
    selectChannel,
    uuidOf,
} from './model.js';
import { channelNames, commands, picked, query, type Step } from './step.js';
import { callers, type Pick, picks } from './values.js';

/** The refusal of a deletion, as the specification words it (http-api 1.10). */
export function hasDependents(uuid: string, dependents: readonly string[]): Refusal {
    const count = dependents.length;
    const names =
        count < 10 ? dependents.join(', ') : `${dependents.slice(0, 5).join(', ')}, and ${count - 5} more...`;
    const message = `image "${uuid}" has ${count} dependent incremental image(s): ${names}`;
    return refused({ status: 422, code: 'ImageHasDependentImages', message });
}

interface DeleteInput {
    readonly pick: Pick;
    readonly caller: Caller;
    readonly channel: string | undefined;
    readonly force: string | undefined;
}

/** The channel an image would only be taken out of; `undefined`: it would be deleted. */
function leavesChannel(model: Model, image: ModelImage, { channel, force }: DeleteInput): string | undefined {
    const selected = selectChannel(model, channel);
    if (typeof selected !== 'string' || force === 'true') return undefined;
    return list(image, 'channels').some((name) => name !== selected) ? selected : undefined;
}

function outcome(model: Model, image: ModelImage, input: DeleteInput): Step['expected'] {
    const { force } = input;
    if (force !== undefined && force !== 'true' && force !== 'false') {
        return refused(notBoolean('force_all_channels', force));
    }
    const uuid = uuidOf(image);
    const channel = leavesChannel(model, image, input);
    const dependents = dependentsOf(model, uuid, channel);
    if (dependents.length > 0) return hasDependents(uuid, dependents);
    return (answer: Answer) => {
        assert.equal(answer.status, 204);
        assert.equal(answer.body.length, 0);
        if (channel === undefined) {
            forget(model, uuid);
        } else {
            const channels = list(image, 'channels').filter((name) => name !== channel);
            keep(model, { ...image, fields: { ...image.fields, channels } });
        }
        return undefined;
    };
}

export const deleteCommands = commands(
    'delete',
    fc.record<DeleteInput>({
        pick: picks,
        caller: callers,
        channel: channelNames,
        force: fc.oneof(
            { weight: 10, arbitrary: fc.constant<string | undefined>(undefined) },
            { weight: 3, arbitrary: fc.constantFrom('true', 'false') },
            { weight: 1, arbitrary: fc.constantFrom('', 'yes') },
        ),
    }),
    (model, input) => {
        const uuid = picked(model, input.pick);
        const image = ownImage(model, uuid, input);
        return {
            method: 'DELETE',
            path: `/images/${uuid}${query(input.caller, { channel: input.channel, force_all_channels: input.force })}`,
            expected: image instanceof Refusal ? image : outcome(model, image, input),
        };
    },
);
