import { ApiError, invalidParameter } from '#lib/base/errors.js';
import type { Route } from '#lib/http/route.js';
import type { Readable } from 'node:stream';
import { aborted, row } from './shell-server.js';

export const UUID = '5b3fc9cd-1b2c-4a2f-8b0c-0123456789ab';

/** Requests on `/gate` wait here until the test lets them go. */
export class Gate {
    readonly reached: string[] = [];
    #open: () => void = () => undefined;
    #opened = new Promise<void>((resolve) => (this.#open = resolve));

    async wait(name: string): Promise<void> {
        this.reached.push(name);
        await this.#opened;
    }

    open(): void {
        this.#open();
    }
}

/** What tests set, and see of, the fake routes. */
interface FakeState {
    /** Whether `/channels` is mounted. */
    channels: boolean;
    gate: Gate;
    /** The upload that was started last. */
    started: Readable | undefined;
    /** Why requests were told to stop. */
    readonly reasons: unknown[];
}

export const fake: FakeState = { channels: true, gate: new Gate(), started: undefined, reasons: [] };

/** 20 MB of text. */
export const bigParts = Array.from({ length: 2000 }, (_, i) => Buffer.alloc(10_000, 97 + (i % 26)));

/** A table with one row for each thing a handler can do. */
export const ROUTES: readonly Route[] = [
    row('GET', '/images', 'ListImages', () => ({ kind: 'json', value: [] }), { aliases: ['/images/'] }),
    row('POST', '/images', 'CreateImage', async (x) => ({ kind: 'json', value: await x.readBody() })),
    row('GET', '/images/:uuid', 'GetImage', (x) => ({
        kind: 'json',
        value: { params: x.params, version2: x.version2, method: x.method, target: x.target, path: x.path },
        headers: { Etag: 'abc' },
    })),
    row('POST', '/images/:uuid', 'UpdateImage', () => {
        throw invalidParameter('no', [{ field: 'a', code: 'Invalid' }]);
    }),
    row('DELETE', '/images/:uuid', 'DeleteImage', () => ({ kind: 'empty', status: 204 })),
    row('PUT', '/images/:uuid/file', 'AddImageFile', async (x) => {
        let size = 0;
        fake.started = x.startUpload();
        for await (const chunk of fake.started) {
            size += (chunk as Buffer).length;
            if (size > 5_000_000) throw new ApiError('Upload', 'too big');
        }
        return { kind: 'json', value: { size } };
    }),
    row('GET', '/images/:uuid/file', 'GetImageFile', () => ({ kind: 'text', parts: bigParts })),
    row('PUT', '/images/:uuid/icon', 'AddImageIcon', () => {
        throw new ApiError('UnauthorizedError', 'Unauthorized', {
            headers: { 'WWW-Authenticate': 'Signature realm="imgapi"' },
        });
    }),
    row('GET', '/channels', 'ListChannels', () => ({ kind: 'json', value: ['c'] }), {
        mounted: () => fake.channels,
    }),
    row('GET', '/ping', 'Ping', () => ({ kind: 'json', value: { ping: 'pong' } })),
    row('GET', '/any', 'Any', (x) => ({ kind: 'json', value: x.version2 }), { anyVersion: true }),
    row('GET', '/docs/*', 'Docs', (x) => ({ kind: 'json', value: x.params['rest'] })),
    row('GET', '/', 'Root', () => ({ kind: 'empty', status: 301, headers: { Location: '/docs/' } })),
    row('GET', '/boom', 'Boom', () => {
        throw new TypeError('ENOENT: /secret/path');
    }),
    row('GET', '/nothing', 'Nothing', () => undefined as never),
    row('GET', '/bad-header', 'BadHeader', () => ({
        kind: 'empty',
        status: 200,
        headers: { Location: 'a\nb' },
    })),
    row('POST', '/state', 'State', () => ({ kind: 'empty', status: 202 })),
    row('GET', '/gate/:name', 'Gate', async (x) => {
        await fake.gate.wait(x.params['name'] ?? '');
        return { kind: 'json', value: x.params['name'] };
    }),
    row('GET', '/until-abort', 'UntilAbort', async (x) => {
        fake.gate.reached.push('until-abort');
        fake.reasons.push(await aborted(x.signal));
        throw new Error('stopped');
    }),
];

/** Heads and bodies of all answers in a text. */
export function answers(text: string): { status: number; head: string; body: string }[] {
    const found = [];
    let rest = text;
    while (rest !== '') {
        const end = rest.indexOf('\r\n\r\n');
        const head = rest.slice(0, end);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        found.push({ status: Number(head.slice(9, 12)), head, body: rest.slice(end + 4, end + 4 + length) });
        rest = rest.slice(end + 4 + length);
    }
    return found;
}

/** The `code` of an error body. */
export function code(body: string): unknown {
    return (JSON.parse(body) as { code: unknown }).code;
}

/** The end of a request on a connection of its own. */
export const CLOSE = 'Host: x\r\nConnection: close\r\n\r\n';
