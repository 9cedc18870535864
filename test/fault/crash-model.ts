import { createHash, randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { Document, HttpClient } from '../helpers/http-client.js';
import { NOBODY } from '../helpers/images.js';

/** What a client knows of an image; `undefined` as a whole: there is none. */
export interface Known {
    readonly description: string;
    readonly acl: readonly string[];
    readonly file?: string;
    readonly icon?: string;
    readonly activated: boolean;
}

/** A write and what it leads to. */
interface Write {
    readonly method: 'POST' | 'PUT' | 'DELETE';
    readonly path: string;
    readonly after: Known | undefined;
    readonly json?: unknown;
    readonly body?: Buffer;
    readonly contentType?: string;
}

const sha1 = (bytes: Buffer) => createHash('sha1').update(bytes).digest('hex');

/**
 * One image as its only client sees it. A write that was answered has happened; one that was cut off
 * may have happened or not, but nothing else may.
 */
export class ImageUnderCrashes {
    readonly uuid = randomUUID();
    #acknowledged: Known | undefined;
    /** What a write without an answer may have made of the image. */
    #maybe: { readonly after: Known | undefined } | undefined;
    #count = 0;

    /** Sends one random write; true when it was acknowledged. Rejects when the server is gone. */
    async write(client: HttpClient): Promise<boolean> {
        const write = this.#next();
        this.#maybe = { after: write.after };
        const answer = await client.request(write.method, write.path, {
            ...(write.json === undefined ? {} : { json: write.json }),
            ...(write.body === undefined ? {} : { body: write.body }),
            ...(write.contentType === undefined ? {} : { headers: { 'content-type': write.contentType } }),
        });
        if (answer.status >= 300) {
            throw new Error(`${write.method} ${write.path}: ${answer.status} ${answer.text}`);
        }
        this.#acknowledged = write.after;
        this.#maybe = undefined;
        return true;
    }

    /** Compares what the server has with what it may have; resolves to the problems. */
    async verify(client: HttpClient): Promise<string[]> {
        const found = await this.#read(client);
        if (typeof found === 'string') return [found];
        const allowed = [this.#acknowledged, ...(this.#maybe === undefined ? [] : [this.#maybe.after])];
        const now = found.known;
        if (!allowed.some((one) => JSON.stringify(one) === JSON.stringify(now))) {
            return [`${this.uuid}: found ${JSON.stringify(now)}, allowed ${JSON.stringify(allowed)}`];
        }
        this.#acknowledged = now;
        this.#maybe = undefined;
        return [];
    }

    /** Whether the image exists, as of the last verification. */
    get exists(): boolean {
        return this.#acknowledged !== undefined;
    }

    get expectedFiles(): readonly string[] {
        const known = this.#acknowledged;
        return [
            ...(known?.file === undefined ? [] : ['file0']),
            ...(known?.icon === undefined ? [] : ['icon']),
        ];
    }

    async #read(client: HttpClient): Promise<{ readonly known: Known | undefined } | string> {
        const answer = await client.get(`/images/${this.uuid}`);
        if (answer.status === 404) return { known: undefined };
        if (answer.status !== 200) return `${this.uuid}: ${answer.status} ${answer.text}`;
        const manifest = answer.document;
        const file = (manifest['files'] as readonly Document[])[0]?.['sha1'] as string | undefined;
        const icon = manifest['icon'] === true ? await client.get(`/images/${this.uuid}/icon`) : undefined;
        if (file !== undefined) {
            const bytes = await client.get(`/images/${this.uuid}/file`);
            if (bytes.status !== 200 || sha1(bytes.body) !== file)
                return `${this.uuid}: its file is not the one recorded`;
        }
        if (icon !== undefined && (icon.status !== 200 || sha1(icon.body) !== icon.header('etag'))) {
            return `${this.uuid}: its icon is not the one recorded`;
        }
        return {
            known: {
                description: String(manifest['description']),
                acl: (manifest['acl'] as readonly string[] | undefined) ?? [],
                ...(file === undefined ? {} : { file }),
                ...(icon === undefined ? {} : { icon: sha1(icon.body) }),
                activated: manifest['state'] === 'active',
            },
        };
    }

    #next(): Write {
        const known = this.#acknowledged;
        if (known === undefined) return this.#create();
        const path = `/images/${this.uuid}`;
        const choices: (() => Write)[] = [
            () => {
                const description = `d${(this.#count += 1)}`;
                return {
                    method: 'POST',
                    path: `${path}?action=update`,
                    json: { description },
                    after: { ...known, description },
                };
            },
            () => {
                const account = randomUUID();
                return {
                    method: 'POST',
                    path: `${path}/acl`,
                    json: [account],
                    after: { ...known, acl: [...known.acl, account] },
                };
            },
            () => {
                const body = randomBytes(randomInt(1, 4096));
                return {
                    method: 'PUT',
                    path: `${path}/icon`,
                    body,
                    contentType: 'image/png',
                    after: {
                        description: known.description,
                        acl: known.acl,
                        ...(known.file === undefined ? {} : { file: known.file }),
                        icon: sha1(body),
                        activated: known.activated,
                    },
                };
            },
        ];
        if (!known.activated) {
            choices.push(() => {
                const body = randomBytes(randomInt(1, 300_000));
                return {
                    method: 'PUT',
                    path: `${path}/file?compression=none&sha1=${sha1(body)}`,
                    body,
                    after: {
                        description: known.description,
                        acl: known.acl,
                        file: sha1(body),
                        ...(known.icon === undefined ? {} : { icon: known.icon }),
                        activated: false,
                    },
                };
            });
            if (known.file !== undefined) {
                choices.push(() => ({
                    method: 'POST',
                    path: `${path}?action=activate`,
                    json: {},
                    after: { ...known, activated: true },
                }));
            }
        } else {
            choices.push(() => ({ method: 'DELETE', path, after: undefined }));
        }
        return choices[randomInt(choices.length)]!();
    }

    #create(): Write {
        const description = `d${(this.#count += 1)}`;
        return {
            method: 'POST',
            path: `/images/${this.uuid}?action=import`,
            json: {
                v: 2,
                uuid: this.uuid,
                owner: NOBODY,
                name: 'crash',
                version: '1',
                type: 'other',
                os: 'other',
                public: true,
                description,
            },
            after: { description, acl: [], activated: false },
        };
    }
}
