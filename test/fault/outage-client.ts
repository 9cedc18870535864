import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, Document, HttpClient } from '../helpers/http-client.js';
import { manifest, PNG, sha1Hex } from '../helpers/images.js';

/** An image as its only client knows it; `undefined`: there is none. */
export type Known =
    | {
          readonly description: string;
          readonly acl: readonly string[];
          readonly file?: string;
          readonly icon: boolean;
          readonly activated: boolean;
      }
    | undefined;

/** A write, and what must come of it. */
interface Write {
    readonly method: string;
    readonly path: string;
    readonly json?: unknown;
    readonly body?: Buffer;
    readonly contentType?: string;
    /** What the image is once it has happened. */
    readonly after: Known;
    /** What else the image may be found to be when it was not acknowledged. */
    readonly between?: Known;
    /** The code it is refused with instead. */
    readonly refusal?: string;
}

/** What the clients of a run have seen. */
export class Sightings {
    acknowledged = 0;
    unavailable = 0;
    slowest = 0;
    readonly problems: string[] = [];
}

/** How long a client waits before it asks again, milliseconds. */
const PATIENCE_MS = 20;
const same = (a: Known, b: Known): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Tells whether an answer is the documented one for a database that cannot be reached. */
function isUnavailable(answer: Answer): boolean {
    if (answer.status !== 503) return false;
    const { code, message } = answer.error;
    const isDocumented = code === 'ServiceUnavailableError' && message === 'service unavailable';
    return isDocumented && answer.header('retry-after') === '5';
}

/** One image and its only client, who asks one of several servers at a time. */
export class OutageClient {
    readonly uuid = randomUUID();
    readonly #name: string;
    readonly #servers: readonly HttpClient[];
    readonly #sightings: Sightings;
    /** What the image may be; one only, unless a write was not acknowledged. */
    #possible: readonly Known[] = [undefined];
    #count = 0;

    constructor(name: string, servers: readonly HttpClient[], sightings: Sightings) {
        this.#name = name;
        this.#servers = servers;
        this.#sightings = sightings;
    }

    /** What the image is; call it after {@link OutageClient.resolve}. */
    get known(): Known {
        return this.#possible[0];
    }

    /** Does something, now a read, now a write. */
    async step(): Promise<void> {
        if (this.#possible.length > 1) await this.resolve();
        else if (randomInt(4) === 0) await this.#list();
        else await this.#write();
    }

    /** Looks at the image: it must be something it may be, and have the bytes it says. True: it was seen. */
    async resolve(): Promise<boolean> {
        const answer = await this.#ask('GET', `/images/${this.uuid}`);
        if (answer === undefined) return false;
        const found = answer.status === 404 ? undefined : this.#knownFrom(answer.document);
        if (!this.#possible.some((one) => same(one, found))) {
            this.#problem(`found ${JSON.stringify(found)}, not of ${JSON.stringify(this.#possible)}`);
        }
        this.#possible = [found];
        return found?.file === undefined || this.#sameBytes('file', found.file);
    }

    async #sameBytes(kind: string, sha1: string): Promise<boolean> {
        const answer = await this.#ask('GET', `/images/${this.uuid}/${kind}`);
        if (answer === undefined) return false;
        if (answer.status !== 200 || sha1Hex(answer.body) !== sha1) {
            this.#problem(`${kind} ${answer.status} ${sha1Hex(answer.body)} instead of ${sha1}`);
        }
        return true;
    }

