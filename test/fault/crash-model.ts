import { randomInt, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Answer, Document, HttpClient } from '../helpers/http-client.js';
import { sha1Hex } from '../helpers/images.js';
import type { ClonesUnderCrashes } from './crash-clones.js';
import {
    BYTES,
    choicesOf,
    importOf,
    moreChoicesOf,
    without,
    type Bytes,
    type Known,
    type Send,
    type Write,
} from './crash-writes.js';

/** A server that may be killed. */
export interface MortalServer {
    readonly client: HttpClient;
    /** False from just before it is killed. */
    readonly isUp: boolean;
}

/** Where an image is kept. */
export interface CrashPlace {
    readonly isPublic: boolean;
    /** Whether what a kill interrupted is settled before the next answer. */
    readonly settlesAtStart: boolean;
    /** The copies that another account makes of the image; absent: none. */
    readonly clones?: ClonesUnderCrashes;
}

/** Uuids of one image that are asked for, at most: the last ones. */
const MAX_UUIDS = 20;

/**
 * One image as its only client sees it. A write that was answered has happened; one that was cut off
 * may have happened or not, but nothing else may.
 */
export class ImageUnderCrashes {
    readonly #place: CrashPlace;
    #uuid: string = randomUUID();
    /** Its uuid, those it may have and those it had. */
    #uuids: readonly string[] = [this.#uuid];
    /** What the image may be; one only, unless a write was cut off. */
    #possible: readonly (Known | undefined)[] = [undefined];
    /** Bytes that may come into a record without them, once an interrupted upload is settled. */
    #floating: Readonly<Record<Bytes, readonly string[]>> = { file: [], icon: [] };
    /** Those bytes of which there must be some in the end, for they were only to be replaced. */
    #returning: readonly Bytes[] = [];
    #count = 0;

    constructor(place: CrashPlace) {
        this.#place = place;
    }

