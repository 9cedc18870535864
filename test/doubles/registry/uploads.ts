import { randomUUID } from 'node:crypto';
import { sha256Digest } from '../../helpers/docker-images.js';
import { answer, beforeChange, receive, type RegistryCall } from './call.js';
import type { ObjectStoreDouble } from './object-store.js';
import { RegistryError } from './registry-error.js';
import type { Repositories } from './repositories.js';

/** How the place of an upload is told; an object store: it is there. */
export type UploadLocation = 'relative' | 'absolute' | 'query' | ObjectStoreDouble;

/** What uploads need of their registry. */
export interface UploadPlace {
    readonly url: string;
    readonly repositories: Repositories;
    readonly location: UploadLocation;
    /** Whether the one who asks may take blobs out of another repository. */
    readonly mayMount: (from: string) => boolean;
}

interface Upload {
    readonly repository: string;
    bytes: Buffer;
    /** Known to those who were told where it goes on. */
    state: string;
}

/** Uploads under way. */
export class Uploads {
    readonly #uploads = new Map<string, Upload>();

    /** How many have begun and not ended. */
    get open(): number {
        return this.#uploads.size;
    }

    /** `POST /v2/<name>/blobs/uploads/`: begins one, or takes the blob from another repository. */
    async start(call: RegistryCall, repository: string, place: UploadPlace): Promise<void> {
        const { searchParams } = call.url;
        const bytes = await receive(call);
        const [mount, from, digest] = ['mount', 'from', 'digest'].map((name) => searchParams.get(name));
        beforeChange(call);
        if (digest !== null && digest !== undefined) {
            answer(call, 201, store(place, repository, bytes, digest));
            return;
        }
        if (typeof mount === 'string' && typeof from === 'string' && place.mayMount(from)) {
            if (place.repositories.mount(repository, mount, from)) {
                answer(call, 201, created(repository, mount));
                return;
            }
        }
        const id = randomUUID();
        const upload = { repository, bytes: Buffer.alloc(0), state: randomUUID() };
        this.#uploads.set(id, upload);
        answer(call, 202, {
            location: this.#location(id, upload, place),
            range: '0-0',
            'docker-upload-uuid': id,
        });
    }

    /** `PATCH`: takes a part. */
    async patch(call: RegistryCall, repository: string, id: string, place: UploadPlace): Promise<void> {
        const upload = this.#find(call, repository, id, place);
        const [, from] = /^(?:bytes )?(\d+)-\d+$/.exec(call.request.headers['content-range'] ?? '') ?? [];
        if (from !== undefined && Number(from) !== upload.bytes.length) {
            throw new RegistryError(416, 'BLOB_UPLOAD_INVALID', 'blob upload invalid', {
                headers: { range: `0-${upload.bytes.length - 1}` },
            });
        }
        const bytes = await receive(call);
        beforeChange(call);
        upload.bytes = Buffer.concat([upload.bytes, bytes]);
        upload.state = randomUUID();
        answer(call, 202, {
            location: this.#location(id, upload, place),
            range: `0-${upload.bytes.length - 1}`,
            'docker-upload-uuid': id,
        });
    }

    /** `PUT`: takes the last part, which may be all of it, and ends it. */
    async finish(call: RegistryCall, repository: string, id: string, place: UploadPlace): Promise<void> {
        const upload = this.#find(call, repository, id, place);
        const bytes = Buffer.concat([upload.bytes, await receive(call)]);
        beforeChange(call);
        this.#uploads.delete(id);
        answer(call, 201, store(place, repository, bytes, call.url.searchParams.get('digest') ?? ''));
    }

    #find(call: RegistryCall, repository: string, id: string, { location }: UploadPlace): Upload {
        const upload = this.#uploads.get(id);
        const isKnown =
            upload?.repository === repository &&
            (location !== 'query' || call.url.searchParams.get('_state') === upload.state);
        if (upload === undefined || !isKnown) {
            throw new RegistryError(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry');
        }
        return upload;
    }

    #location(id: string, upload: Upload, place: UploadPlace): string {
        const path = `/v2/${upload.repository}/blobs/uploads/${id}`;
        switch (place.location) {
            case 'relative':
                return path;
            case 'absolute':
                return `${place.url}${path}`;
            case 'query':
                return `${place.url}${path}?_state=${encodeURIComponent(upload.state)}`;
            default:
                return place.location.uploadLink((bytes, digest) => {
                    this.#uploads.delete(id);
                    return store(place, upload.repository, bytes, digest).location;
                });
        }
    }
}

interface Created extends Readonly<Record<string, string>> {
    readonly location: string;
}

function created(repository: string, digest: string): Created {
    return { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest };
}

/** @throws RegistryError unless the bytes have this digest */
function store({ repositories }: UploadPlace, repository: string, bytes: Buffer, digest: string): Created {
    if (sha256Digest(bytes) !== digest) {
        throw new RegistryError(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
    }
    repositories.putBlob(repository, bytes, digest);
    return created(repository, digest);
}