    #knownFrom(document: Document): Known {
        const [file] = document['files'] as readonly Document[];
        return {
            description: String(document['description']),
            acl: (document['acl'] ?? []) as readonly string[],
            ...(file === undefined ? {} : { file: String(file['sha1']) }),
            icon: document['icon'] === true,
            activated: document['state'] === 'active',
        };
    }

    async #list(): Promise<void> {
        const answer = await this.#ask('GET', `/images?state=all&name=${this.#name}`);
        if (answer === undefined) return;
        const found = answer.list[0] === undefined ? undefined : this.#knownFrom(answer.list[0]);
        if (answer.list.length > 1 || !same(found, this.known)) {
            this.#problem(`listed ${answer.text}, known ${JSON.stringify(this.known)}`);
        }
    }

    async #write(): Promise<void> {
        const before = this.known;
        const write = this.#next(before);
        const answer = await this.#ask(write.method, write.path, write);
        if (answer === undefined) {
            const between = write.between === undefined ? [] : [write.between];
            this.#possible = [before, write.after, ...between];
            return;
        }
        if (write.refusal !== undefined) {
            if (answer.status < 400 || answer.error.code !== write.refusal) this.#unexpected(write, answer);
            return;
        }
        if (answer.status >= 300) {
            this.#unexpected(write, answer);
            return;
        }
        this.#sightings.acknowledged += 1;
        this.#possible = [write.after];
        if (answer.status === 200 && !same(this.#knownFrom(answer.document), write.after)) {
            this.#unexpected(write, answer);
        }
    }

    #unexpected(write: Write, answer: Answer): void {
        const { method, path } = write;
        this.#problem(`${method} ${path} of ${JSON.stringify(this.known)}: ${answer.status} ${answer.text}`);
    }

    #problem(text: string): void {
        this.#sightings.problems.push(`${this.uuid}: ${text}`);
    }

    /** An answer; `undefined`: the database cannot be reached. */
    async #ask(method: string, path: string, write?: Write): Promise<Answer | undefined> {
        const server = this.#servers[randomInt(this.#servers.length)];
        if (server === undefined) throw new Error('no servers');
        const began = performance.now();
        const answer = await server.request(method, path, {
            ...(write?.json === undefined ? {} : { json: write.json }),
            ...(write?.body === undefined ? {} : { body: write.body }),
            ...(write?.contentType === undefined ? {} : { headers: { 'content-type': write.contentType } }),
        });
        this.#sightings.slowest = Math.max(this.#sightings.slowest, performance.now() - began);
        if (isUnavailable(answer)) {
            this.#sightings.unavailable += 1;
            await pause(PATIENCE_MS);
            return undefined;
        }
        if (answer.status >= 500) this.#problem(`${method} ${path}: ${answer.status} ${answer.text}`);
        return answer;
    }

    #next(before: Known): Write {
        this.#count += 1;
        const description = `${this.#name} ${this.#count}`;
        const path = `/images/${this.uuid}`;
        if (before === undefined) {
            const body = manifest({ uuid: this.uuid, name: this.#name, description });
            const after = { description, acl: [], icon: false, activated: false };
            return { method: 'POST', path: `${path}?action=import`, json: body, after };
        }
        const draw = randomInt(10);
        if (draw === 0) return { method: 'DELETE', path, after: undefined };
        if (draw < 4) return this.#upload(before, path);
        if (draw === 4) return this.#activate(before, path);
        if (draw === 5) return this.#icon(before, path);
        if (draw < 8) {
            const account = randomUUID();
            const after = { ...before, acl: [...before.acl, account] };
            return { method: 'POST', path: `${path}/acl`, json: [account], after };
        }
        return {
            method: 'POST',
            path: `${path}?action=update`,
            json: { description },
            after: { ...before, description },
        };
    }

    #upload(before: NonNullable<Known>, path: string): Write {
        const body = Buffer.from(`${this.uuid} ${this.#count}`.repeat(randomInt(1, 200)));
        const { description, acl, icon, activated } = before;
        return {
            method: 'PUT',
            path: `${path}/file?compression=none`,
            body,
            after: this.#ordered({ ...before, file: sha1Hex(body) }),
            // The record names no bytes while others take their place.
            ...(before.file === undefined ? {} : { between: { description, acl, icon, activated } }),
            ...(before.activated ? { refusal: 'ImageFilesImmutable', after: before } : {}),
        };
    }

    /** With the keys in the order in which they are read. */
    #ordered({ description, acl, file, icon, activated }: NonNullable<Known>): Known {
        return { description, acl, ...(file === undefined ? {} : { file }), icon, activated };
    }

    #activate(before: NonNullable<Known>, path: string): Write {
        const refusal = before.activated ? 'ImageAlreadyActivated' : 'NoActivationNoFile';
        const isRefused = before.activated || before.file === undefined;
        return {
            method: 'POST',
            path: `${path}?action=activate`,
            json: {},
            after: isRefused ? before : { ...before, activated: true },
            ...(isRefused ? { refusal } : {}),
        };
    }

    #icon(before: NonNullable<Known>, path: string): Write {
        return before.icon
            ? { method: 'DELETE', path: `${path}/icon`, after: { ...before, icon: false } }
            : {
                  method: 'PUT',
                  path: `${path}/icon`,
                  body: PNG,
                  contentType: 'image/png',
                  after: { ...before, icon: true },
              };
    }

    /** Files that must be on disk, and no others. */
    get files(): readonly string[] {
        return [
            ...(this.known?.file === undefined ? [] : ['file0']),
            ...(this.known?.icon === true ? ['icon'] : []),
        ];
    }
}
