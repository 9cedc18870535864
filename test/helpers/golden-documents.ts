import type { Test } from 'tap';
import type { Golden, Place } from './golden-forms.js';
import type { Answer, Document, HttpClient } from './http-client.js';
import { sha1Hex } from './images.js';

/** For documents with `channels`. */
export const VERSION_2 = { headers: { 'accept-version': '~2' } };

/** The document a client of version 2 gets. */
export function documentOf(golden: Golden, place: Place): Document {
    const channels = place.channels ? { channels: ['dev', 'release'] } : {};
    return JSON.parse(JSON.stringify({ ...golden.document(place), ...channels })) as Document;
}

/** The document with what operators may see besides. */
export function withStorages(document: Document): Document {
    const files = (document['files'] as readonly Document[]).map((file) => ({ ...file, stor: 'local' }));
    return { ...document, files };
}

export function expectDocument(test: Test, answer: Answer, document: Document, name: string): void {
    test.equal(answer.status, 200, name);
    test.equal(answer.text.trimEnd(), JSON.stringify(document, null, 2), `${name}: the text`);
    test.equal(answer.header('etag'), sha1Hex(JSON.stringify(document)), `${name}: the tag`);
}

/** Expects the bytes of an image to be those that were planted. */
export async function expectFiles(test: Test, client: HttpClient, golden: Golden): Promise<void> {
    const files = { ...golden.files, ...golden.oldFiles };
    for (const [name, data] of Object.entries(files).filter(([one]) => /^(file\d|icon)$/.test(one))) {
        const path = name === 'icon' ? 'icon' : `file?index=${name.slice(4)}`;
        const answer = await client.get(`/images/${golden.uuid}/${path}`);
        test.strictSame([answer.status, answer.body.equals(data)], [200, true], `${golden.name}: ${name}`);
    }
}

/** An update that a record needs so that it keeps today's rules, which every update checks. */
export function mended(golden: Golden): Document {
    const { requirements } = golden.document({ mode: 'private', channels: false });
    return typeof requirements === 'number' ? { requirements: null } : {};
}
