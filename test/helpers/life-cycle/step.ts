import assert from 'node:assert/strict';
import type { Readable } from 'node:stream';
import fc from 'fast-check';
import type { Answer, HttpClient } from '../http-client.js';
import type { ExpectedError } from '../rows.js';
import { UNKNOWN } from '../images.js';
import {
    accountOf,
    type Caller,
    documentOf,
    type Model,
    type ModelImage,
    Refusal,
    tagOf,
    uuidOf,
} from './model.js';
import type { Pick, PickOrUuid } from './values.js';

/** The servers under test: they have one set of images, and any of them may be asked. */
export interface World {
    readonly clients: readonly HttpClient[];
    /** Answers so far, by command and status or error code. */
    readonly outcomes: Map<string, number>;
}

/** The request of a command. */
export interface StepRequest {
    readonly method: string;
    readonly path: string;
    readonly json?: unknown;
    readonly body?: Buffer | Readable;
    readonly headers?: Readonly<Record<string, string>>;
}

/** A request, and what must come of it. */
export interface Step extends StepRequest {
    /**
     * The refusal; or what a success makes of the model, given the answer. It gives the image whose
     * document the answer must be, or has compared the answer itself.
     */
    readonly expected:
        | Refusal
        | ((
              answer: Answer,
              sentAt: number,
              client: HttpClient,
          ) => ModelImage | undefined | Promise<ModelImage | undefined>);
    /** False: the answer is in another form, or has no entity tag. */
    readonly tagged?: boolean;
}

export const NEWEST = { 'accept-version': '~2' };

/** Compares an error byte for byte. */
function expectRefusal(answer: Answer, { status, code, message, errors }: ExpectedError): void {
    const entries = errors?.map(([field, entryCode, text]) => ({
        field,
        code: entryCode,
        ...(text === undefined ? {} : { message: text }),
    }));
    assert.deepEqual(
        { status: answer.status, body: answer.json },
        { status, body: { code, message, ...(entries === undefined ? {} : { errors: entries }) } },
    );
}

/** Compares a document with the model's, key order and entity tag included. */
export function expectDocument(answer: Answer, image: ModelImage, tagged = true, withStorage = false): void {
    const expected = documentOf(image, withStorage);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(JSON.stringify(answer.json), JSON.stringify(expected));
    assert.equal(answer.header('etag'), tagged ? tagOf(expected) : undefined);
}

/** Which of the servers a command asks; each command draws it, so that it is part of a counterexample. */
const SERVERS = fc.nat(1);

class Command<Input> implements fc.AsyncCommand<Model, World> {
    readonly #name: string;
    readonly #input: Input;
    readonly #server: number;
    readonly #plan: (model: Model, input: Input) => Step;

    constructor(name: string, input: Input, server: number, plan: (model: Model, input: Input) => Step) {
        this.#name = name;
        this.#input = input;
        this.#server = server;
        this.#plan = plan;
    }

    check(): boolean {
        return true;
    }

    async run(model: Model, world: World): Promise<void> {
        const { method, path, expected, tagged, ...rest } = this.#plan(model, this.#input);
        const client = (turn: number): HttpClient => {
            const chosen = world.clients[(this.#server + turn) % world.clients.length];
            if (chosen === undefined) throw new Error('no servers');
            return chosen;
        };
        const sentAt = Date.now();
        const answer = await client(0).request(method, path, {
            ...rest,
            headers: { ...NEWEST, ...rest.headers },
        });
        const result = expected instanceof Refusal ? expected.error.code : answer.status;
        const outcome = `${this.#name} ${result}`;
        world.outcomes.set(outcome, (world.outcomes.get(outcome) ?? 0) + 1);
        if (expected instanceof Refusal) {
            expectRefusal(answer, expected.error);
            return;
        }
        assert.ok(answer.status < 400, `${method} ${path}: ${answer.status} ${answer.text}`);
        const image = await expected(answer, sentAt, client(0));
        if (image === undefined) return;
        expectDocument(answer, image, tagged);
        // Whoever is asked next knows it, and in the same words.
        expectDocument(
            await client(1).get(`/images/${uuidOf(image)}${anyChannel(model)}`, { headers: NEWEST }),
            image,
        );
    }

    toString(): string {
        return `${this.#name}@${this.#server}(${JSON.stringify(this.#input)})`;
    }
}

/** The query that sees images of all channels. */
export function anyChannel(model: Model): string {
    return model.rules.channels === undefined ? '' : '?channel=*';
}

/** One command. */
export function command<Input>(
    name: string,
    input: Input,
    server: number,
    plan: (model: Model, input: Input) => Step,
): fc.AsyncCommand<Model, World> {
    return new Command(name, input, server, plan);
}

/** Makes commands of one kind: what they draw, and the request and the outcome that follow from it. */
export function commands<Input>(
    name: string,
    inputs: fc.Arbitrary<Input>,
    plan: (model: Model, input: Input) => Step,
): fc.Arbitrary<fc.AsyncCommand<Model, World>> {
    return fc.tuple(inputs, SERVERS).map(([input, server]) => command(name, input, server, plan));
}

/** The uuid a command is about. */
export function picked(model: Model, pick: Pick): string {
    const there = [...model.images.keys()];
    if (typeof pick === 'number' && there.length > 0) return there[pick % there.length] ?? UNKNOWN;
    return pick === 'former' ? ([...model.former][0] ?? UNKNOWN) : UNKNOWN;
}

/** As {@link picked}, of a uuid that may be new. */
export function pickedOrNew(model: Model, pick: PickOrUuid): string {
    return typeof pick === 'object' ? pick.uuid : picked(model, pick);
}

/** A query string with the caller's account; parameters without a value are left out. */
export function query(caller: Caller, parameters: Readonly<Record<string, string | undefined>> = {}): string {
    const given = Object.entries({ account: accountOf(caller), ...parameters }).filter(
        (entry): entry is [string, string] => entry[1] !== undefined,
    );
    return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

/** The `channel` parameter of a request; servers without channels ignore it. */
export const channelNames = fc.oneof(
    { weight: 36, arbitrary: fc.constant<string | undefined>(undefined) },
    { weight: 8, arbitrary: fc.constantFrom('dev', 'release', '*') },
    { weight: 1, arbitrary: fc.constant('nope') },
);
