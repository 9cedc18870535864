import type { HttpClient, JsonAnswer, JsonRequest, OutgoingTimeouts } from '../../base/http-client.js';
import { bytesContent } from '../../base/http-content.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { AddressSupplier } from '../../base/http-supplier.js';
import { loggableUrl } from '../../base/http-urls.js';
import { isObject } from '../../manifest/coerce.js';
import type { RegistryCredentials } from '../docker-registry.js';
import { RegistryLoginError, saidBy } from './login-error.js';

/** Largest answer, bytes. */
const MAX_ANSWER_BYTES = 1024 * 1024;
/** How long a token is good for when the server does not say, seconds. */
const DEFAULT_LIFE_S = 60;
/** The part of that time in which a token is used: it has to arrive, too. */
const USED_PART = 0.9;
/** What identity tokens are asked for; authorization servers want a name. */
const CLIENT_ID = 'imgapi';

/** Where tokens for a registry are to be had, as its challenge says. */
export interface TokenSource {
    readonly realm: URL;
    /** Name of the registry there. */
    readonly service?: string;
}

/** A question for a token. */
export interface TokenRequest extends TokenSource {
    /** `repository:<name>:pull`. */
    readonly scopes: readonly string[];
    /** Absent: for anybody. */
    readonly credentials?: RegistryCredentials;
    /** Who names the registry that names the server. */
    readonly supplier: AddressSupplier;
    readonly timeouts: Partial<OutgoingTimeouts>;
    readonly signal: AbortSignal;
}

/** What opens a registry for a while. */
export interface RegistryToken {
    readonly value: string;
    /** By the clock of `performance.now()`. */
    readonly freshUntil: number;
}

/** The header for a user name and a password. */
export function basicAuthorization(username: string, password: string): string {
    return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Name and password go into the header `Authorization`, which is not sent on to other servers. */
function byPassword(request: TokenRequest): Partial<JsonRequest> & { readonly url: string } {
    const { realm, service, scopes, credentials } = request;
    const url = new URL(realm);
    if (service !== undefined) {
        url.searchParams.append('service', service);
    }
    scopes.forEach((scope) => url.searchParams.append('scope', scope));
    if (credentials === undefined || 'identityToken' in credentials) {
        return { url: url.href };
    }
    const { username, password } = credentials;
    url.searchParams.append('account', username);
    return { url: url.href, headers: { authorization: basicAuthorization(username, password) } };
}

/** A refresh token goes into the body, which is not sent on to other servers either (jobs-and-imports 5.1 #4). */
function byIdentityToken(
    { realm, service, scopes }: TokenRequest,
    identityToken: string,
): Partial<JsonRequest> & { readonly url: string } {
    const form = new URLSearchParams({
        grant_type: 'refresh_token',
        ...(service === undefined ? {} : { service }),
        scope: scopes.join(' '),
        client_id: CLIENT_ID,
        refresh_token: identityToken,
    });
    const content = bytesContent('application/x-www-form-urlencoded', Buffer.from(form.toString()));
    return { url: realm.href, method: 'POST', content };
}

function tokenOf({ body }: JsonAnswer, asked: number, where: string): RegistryToken {
    const fields: Readonly<Record<string, unknown>> = isObject(body) ? body : {};
    const value = [fields['token'], fields['access_token']].find(
        (text) => typeof text === 'string' && text !== '',
    );
    if (typeof value !== 'string') {
        const reason = 'authorization server did not include a token in the response';
        throw new OutgoingError('malformed', reason, { cause: new Error(where) });
    }
    if (/[^\x21-\x7e]/.test(value)) {
        throw new OutgoingError('malformed', `${where}: the token does not fit into a header`);
    }
    // `issued_at` is by the server's clock: it would say something only if that went like ours.
    const life = fields['expires_in'];
    const seconds = typeof life === 'number' && life > 0 ? life : DEFAULT_LIFE_S;
    return { value, freshUntil: asked + seconds * 1000 * USED_PART };
}

/**
 * Gets a token from the authorization server of a registry (jobs-and-imports 5.2).
 *
 * @throws RegistryLoginError when it refuses the credentials; OutgoingError
 */
export async function fetchToken(http: HttpClient, request: TokenRequest): Promise<RegistryToken> {
    const { credentials, realm, supplier, timeouts, signal } = request;
    const where = loggableUrl(realm);
    const how =
        credentials !== undefined && 'identityToken' in credentials
            ? byIdentityToken(request, credentials.identityToken)
            : byPassword(request);
    const asked = performance.now();
    try {
        const answer = await http.json({
            ...how,
            peer: 'registry',
            supplier,
            maxBytes: MAX_ANSWER_BYTES,
            timeouts,
            signal,
        });
        return tokenOf(answer, asked, where);
    } catch (error) {
        if (error instanceof OutgoingError && error.status === 401) {
            const said = saidBy(error.body) ?? 'no access with these credentials';
            throw new RegistryLoginError(`authorization server ${where}: ${said}`, error);
        }
        throw error;
    }
}
