import { createHash } from 'node:crypto';
import { Tally } from '../base/tally.js';
import { provenanceView } from '../manifest/provenance.js';
import { type DocumentForm, toApiManifest } from '../manifest/serialize.js';
import type { RawImage } from '../manifest/types.js';
import { isSharedWith } from '../manifest/visibility.js';

/** Which of the forms of an image document is wanted (http-api 1.13). */
export type RenderForm = DocumentForm;

/** An image document as it is sent. */
export interface RenderedDocument {
    /** JSON, two-space indent. */
    readonly text: Buffer;
    /** Hex SHA-1 of the compact form (http-api 1.6). */
    readonly etag: string;
}

interface RenderedForm {
    document?: RenderedDocument;
    /** The document as an element of an indented array. */
    element?: Buffer;
}

interface CacheEntry {
    readonly raw: RawImage;
    readonly forms: Map<string, RenderedForm>;
    bytes: number;
}

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
/** What an entry takes beside its text, bytes; a rough figure keeps the bound honest for small texts. */
const ENTRY_OVERHEAD = 512;
/** Size up to which list elements are joined before they are handed on, bytes. */
const PART_SIZE = 256 * 1024;
/** One in so many list elements that find the cache full takes the place of the oldest entry. */
const REPLACE_EVERY = 16;

const OPEN = Buffer.from('[\n  ');
const BETWEEN = Buffer.from(',\n  ');
const CLOSE = Buffer.from('\n]');

/**
 * Renders image documents and keeps the text beside the record it was made from: records never
 * change, so a text is good as long as its record is the current one. The texts kept are bounded in
 * bytes; those used longest ago go first. What depends on the account that asks is not kept.
 *
 * A list of everything is read front to back, again and again. If it did not fit, keeping the latest
 * would mean that no element is ever found; so lists mostly use what room there is, and take over
 * slowly.
 */
export class DocumentRenderer {
    readonly #maxBytes: number;
    /** By uuid, least recently used first. */
    readonly #entries = new Map<string, CacheEntry>();
    /** How often a text was asked for: in the cache `documents` or `list_elements`, a `hit` or a `miss`. */
    readonly requests = new Tally<'cache' | 'result'>();
    #bytes = 0;
    #refusals = 0;

    /** @param options.maxBytes bound of the texts kept, bytes; 0 keeps nothing */
    constructor(options: { readonly maxBytes?: number } = {}) {
        this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    }

    /** Bytes kept at the moment. */
    get bytes(): number {
        return this.#bytes;
    }

    /** Drops every text kept. */
    clear(): void {
        this.#entries.clear();
        this.#bytes = 0;
    }

    /** One image document and its entity tag. */
    document(raw: RawImage, form: RenderForm): RenderedDocument {
        const kept = this.#find(raw, form)?.document;
        this.requests.add({ cache: 'documents', result: kept === undefined ? 'miss' : 'hit' });
        if (kept !== undefined) {
            this.#touch(raw);
            return kept;
        }
        const manifest = toApiManifest(raw, form);
        const document = {
            text: Buffer.from(JSON.stringify(manifest, null, 2)),
            etag: createHash('sha1').update(JSON.stringify(manifest)).digest('hex'),
        };
        this.#keep(raw, form, { document }, document.text.length, true);
        return document;
    }

    /** A JSON array of image documents, two-space indent, in parts to be sent one after the other. */
    list(raws: readonly RawImage[], form: RenderForm): Buffer[] {
        if (raws.length === 0) {
            return [Buffer.from('[]')];
        }
        const parts: Buffer[] = [];
        let pieces: Buffer[] = [];
        let size = 0;
        let hits = 0;
        raws.forEach((raw, index) => {
            const kept = this.#find(raw, form)?.element;
            hits += kept === undefined ? 0 : 1;
            const element = kept ?? this.#renderElement(raw, form);
            pieces.push(index === 0 ? OPEN : BETWEEN, element);
            size += element.length;
            if (size >= PART_SIZE) {
                parts.push(Buffer.concat(pieces));
                pieces = [];
                size = 0;
            }
        });
        parts.push(Buffer.concat([...pieces, CLOSE]));
        this.requests.add({ cache: 'list_elements', result: 'hit' }, hits);
        this.requests.add({ cache: 'list_elements', result: 'miss' }, raws.length - hits);
        return parts;
    }

    #renderElement(raw: RawImage, form: RenderForm): Buffer {
        const text = JSON.stringify(toApiManifest(raw, form), null, 2);
        // Line ends inside values are escaped, so every one here separates lines.
        const element = Buffer.from(text.replaceAll('\n', '\n  '));
        this.#keep(raw, form, { element }, element.length, this.#mayReplace(element.length));
        return element;
    }

    #mayReplace(length: number): boolean {
        if (this.#bytes + length + ENTRY_OVERHEAD <= this.#maxBytes) {
            return true;
        }
        this.#refusals += 1;
        return this.#refusals % REPLACE_EVERY === 0;
    }

    #find(raw: RawImage, form: RenderForm): RenderedForm | undefined {
        const entry = this.#entries.get(raw.uuid);
        const key = formKey(raw, form);
        return entry?.raw === raw && key !== undefined ? entry.forms.get(key) : undefined;
    }

    #touch(raw: RawImage): void {
        const entry = this.#entries.get(raw.uuid);
        if (entry !== undefined) {
            this.#entries.delete(raw.uuid);
            this.#entries.set(raw.uuid, entry);
        }
    }

    #keep(raw: RawImage, form: RenderForm, rendered: RenderedForm, length: number, replace: boolean): void {
        const key = formKey(raw, form);
        if (key === undefined || !replace || length + ENTRY_OVERHEAD > this.#maxBytes) {
            return;
        }
        const entry = this.#entryFor(raw);
        entry.forms.set(key, { ...entry.forms.get(key), ...rendered });
        entry.bytes += length;
        this.#bytes += entry.bytes;
        this.#entries.set(raw.uuid, entry);
        this.#evict();
    }

    /** Takes out the entry of a record, or makes a new one; texts of an older record are dropped. */
    #entryFor(raw: RawImage): CacheEntry {
        const entry = this.#entries.get(raw.uuid);
        if (entry !== undefined) {
            this.#entries.delete(raw.uuid);
            this.#bytes -= entry.bytes;
        }
        return entry?.raw === raw ? entry : { raw, forms: new Map(), bytes: ENTRY_OVERHEAD };
    }

    #evict(): void {
        for (const [uuid, entry] of this.#entries) {
            if (this.#bytes <= this.#maxBytes) {
                return;
            }
            this.#entries.delete(uuid);
            this.#bytes -= entry.bytes;
        }
    }
}

/** What a document depends on beside its record; `undefined` when that is the account that asks. */
function formKey(raw: RawImage, form: RenderForm): string | undefined {
    const { provenance, share } = form;
    if (share !== undefined && isSharedWith(raw, share.account)) {
        return undefined;
    }
    const origin = provenance === undefined ? 'none' : provenanceView(raw, provenance);
    return `${form.mode} ${form.version2 ? 2 : 1} ${form.inclAdminFields ? 'admin' : ''} ${origin}`;
}
