import type { ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { selfSigned } from '../helpers/self-signed.js';
import { HttpService, sendJson, type ServedRequest } from './http-service.js';

/** How one path of a {@link WebSite} is answered. */
export type Page = (request: ServedRequest, response: ServerResponse) => void;

/** How to start a {@link WebSite}. */
export interface WebSiteOptions {
    /** It does not speak TLS. */
    readonly isPlain?: boolean;
}

/** A web server that speaks TLS, or not; what it has no page for is 404. */
export class WebSite {
    readonly service: HttpService;
    /** PEM; whoever trusts it trusts the site. Empty without TLS. */
    readonly certificate: string;
    readonly #pages = new Map<string, Page>();

    constructor({ isPlain = false }: WebSiteOptions = {}) {
        const tls = isPlain ? undefined : selfSigned('127.0.0.1');
        this.certificate = tls?.certificate ?? '';
        this.service = new HttpService(
            (request, response) => {
                const page = this.#pages.get(request.path);
                if (page === undefined) sendJson(response, 404, {});
                else page(request, response);
            },
            tls === undefined ? {} : { tls },
        );
    }

    /** Starts a site that is stopped with the test. */
    static async start(t: Test, options: WebSiteOptions = {}): Promise<WebSite> {
        const site = new WebSite(options);
        await site.service.start();
        t.teardown(() => site.service.stop());
        return site;
    }

    /** Sets the answer to a path, and gives its URL. */
    page(path: string, page: Page): string {
        this.#pages.set(path, page);
        return `${this.service.url}${path}`;
    }

    /** A page of these bytes, with their length. */
    file(path: string, bytes: Buffer): string {
        return this.page(path, (_, response) =>
            response.writeHead(200, { 'content-length': bytes.length }).end(bytes),
        );
    }

    /** A page without bytes. */
    status(path: string, status: number, headers: Readonly<Record<string, string>> = {}): string {
        return this.page(path, (_, response) => response.writeHead(status, headers).end());
    }

    /** A page whose connection is cut behind these bytes. */
    cut(path: string, bytes: Buffer, headers: Readonly<Record<string, string | number>>): string {
        return this.page(path, (_, response) => {
            response.writeHead(200, { ...headers });
            response.write(bytes, () => response.socket?.destroy());
        });
    }

    /**
     * A page that gives parts, and cuts the connection at each of these points in turn.
     *
     * @param etags that of each answer; the last one stays
     * @returns the ranges that were asked for so far
     */
    parts(
        path: string,
        bytes: Buffer,
        points: readonly number[],
        etags: readonly string[],
    ): (string | undefined)[] {
        const asked: (string | undefined)[] = [];
        this.page(path, ({ headers }, response) => {
            const etag = `"${etags[Math.min(asked.length, etags.length - 1)] ?? ''}"`;
            const until = points[asked.length] ?? bytes.length;
            asked.push(headers.range);
            const [, offset = '0'] =
                (headers['if-range'] === etag && /^bytes=(\d+)-$/.exec(headers.range ?? '')) || [];
            const from = Number(offset);
            response.writeHead(from === 0 ? 200 : 206, {
                'content-length': bytes.length - from,
                'accept-ranges': 'bytes',
                etag,
                ...(from === 0
                    ? {}
                    : { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
            });
            response.write(bytes.subarray(from, until), () => {
                if (until < bytes.length) response.socket?.destroy();
                else response.end();
            });
        });
        return asked;
    }
}
