import type { HttpClient, OutgoingTimeouts } from '../../base/http-client.js';
import { connectionCode, OutgoingError } from '../../base/http-errors.js';
import type { OutgoingSettings } from '../../base/http-peers.js';
import type { AddressSupplier } from '../../base/http-supplier.js';
import { parseHttpUrl } from '../../base/http-urls.js';
import type { DockerRepository } from '../../manifest/docker/repository.js';
import type { TokenSource } from './authorization-server.js';
import { parseChallenges, type Challenge } from './challenges.js';
import { RegistryLoginError } from './login-error.js';

/** For the connection and for all of the ping, milliseconds (jobs-and-imports 5.2). */
const PING_TIMEOUTS = { connectMs: 10_000, headersMs: 30_000, totalMs: 60_000 };
/** Largest answer to a ping, bytes: it is `{}`. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** How a registry wants to be asked. */
export type Door =
    | { readonly kind: 'open' | 'basic'; readonly baseUrl: string }
    | { readonly kind: 'bearer'; readonly baseUrl: string; readonly tokens: TokenSource };

/** What {@link findDoor} needs. */
export interface DoorOptions {
    readonly http: HttpClient;
    readonly settings: OutgoingSettings;
    readonly repository: DockerRepository;
    readonly supplier: AddressSupplier;
    readonly timeouts: Partial<OutgoingTimeouts>;
    readonly signal: AbortSignal;
}

/** Who answers there does not speak TLS, or nobody answers: not a name that is unknown, or mere silence. */
function speaksNoTls(error: unknown): boolean {
    if (!(error instanceof OutgoingError) || (error.kind !== 'connect' && error.kind !== 'malformed')) {
        return false;
    }
    return /^(ECONNREFUSED|ECONNRESET|EPROTO|UND_ERR_SOCKET|ERR_SSL_|HPE_)/.test(connectionCode(error.cause));
}

function bearerDoor(baseUrl: string, { params }: Challenge): Door {
    const realm = parseHttpUrl(params.get('realm') ?? '');
    if (realm === undefined) {
        throw new OutgoingError('malformed', `${baseUrl}: the authorization server has no http or https URL`);
    }
    realm.username = '';
    realm.password = '';
    realm.hash = '';
    const service = params.get('service');
    return { kind: 'bearer', baseUrl, tokens: { realm, ...(service === undefined ? {} : { service }) } };
}

/** Tokens are preferred, for they hide the password from the registry. */
function doorOf(baseUrl: string, refusal: OutgoingError): Door {
    const challenges = parseChallenges(refusal.headers['www-authenticate']);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined) {
        return bearerDoor(baseUrl, bearer);
    }
    if (challenges.some(({ scheme }) => scheme === 'basic')) {
        return { kind: 'basic', baseUrl };
    }
    throw new RegistryLoginError(`${baseUrl}: it asks for neither Basic nor Bearer authorization`, refusal);
}

async function ping(baseUrl: string, { http, supplier, timeouts, signal }: DoorOptions): Promise<Door> {
    try {
        const { status } = await http.bytes({
            url: `${baseUrl}/v2/`,
            peer: 'registry',
            supplier,
            maxBytes: MAX_ANSWER_BYTES,
            timeouts: { ...PING_TIMEOUTS, ...timeouts },
            retryDelaysMs: [],
            signal,
        });
        if (status !== 200) {
            throw new OutgoingError('status', `GET ${baseUrl}/v2/: status ${status}`, { status });
        }
        return { kind: 'open', baseUrl };
    } catch (error) {
        if (error instanceof OutgoingError && error.status === 401) {
            return doorOf(baseUrl, error);
        }
        throw error;
    }
}

/**
 * Asks a registry how it wants to be asked, without credentials, once and not again when that fails
 * (jobs-and-imports 5.2).
 *
 * With `dockerRegistryInsecure`, plain HTTP will do where no TLS is spoken, unless the caller has said which
 * of the two he wants.
 *
 * @throws RegistryLoginError when it asks for what we have not; OutgoingError
 */
export async function findDoor(options: DoorOptions): Promise<Door> {
    const { repository, settings } = options;
    const { baseUrl, isSchemeGiven } = repository;
    try {
        return await ping(baseUrl, options);
    } catch (error) {
        const mayBePlain =
            settings.dockerRegistryInsecure === true && !isSchemeGiven && baseUrl.startsWith('https:');
        if (!mayBePlain || !speaksNoTls(error)) {
            throw error;
        }
        return ping(baseUrl.replace(/^https:/, 'http:'), options).catch((second: unknown) => {
            // If nobody answers there either, what is wrong is what was wrong with the place that was named.
            throw second instanceof OutgoingError && second.kind === 'connect' ? error : second;
        });
    }
}
