import { randomUUID } from 'node:crypto';
import { answer, receive, sendBytes, type RegistryCall } from './call.js';
import type { RegistryCallKind } from './faults.js';
import { LoopbackServer } from './loopback-server.js';
import { RegistryError } from './registry-error.js';

/** Takes the bytes of an upload that a registry has begun. @throws RegistryError */
export type FinishUpload = (bytes: Buffer, digest: string) => string;

/**
 * Where a registry sends those who want a blob, or bring one: on another host than its own. Links to it are
 * signed, and it refuses whoever comes with credentials, as the stores of clouds do.
 */
export class ObjectStoreDouble extends LoopbackServer {
    readonly #objects = new Map<string, Buffer>();
    readonly #uploads = new Map<string, FinishUpload>();

    /** A link to bytes, good for a long time. */
    link(bytes: Buffer): string {
        const key = randomUUID();
        this.#objects.set(key, bytes);
        return `${this.url}/objects/${key}?X-Signature=${encodeURIComponent('a+b/c=')}`;
    }

    /** A link to bring bytes to. */
    uploadLink(finish: FinishUpload): string {
        const key = randomUUID();
        this.#uploads.set(key, finish);
        return `${this.url}/uploads/${key}?X-Signature=u`;
    }

    protected override kindOf(method: string): RegistryCallKind {
        return method === 'PUT' ? 'put-object' : 'object';
    }

    protected override async handle(call: RegistryCall): Promise<void> {
        const { request, url } = call;
        if (request.headers.authorization !== undefined) {
            throw new RegistryError(400, 'InvalidArgument', 'Only one auth mechanism allowed');
        }
        const [, where, key = ''] = url.pathname.split('/');
        if (where === 'uploads') {
            const finish = this.#uploads.get(key);
            if (finish === undefined || request.method !== 'PUT') throw missing();
            const location = finish(await receive(call), url.searchParams.get('digest') ?? '');
            answer(call, 201, { location });
            return;
        }
        const bytes = this.#objects.get(key);
        if (bytes === undefined || url.searchParams.get('X-Signature') !== 'a+b/c=') throw missing();
        await sendBytes(call, bytes, { 'content-type': 'binary/octet-stream', etag: `"${key}"` });
    }
}

function missing(): RegistryError {
    return new RegistryError(404, 'NoSuchKey', 'The specified key does not exist.');
}
