import { SharedWork } from '../../base/shared-work.js';
import type { RegistryToken } from './authorization-server.js';

/** A token, and whether it has been used before. */
export interface KeptToken {
    readonly value: string;
    readonly isNew: boolean;
}

/** The token for one scope: got once for all who need it, and again when its time is over or it is refused. */
export class TokenKeeper {
    readonly #fetch: (signal: AbortSignal) => Promise<RegistryToken>;
    readonly #fetching = new SharedWork<RegistryToken>();
    #token: RegistryToken | undefined;

    constructor(fetch: (signal: AbortSignal) => Promise<RegistryToken>) {
        this.#fetch = fetch;
    }

    /** @param refused a token that will not do any more */
    async get(signal: AbortSignal, refused?: string): Promise<KeptToken> {
        const kept = this.#token;
        if (kept !== undefined && kept.value !== refused && kept.freshUntil > performance.now()) {
            return { value: kept.value, isNew: false };
        }
        const token = await this.#fetching.join(signal, this.#fetch);
        this.#token = token;
        return { value: token.value, isNew: true };
    }
}
