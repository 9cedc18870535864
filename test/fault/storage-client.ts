import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, HttpClient, RequestOptions } from '../helpers/http-client.js';
import { sha1Hex } from '../helpers/images.js';
import type { OutageFigures, Touched } from './outage-figures.js';
import {
    choicesOf,
    fit,
    importOf,
    keyOf,
    type Known,
    type Slot,
    SLOTS,
    type Stored,
    touches,
    uploadOf,
    type Write,
} from './storage-states.js';

/** How long a client waits before it asks again, milliseconds. */
const PATIENCE_MS = 20;
/** What an image may be, at most: each failed upload adds something. */
const MAX_POSSIBLE = 8;

/** Tells whether an answer is the documented one for a storage that is away. */
function isUnavailable(answer: Answer): boolean {
    if (answer.status !== 503) return false;
    const { code, message } = answer.error;
    return code === 'StorageIsDown' && message === 'storage is down at the moment';
}

/** A body that broke off behind its headers. */
function isCut(error: unknown): boolean {
    return error instanceof Error && error.message === 'aborted';
}

/** One image and its only client. */
export class StorageClient {
    readonly uuid = randomUUID();
    /** May be replaced when the server was started again. */
    server: HttpClient;
    readonly #stors: readonly Touched[];
    readonly #figures: OutageFigures;
    /** What the image may be; one only, unless a write was not acknowledged. */
    #possible: readonly Known[] = [undefined];
    /** Bytes that the record may not name although the image has some: their replacement failed. */
    #mayLack: ReadonlySet<Slot> = new Set();

    /** @param stors where it keeps bytes; it moves them if there are several */
    constructor(server: HttpClient, stors: readonly Touched[], figures: OutageFigures) {
        this.server = server;
        this.#stors = stors;
        this.#figures = figures;
    }

    /** Does something, now a read, now a write. */
    async step(): Promise<void> {
        if (this.#possible.length === 1 && this.#mayLack.size === 0) await this.#useKnown();
        else if (!(await this.resolve())) await this.#useUnknown();
    }

    /** What the image is, see {@link resolve}. */
    get known(): Known {
        return this.#possible[0];
    }

    /** The objects or files that there must be for the image in a storage. */
    namesIn(stor: Touched): readonly string[] {
        return SLOTS.filter((slot) => this.known?.[slot]?.stor === stor).map((slot) =>
            slot === 'file' ? 'file0' : slot,
        );
    }

    /** Finds out what the image is: it must be something it may be. False: that cannot be told yet. */
    async resolve(): Promise<boolean> {
        const answer = await this.#send('local', false, 'GET', `/images/${this.uuid}?inclAdminFields=true`);
        if (answer === undefined) return false;
        if (answer.status !== 200 && answer.status !== 404) {
            this.#problem(`GET ${this.uuid}: ${answer.status} ${answer.text}`);
            return false;
        }
        const found = answer.status === 404 ? undefined : answer.document;
        const whole = this.#possible.filter((one) => fit(one, found, this.#mayLack) === 'whole');
        if (whole.length === 0) {
            const isLacking = this.#possible.some((one) => fit(one, found, this.#mayLack) === 'lacking');
            if (!isLacking)
                this.#problem(`found ${answer.text}, not of ${this.#possible.map(keyOf).join('; ')}`);
            return false;
        }
        return this.#resolveIcon(whole);
    }

    /** Reads all bytes of an image that is known; they must be the right ones. False: they cannot be read. */
    async readAll(): Promise<boolean> {
        for (const slot of SLOTS) {
            const stored = this.known?.[slot];
            if (stored !== undefined && !(await this.#read(slot, stored))) return false;
        }
        return true;
    }

    /** What a record says of an icon is only that there is one. */
    async #resolveIcon(whole: readonly Known[]): Promise<boolean> {
        const icons = whole.flatMap((one) => one?.icon ?? []);
        let possible = whole;
        if (new Set(icons.map(({ sha1 }) => sha1)).size > 1) {
            const stor = icons.some((icon) => icon.stor === 'manta') ? 'manta' : 'local';
            const answer = await this.#send(stor, false, 'GET', `/images/${this.uuid}/icon`);
            if (answer === undefined) return false;
            const sha1 = sha1Hex(answer.body);
            possible = whole.filter((one) => one?.icon?.sha1 === sha1);
            if (possible.length === 0)
                this.#problem(`icon ${answer.status} ${sha1} of ${icons.map((one) => one.sha1).join()}`);
        }
        this.#possible = possible.slice(0, 1);
        this.#mayLack = new Set();
        return true;
    }

    async #useKnown(): Promise<void> {
        const { known } = this;
        const slots = SLOTS.filter((slot) => known?.[slot] !== undefined);
        const slot = slots[randomInt(slots.length + 1)];
        const stored = slot && known?.[slot];
        if (stored !== undefined) {
            await this.#read(slot as Slot, stored);
            return;
        }
        const choices = known === undefined ? [] : choicesOf(this.uuid, known, this.#stors);
        const choice = choices[randomInt(Math.max(1, choices.length))];
        await this.#write(choice?.() ?? importOf(this.uuid));
    }

    /** Nothing but uploads, which do not depend on what is there, and only so many. */
    async #useUnknown(): Promise<void> {
        const stor = this.#stors[randomInt(this.#stors.length)] ?? 'local';
        const isThere = this.#possible.every((one) => one !== undefined);
        if (isThere && this.#possible.length < MAX_POSSIBLE && randomInt(3) === 0) {
            await this.#write(uploadOf(this.uuid, this.#mayLack.has('icon') ? 'icon' : 'file', stor));
        } else await pause(PATIENCE_MS);
    }

    async #read(slot: Slot, { body, stor }: Stored): Promise<boolean> {
        const path = `/images/${this.uuid}/${slot}`;
        const start = randomInt(body.length);
        const end = randomInt(start, body.length);
        const isRange = randomInt(2) === 0;
        const headers = isRange ? { range: `bytes=${start}-${end}` } : {};
        const answer = await this.#send(stor, false, 'GET', path, { headers });
        if (answer === undefined) return false;
        const expected = isRange ? body.subarray(start, end + 1) : body;
        if (answer.status !== (isRange ? 206 : 200) || !answer.body.equals(expected)) {
            const facts = `${answer.status}, ${answer.body.length} bytes instead of ${expected.length}`;
            this.#problem(`${slot} in ${stor}: ${facts}: ${answer.status >= 400 ? answer.text : ''}`);
        }
        return true;
    }

