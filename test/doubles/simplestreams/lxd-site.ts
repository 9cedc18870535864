import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import { WebSite } from '../web-site.js';

const INDEX = '/streams/v1/index.json';
const PRODUCTS = 'streams/v1/images.json';

/** An image of the site, as whoever imports it finds it. */
export interface ServedImage {
    /** Of the image here, by its fingerprint. */
    readonly uuid: string;
    readonly fingerprint: string;
    readonly product: string;
    readonly version: string;
    /** Paths on the site, with their `/`, and what is there. */
    readonly files: readonly { readonly path: string; readonly bytes: Buffer; readonly sha256: string }[];
}

/** An image to put on the site. */
export interface ImageOptions {
    readonly aliases: string;
    /** One file with everything. */
    readonly combined?: Buffer;
    /** Metadata and file system. */
    readonly split?: readonly [Buffer, Buffer];
    /** Default: `squashfs`. */
    readonly ftype?: string;
    readonly version?: string;
    /** Further members of the product. */
    readonly more?: Readonly<Record<string, unknown>>;
    /** Members in the place of those of the last item. */
    readonly item?: Readonly<Record<string, unknown>>;
}

export function sha256(...bytes: readonly Buffer[]): string {
    const hash = createHash('sha256');
    for (const one of bytes) hash.update(one);
    return hash.digest('hex');
}

function uuidOf(fingerprint: string): string {
    return fingerprint.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** A server of LXD images: a tree of documents and files as simplestreams has them. */
export class LxdSite {
    readonly web: WebSite;
    readonly #products = new Map<string, unknown>();

    private constructor(web: WebSite) {
        this.web = web;
    }

    /** Starts a site without images that is stopped with the test. */
    static async start(t: Test): Promise<LxdSite> {
        const site = new LxdSite(await WebSite.start(t, { isPlain: true }));
        site.json(INDEX, {
            format: 'index:1.0',
            index: {
                'com.example:other': { datatype: 'image-ids', path: 'streams/v1/other.json' },
                images: { datatype: 'image-downloads', path: PRODUCTS, format: 'products:1.0' },
            },
        });
        site.#publish();
        return site;
    }

    /** As a configuration names it. */
    get url(): string {
        return this.web.service.url;
    }

    /** Paths that were asked for, since a test emptied the list of requests. */
    get asked(): readonly string[] {
        return this.web.service.requests.map(({ path }) => path);
    }

    /** Sets a document. */
    json(path: string, value: unknown): void {
        this.web.file(path, Buffer.from(JSON.stringify(value)));
    }

    /** The products as they are, or something else in their place. */
    setProducts(value: unknown): void {
        this.json(`/${PRODUCTS}`, value);
    }

    /** Puts an image in place, in a version of its own. */
    put(product: string, options: ImageOptions): ServedImage {
        const { version = '20240102_03:04', ftype = 'squashfs', combined, split, item } = options;
        const directory = `images/${product.replaceAll(':', '/')}/${version}`;
        const parts = combined === undefined ? (split ?? []) : [combined];
        const fingerprint = sha256(...parts);
        const member = ftype.replace(/^root\.tar\.xz$/, 'rootxz').replace('.', '-');
        const names = combined === undefined ? ['lxd.tar.xz', `root.${ftype}`] : ['lxd_combined.tar.gz'];
        const files = parts.map((bytes, at) => ({
            path: `/${directory}/${names[at]}`,
            bytes,
            sha256: sha256(bytes),
        }));
        const items = files.map(({ path, bytes, sha256: hex }, at) => [
            names[at],
            {
                path: path.slice(1),
                size: bytes.length,
                sha256: hex,
                ftype: at === 0 ? names[0] : ftype,
                ...(split === undefined || at > 0 ? {} : { [`combined_${member}_sha256`]: fingerprint }),
                ...(at === parts.length - 1 ? item : {}),
            },
        ]);
        for (const { path, bytes } of files) this.web.parts(path, bytes, [], [sha256(bytes)]);
        this.#products.set(product, {
            aliases: options.aliases,
            arch: 'amd64',
            os: 'Alpine',
            release: '3.16',
            release_title: 'three sixteen',
            ...options.more,
            versions: { [version]: { items: Object.fromEntries(items) as unknown } },
        });
        this.#publish();
        return { uuid: uuidOf(fingerprint), fingerprint, product, version, files };
    }

    #publish(): void {
        this.setProducts({ format: 'products:1.0', products: Object.fromEntries(this.#products) });
    }
}