    /** Does one random write; rejects when it is refused or a server that was not killed breaks off. */
    async write(servers: readonly MortalServer[]): Promise<'acknowledged' | 'cut'> {
        if (this.#possible.length > 1) {
            const resolved = await this.#resolve(servers);
            if (resolved === 'cut') return resolved;
        }
        const [before] = this.#possible;
        const write = this.#next(before);
        const first = randomInt(servers.length);
        const answers = await Promise.all(
            write.requests.map((request, index) =>
                send(servers[(first + index) % servers.length] as MortalServer, request),
            ),
        );
        this.#noteUuids(write);
        if (answers.includes('cut')) {
            this.#cut(
                before,
                write,
                answers.every((answer) => answer === 'cut'),
            );
            write.onCut?.();
            return 'cut';
        }
        this.#acknowledged(write, answers.at(-1) as Answer);
        return 'acknowledged';
    }

    /**
     * Compares what a server has with what it may have; resolves to the problems.
     * @param isSettled whether everything that was interrupted must have been settled
     */
    async verify(client: HttpClient, isSettled: boolean): Promise<string[]> {
        const found = await this.#read(client);
        if (typeof found === 'string') return [found];
        const { known } = found;
        if (!this.#possible.some((one) => this.#isLike(one, known))) {
            const allowed = JSON.stringify(this.#possible);
            const floating = JSON.stringify(this.#floating);
            return [`found ${JSON.stringify(known)}, allowed ${allowed} and ${floating}`];
        }
        this.#possible = [known];
        this.#uuid = known?.uuid ?? this.#uuid;
        const { file, icon } = this.#floating;
        const isAbsent = known === undefined;
        this.#returning = this.#returning.filter((bytes) => !isAbsent && known[bytes] === undefined);
        if (isSettled && this.#returning.length > 0) {
            return [`lost ${this.#returning.join(', ')} of ${JSON.stringify(known)}`];
        }
        this.#floating = {
            file: isSettled || isAbsent || known.file !== undefined ? [] : file,
            icon: isSettled || isAbsent || known.icon !== undefined ? [] : icon,
        };
        return (await this.#place.clones?.verify(client, isSettled)) ?? [];
    }

    /** Uuid and name of every file there must be after a verification, and no others. */
    get expectedFiles(): readonly (readonly [uuid: string, name: string])[] {
        const [known] = this.#possible;
        const own = known === undefined ? [] : BYTES.filter((bytes) => known[bytes] !== undefined);
        return [
            ...own.map((bytes) => [this.#uuid, bytes === 'file' ? 'file0' : 'icon'] as const),
            ...(this.#place.clones?.expectedFiles ?? []),
        ];
    }

    async #resolve(servers: readonly MortalServer[]): Promise<'cut' | undefined> {
        const server = servers[randomInt(servers.length)] as MortalServer;
        try {
            const problems = await this.verify(server.client, false);
            if (problems.length > 0) throw new Error(problems.join('\n'));
            return undefined;
        } catch (error) {
            if (server.isUp) throw error;
            return 'cut';
        }
    }

    /** Whether an image that was found is one that it may be. */
    #isLike(one: Known | undefined, found: Known | undefined): boolean {
        if (one === undefined || found === undefined) return one === found;
        let expected = one;
        for (const bytes of BYTES) {
            const sha1 = found[bytes];
            if (one[bytes] === undefined && sha1 !== undefined && this.#floating[bytes].includes(sha1)) {
                expected = { ...expected, [bytes]: sha1 };
            }
        }
        return isDeepStrictEqual(expected, found);
    }

    #noteUuids({ after }: Write): void {
        const uuids = after.map((known) => known?.uuid ?? this.#uuid);
        this.#uuids = [...new Set([...uuids, this.#uuid, ...this.#uuids])].slice(0, MAX_UUIDS);
    }

    #acknowledged({ after, replaces, onAcknowledged }: Write, answer: Answer): void {
        const [known] = after;
        this.#possible = after;
        if (known === undefined) this.#floating = { file: [], icon: [] };
        else if (replaces !== undefined) this.#floating = { ...this.#floating, [replaces]: [] };
        this.#returning = this.#returning.filter((bytes) => known?.[bytes] === undefined);
        this.#forgetIfMoved(after);
        this.#uuid = known?.uuid ?? this.#uuid;
        onAcknowledged?.(answer.status === 204 ? undefined : answer.document);
    }

    /** What an upload has left half done under the old uuid is not brought to the new one. */
    #forgetIfMoved(after: Write['after']): void {
        if (after.some((known) => known !== undefined && known.uuid !== this.#uuid)) this.#returning = [];
    }

    /** @param isAll whether no request was acknowledged */
    #cut(before: Known | undefined, { after, replaces }: Write, isAll: boolean): void {
        const possible = [...(isAll ? [before] : []), ...after];
        this.#forgetIfMoved(after);
        if (replaces === undefined || before === undefined || this.#place.settlesAtStart) {
            this.#possible = possible;
            return;
        }
        if (!isAll || before[replaces] !== undefined) this.#returning = [...this.#returning, replaces];
        const floating = possible.flatMap((known) => known?.[replaces] ?? []);
        this.#possible = [...possible, without(before, replaces)];
        this.#floating = {
            ...this.#floating,
            // The old ones may still float from an upload that was interrupted earlier.
            [replaces]: [...(isAll ? this.#floating[replaces] : []), ...floating],
        };
    }

    /** The image under the one uuid it has; a text tells what is wrong. */
    async #read(client: HttpClient): Promise<{ readonly known: Known | undefined } | string> {
        const found: Known[] = [];
        for (const uuid of this.#uuids) {
            const known = await readImage(client, uuid);
            if (typeof known === 'string') return known;
            if (known !== undefined) found.push(known);
        }
        if (found.length > 1) return `found twice: ${JSON.stringify(found)}`;
        return { known: found[0] };
    }

    #next(known: Known | undefined): Write {
        this.#count += 1;
        const description = `d${this.#count}`;
        const { clones, isPublic } = this.#place;
        if (known === undefined) {
            const origin = clones !== undefined && randomInt(2) === 0 ? clones.base.uuid : undefined;
            const facts = { description, isPublic, ...(origin === undefined ? {} : { origin }) };
            return importOf(this.#uuid, facts);
        }
        const choices = choicesOf(known, description);
        if (clones !== undefined) choices.push(...moreChoicesOf(known), ...clones.choicesOf(known));
        return (choices[randomInt(choices.length)] as () => Write)();
    }
}

/** Sends a request; `cut` when the server was killed meanwhile. @throws Error for every other failure */
async function send(server: MortalServer, request: Send): Promise<Answer | 'cut'> {
    const { method, path, json, body, contentType } = request;
    let answer: Answer;
    try {
        answer = await server.client.request(method, path, {
            ...(json === undefined ? {} : { json }),
            ...(body === undefined ? {} : { body }),
            ...(contentType === undefined ? {} : { headers: { 'content-type': contentType } }),
        });
    } catch (error) {
        if (server.isUp) throw error;
        return 'cut';
    }
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer;
}

/** Reads an image with its bytes; a text tells that they are not what the record says. */
async function readImage(client: HttpClient, uuid: string): Promise<Known | undefined | string> {
    const answer = await client.get(`/images/${uuid}`);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) return `${uuid}: ${answer.status} ${answer.text}`;
    const { description, acl, origin, files, icon, state } = answer.document;
    const file = (files as readonly Document[])[0]?.['sha1'] as string | undefined;
    if (file !== undefined) {
        const { status, body } = await client.get(`/images/${uuid}/file`);
        if (status !== 200 || sha1Hex(body) !== file) return `${uuid}: its file is not the one recorded`;
    }
    let iconHash: string | undefined;
    if (icon === true) {
        const got = await client.get(`/images/${uuid}/icon`);
        iconHash = sha1Hex(got.body);
        if (got.status !== 200 || iconHash !== got.header('etag')) {
            return `${uuid}: its icon is not the one recorded`;
        }
    }
    return {
        uuid,
        description: String(description),
        acl: (acl as readonly string[] | undefined) ?? [],
        ...(origin === undefined ? {} : { origin: origin as string }),
        ...(file === undefined ? {} : { file }),
        ...(iconHash === undefined ? {} : { icon: iconHash }),
        activated: state === 'active',
    };
}
