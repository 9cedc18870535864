import { randomUUID } from 'node:crypto';
import type { Document, HttpClient } from '../helpers/http-client.js';
import { sha1Hex } from '../helpers/images.js';
import type { Choice, Known, Write } from './crash-writes.js';

/** An image that clones are made of, or a clone. */
export interface Copied {
    readonly uuid: string;
    /** Hash of its file. */
    readonly file: string;
    readonly origin?: string;
}

/** More clones than these are not made before some are deleted. */
const MAX_CLONES = 6;

/** The clones of one account, as its only client sees them. */
export class ClonesUnderCrashes {
    readonly account: string = randomUUID();
    /** The origin that some of the cloned images have, and which is copied with them. */
    readonly base: Copied;
    readonly #known = new Map<string, Copied>();
    /** Clones whose deletion was cut off. */
    readonly #doubtful = new Set<string>();
    /** Files of the clones that may have been made by requests that were cut off. */
    #maybe: readonly string[] = [];

    constructor(base: Copied) {
        this.base = base;
    }

    /** What can be done with an image and its clones; the image must stay as it is, but for its ACL. */
    choicesOf(known: Known): Choice[] {
        const choices: Choice[] = [];
        const { file } = known;
        const isShared = known.acl.includes(this.account);
        if (!isShared) {
            const path = `/images/${known.uuid}/acl`;
            choices.push(() => ({
                requests: [{ method: 'POST', path, json: [this.account] }],
                after: [{ ...known, acl: [...known.acl, this.account] }],
            }));
        }
        if (isShared && known.activated && file !== undefined && this.#known.size < MAX_CLONES) {
            for (const unshare of [true, false]) choices.push(() => this.#clone(known, file, unshare));
        }
        const [unused] = [...this.#known.keys()].filter((uuid) => this.#isUnused(uuid));
        if (unused !== undefined) choices.push(() => this.#delete(known, unused));
        return choices;
    }

    /** As for an image; once all is settled there are only whole clones, those of acknowledged requests among them. */
    async verify(client: HttpClient, isSettled: boolean): Promise<string[]> {
        const answer = await client.get(`/images?owner=${this.account}&state=all&limit=1000`);
        if (answer.status !== 200) return [`clones: ${answer.status} ${answer.text}`];
        const found = new Map(answer.list.map((image) => [String(image['uuid']), image]));
        const problems: string[] = [];
        for (const known of this.#known.values()) {
            problems.push(...this.#problemsOf(known, found.get(known.uuid)));
        }
        if (isSettled) problems.push(...this.#adopt(found));
        for (const { uuid, file } of this.#known.values()) {
            const { status, body } = await client.get(`/images/${uuid}/file`);
            if (status !== 200 || sha1Hex(body) !== file) problems.push(`clone ${uuid}: its file ${status}`);
        }
        return problems;
    }

    get expectedFiles(): readonly (readonly [uuid: string, name: string])[] {
        return [...this.#known.keys()].map((uuid) => [uuid, 'file0'] as const);
    }

    #isUnused(uuid: string): boolean {
        const isOrigin = [...this.#known.values()].some(({ origin }) => origin === uuid);
        return !isOrigin && !this.#doubtful.has(uuid);
    }

    #clone(known: Known, file: string, unshare: boolean): Write {
        const query = `account=${this.account}${unshare ? '&unshare=true' : ''}`;
        const acl = unshare ? known.acl.filter((account) => account !== this.account) : known.acl;
        return {
            requests: [{ method: 'POST', path: `/images/${known.uuid}/clone?${query}` }],
            after: [{ ...known, acl }],
            onAcknowledged: (document) => this.#take(document ?? {}, file, this.base.file),
            onCut: () => (this.#maybe = [...this.#maybe, file]),
        };
    }

    #delete(known: Known, uuid: string): Write {
        return {
            requests: [{ method: 'DELETE', path: `/images/${uuid}?account=${this.account}` }],
            after: [known],
            onAcknowledged: () => this.#known.delete(uuid),
            onCut: () => this.#doubtful.add(uuid),
        };
    }

    /** Keeps a clone in mind, and that of its origin. */
    #take(document: Document, file: string, originFile: string): void {
        const uuid = String(document['uuid']);
        const origin = document['origin'] as string | undefined;
        this.#known.set(uuid, { uuid, file, ...(origin === undefined ? {} : { origin }) });
        if (origin !== undefined) this.#known.set(origin, { uuid: origin, file: originFile });
    }

    #problemsOf(known: Copied, found: Document | undefined): string[] {
        const { uuid, file, origin } = known;
        if (found === undefined && this.#doubtful.delete(uuid)) {
            this.#known.delete(uuid);
            return [];
        }
        if (found === undefined) return [`clone ${uuid} is lost`];
        // No deletion goes on any more that could still do it.
        this.#doubtful.delete(uuid);
        const [entry] = found['files'] as readonly Document[];
        const isSame = entry?.['sha1'] === file && found['origin'] === origin;
        const isPublished = typeof found['published_at'] === 'string';
        return isSame && isPublished ? [] : [`clone ${JSON.stringify(known)} is ${JSON.stringify(found)}`];
    }

    /** Takes in the clones of requests that were cut off, which must be whole ones. */
    #adopt(found: ReadonlyMap<string, Document>): string[] {
        const others = [...found.values()].filter((image) => !this.#known.has(String(image['uuid'])));
        const problems: string[] = [];
        const maybe = [...this.#maybe];
        for (const image of others.filter(({ disabled }) => disabled === false)) {
            const [entry] = image['files'] as readonly Document[];
            const file = String(entry?.['sha1']);
            const index = maybe.indexOf(file);
            const isWhole = image['state'] === 'active' && index !== -1;
            if (!isWhole) problems.push(`nobody made the clone ${JSON.stringify(image)}`);
            maybe.splice(index, 1);
            this.#take(image, file, this.base.file);
        }
        const uuids = others.map(({ uuid }) => String(uuid));
        problems.push(
            ...uuids.filter((uuid) => !this.#known.has(uuid)).map((uuid) => `half a clone: ${uuid}`),
        );
        for (const { origin } of this.#known.values()) {
            if (origin !== undefined && !found.has(origin))
                problems.push(`a clone without its origin ${origin}`);
        }
        this.#maybe = [];
        return problems;
    }
}