    async #write(write: Write): Promise<void> {
        const { method, path, json, body, contentType, after, replaces, stor } = write;
        const isManta = stor === 'manta' || this.#possible.some((one) => touches(one) === 'manta');
        const answer = await this.#send(isManta ? 'manta' : 'local', true, method, path, {
            ...(json === undefined ? {} : { json }),
            ...(body === undefined ? {} : { body }),
            ...(contentType === undefined ? {} : { headers: { 'content-type': contentType } }),
        });
        const before = this.#possible;
        const done = before.map((one) => after(one));
        if (answer !== undefined && answer.status >= 300) {
            this.#problem(
                `${method} ${path} of ${before.map(keyOf).join('; ')}: ${answer.status} ${answer.text}`,
            );
        }
        const possible = answer === undefined ? [...before, ...done] : done;
        this.#possible = [...new Map(possible.map((one) => [keyOf(one), one])).values()];
        if (this.#possible.every((one) => one === undefined)) this.#mayLack = new Set();
        if (replaces === undefined) return;
        const others = [...this.#mayLack].filter((slot) => slot !== replaces);
        this.#mayLack = new Set(answer === undefined ? [...others, replaces] : others);
    }

    /** An answer; `undefined`: the storage is away, which only Manta may be. */
    async #send(
        touched: Touched,
        isWrite: boolean,
        method: string,
        path: string,
        options: RequestOptions = {},
    ): Promise<Answer | undefined> {
        const ended = this.#figures.watch(touched, isWrite);
        let answer: Answer;
        try {
            answer = await this.server.request(method, path, options);
        } catch (error) {
            const isAllowed = touched === 'manta' && method === 'GET' && isCut(error);
            if (!isAllowed) this.#problem(`${method} ${path}: ${String(error)}`);
            ended('cut');
            return undefined;
        }
        if (touched === 'manta' && isUnavailable(answer)) {
            ended('unavailable');
            await pause(PATIENCE_MS);
            return undefined;
        }
        ended('ok');
        return answer;
    }

    #problem(text: string): void {
        this.#figures.problems.push(`${this.uuid} ${this.#stors.join('+')}: ${text}`);
    }
}
