import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Answer } from '../http-client.js';
import { notBoolean, notFound } from '../rows.js';
import {
    byteHeaders,
    type Caller,
    documentOf,
    load,
    type Model,
    type ModelImage,
    Refusal,
    refused,
    selectChannel,
    tagOf,
} from './model.js';
import { channelNames, commands, expectDocument, picked, query, type Step } from './step.js';
import { callers, type Pick, picks } from './values.js';

interface ReadInput {
    readonly pick: Pick;
    readonly caller: Caller;
    readonly channel: string | undefined;
}

const read = { pick: picks, caller: callers, channel: channelNames };

function visibleImage(model: Model, uuid: string, { caller, channel }: ReadInput): ModelImage | Refusal {
    const selected = selectChannel(model, channel, true);
    return selected instanceof Refusal ? selected : load(model, uuid, caller, selected);
}

/** The refusal of `inclAdminFields`, if there is one (http-api 1.12 ADMINF); nobody here signs. */
export function adminRefusal(model: Model, given: string | undefined): Refusal | undefined {
    if (given === undefined || given === 'false') return undefined;
    if (given !== 'true') return refused(notBoolean('inclAdminFields', given));
    const message = 'Unauthorized (auth required to use "inclAdminFields" parameter)';
    return model.rules.mode === 'dc'
        ? undefined
        : refused({ status: 401, code: 'UnauthorizedError', message });
}

export const adminFields = fc.oneof(
    { weight: 8, arbitrary: fc.constant<string | undefined>(undefined) },
    { weight: 2, arbitrary: fc.constantFrom('true', 'false') },
    { weight: 1, arbitrary: fc.constantFrom('', 'yes') },
);

export const getCommands = commands(
    'get',
    fc.record<
        ReadInput & { readonly admin: string | undefined; readonly method: string; readonly fresh: boolean }
    >({
        ...read,
        admin: adminFields,
        method: fc.constantFrom('GET', 'GET', 'HEAD'),
        fresh: fc.boolean(),
    }),
    (model, input): Step => {
        const uuid = picked(model, input.pick);
        const found = visibleImage(model, uuid, input);
        const image = found instanceof Refusal ? found : (adminRefusal(model, input.admin) ?? found);
        const document = image instanceof Refusal ? {} : documentOf(image, input.admin === 'true');
        const isHead = input.method === 'HEAD' && !(image instanceof Refusal);
        return {
            method: isHead ? 'HEAD' : 'GET',
            path: `/images/${uuid}${query(input.caller, { channel: input.channel, inclAdminFields: input.admin })}`,
            ...(isHead ? { headers: { 'if-none-match': input.fresh ? tagOf(document) : 'abcdef' } } : {}),
            expected:
                image instanceof Refusal
                    ? image
                    : (answer) => {
                          if (isHead) {
                              assert.equal(answer.status, input.fresh ? 304 : 200);
                              assert.equal(answer.header('etag'), tagOf(document));
                          } else {
                              expectDocument(answer, image, true, input.admin === 'true');
                          }
                          return undefined;
                      },
        };
    },
);

/** Compares stored bytes, or a part of them. */
export function expectBytes(
    answer: Answer,
    bytes: Buffer,
    contentType: string,
    range?: readonly [number, number],
): void {
    const [from, to] = range ?? [0, bytes.length - 1];
    const { 'content-md5': md5, ...others } = byteHeaders(bytes, contentType);
    const headers = range === undefined ? { ...others, 'content-md5': md5 } : others;
    assert.equal(answer.status, range === undefined ? 200 : 206);
    for (const [name, value] of Object.entries(headers)) assert.equal(answer.header(name), value, name);
    assert.equal(answer.header('content-length'), String(to - from + 1));
    assert.ok(!Number.isNaN(Date.parse(answer.header('last-modified') ?? '')), 'Last-Modified is a date');
    assert.ok(answer.body.equals(bytes.subarray(from, to + 1)), 'the bytes');
}

function bytesPlan(
    model: Model,
    input: ReadInput & { readonly range: boolean },
    kind: 'file' | 'icon',
): Step {
    const uuid = picked(model, input.pick);
    const image = visibleImage(model, uuid, input);
    const stored = image instanceof Refusal ? undefined : image[kind];
    const contentType = image instanceof Refusal || kind === 'file' ? undefined : image.icon?.contentType;
    const range = input.range && stored !== undefined ? ([1, stored.bytes.length - 1] as const) : undefined;
    const missing = refused(notFound(`image "${uuid}" has no ${kind}`));
    return {
        method: 'GET',
        path: `/images/${uuid}/${kind}${query(input.caller, { channel: input.channel })}`,
        ...(range === undefined ? {} : { headers: { range: 'bytes=1-' } }),
        expected:
            image instanceof Refusal
                ? image
                : stored === undefined
                  ? missing
                  : (answer) => {
                        expectBytes(answer, stored.bytes, contentType ?? 'application/octet-stream', range);
                        return undefined;
                    },
    };
}

const byteReads = fc.record<ReadInput & { readonly range: boolean }>({ ...read, range: fc.boolean() });
export const getFileCommands = commands('get-file', byteReads, (model, input) =>
    bytesPlan(model, input, 'file'),
);
export const getIconCommands = commands('get-icon', byteReads, (model, input) =>
    bytesPlan(model, input, 'icon'),
);
