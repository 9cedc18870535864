import { createPublicKey, sign, verify, X509Certificate, type KeyObject } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { selfSigned } from '../../helpers/self-signed.js';
import { HttpService, sendJson, type ServedRequest } from '../http-service.js';

/** What the holder of a token may do with a repository. */
export interface Access {
    readonly type: 'repository';
    readonly name: string;
    readonly actions: readonly string[];
}

/** Of a token, what registries look at. */
export interface TokenClaims {
    readonly iss: string;
    readonly aud: string;
    readonly sub: string;
    /** Seconds. */
    readonly exp: number;
    readonly access: readonly Access[];
}

/** Whom a {@link TokenServer} gives tokens to. */
export interface TokenServerOptions {
    /** Passwords by name. */
    readonly users?: Readonly<Record<string, string>>;
    /** Names of users by the refresh tokens they have. */
    readonly refreshTokens?: Readonly<Record<string, string>>;
    /** What those without a name get; by default they may pull if there are no users. */
    readonly anonymous?: readonly string[];
    /** Of the registry. */
    readonly service?: string;
}

/** How a token server behaves from now on. */
export interface TokenBehaviour {
    /** How long tokens are good. */
    lifeSeconds: number;
    /** Under which keys of its answer the token is: none, one or both. */
    keys: readonly ('token' | 'access_token')[];
    /** Asked first; true: it has answered by itself. */
    instead: (request: ServedRequest, response: ServerResponse) => boolean;
}

function base64url(value: Buffer | object): string {
    return (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString('base64url');
}

/** Gives out tokens for repositories, signed as registries want them; speaks both ways of asking for one. */
export class TokenServer extends HttpService {
    readonly issuer = 'token server of the tests';
    readonly service: string;
    /** PEM; registries trust what its key has signed. */
    readonly certificate: string;
    readonly behaviour: TokenBehaviour = { lifeSeconds: 300, keys: ['token'], instead: () => false };
    readonly #key: string;
    readonly #publicKey: KeyObject;
    readonly #options: TokenServerOptions;
    #serial = 0;

    constructor(options: TokenServerOptions = {}) {
        super((request, response) => this.#answer(request, response));
        this.#options = options;
        this.service = options.service ?? 'registry of the tests';
        const { certificate, key } = selfSigned('token.example.com');
        this.certificate = certificate;
        this.#key = key;
        this.#publicKey = createPublicKey(certificate);
    }

    /** Where registries send those without a token. */
    get realm(): string {
        return `${this.url}/token`;
    }

    /** The value of `WWW-Authenticate`. */
    challenge(scope?: string, error?: string): string {
        const more = Object.entries({ scope, error }).flatMap(([key, value]) =>
            value === undefined ? [] : [`,${key}="${value}"`],
        );
        return `Bearer realm="${this.realm}",service="${this.service}"${more.join('')}`;
    }

    /** @returns `undefined` unless the token is one of this server, for this registry, and still good */
    claims(token: string): TokenClaims | undefined {
        const [header = '', payload = '', signature = '', ...rest] = token.split('.');
        const text = Buffer.from(`${header}.${payload}`);
        const isOurs =
            rest.length === 0 && verify('sha256', text, this.#publicKey, Buffer.from(signature, 'base64url'));
        if (!isOurs) return undefined;
        const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as TokenClaims;
        const isGood =
            claims.iss === this.issuer && claims.aud === this.service && claims.exp * 1000 > Date.now();
        return isGood ? claims : undefined;
    }

    #answer(request: ServedRequest, response: ServerResponse): void {
        if (this.behaviour.instead(request, response)) return;
        if (request.path !== '/token') {
            sendJson(response, 404, { details: 'not found' });
            return;
        }
        const form = request.method === 'POST' ? new URLSearchParams(request.body) : request.query;
        const user = this.#userOf(request, form);
        if (user === undefined || form.get('service') !== this.service) {
            sendJson(response, 401, { details: 'incorrect username or password' });
            return;
        }
        const token = this.#token(user, form.getAll('scope'));
        const { lifeSeconds, keys } = this.behaviour;
        sendJson(response, 200, {
            ...Object.fromEntries(keys.map((key) => [key, token])),
            expires_in: lifeSeconds,
            issued_at: new Date().toISOString(),
        });
    }

    /** Name of the one who asks, empty without one; `undefined`: refused. */
    #userOf({ method, headers }: ServedRequest, form: URLSearchParams): string | undefined {
        const { users = {}, refreshTokens = {} } = this.#options;
        if (method === 'POST') {
            const isRefresh = form.get('grant_type') === 'refresh_token';
            return isRefresh ? refreshTokens[form.get('refresh_token') ?? ''] : undefined;
        }
        const { authorization } = headers;
        if (authorization === undefined) return '';
        const [, encoded = ''] = /^Basic ([\w+/=]+)$/.exec(authorization) ?? [];
        const [name = '', ...password] = Buffer.from(encoded, 'base64').toString().split(':');
        return users[name] === password.join(':') ? name : undefined;
    }

    #token(user: string, scopes: readonly string[]): string {
        const { users, anonymous = users === undefined ? ['pull'] : [] } = this.#options;
        const access = scopes
            .flatMap((scope) => scope.split(' '))
            .flatMap((scope): Access[] => {
                const [, name = '', wanted = ''] = /^repository:(.+):([\w,*]+)$/.exec(scope) ?? [];
                const actions = wanted.split(',').filter((one) => user !== '' || anonymous.includes(one));
                return name === '' || actions.length === 0 ? [] : [{ type: 'repository', name, actions }];
            });
        const now = Math.floor(Date.now() / 1000);
        const { raw } = new X509Certificate(this.certificate);
        const header = { typ: 'JWT', alg: 'RS256', x5c: [raw.toString('base64')] };
        const claims = {
            iss: this.issuer,
            sub: user,
            aud: this.service,
            exp: now + this.behaviour.lifeSeconds,
            nbf: now - 10,
            iat: now,
            jti: String(++this.#serial),
            access,
        };
        const text = `${base64url(header)}.${base64url(claims)}`;
        return `${text}.${base64url(sign('sha256', Buffer.from(text), this.#key))}`;
    }
}
