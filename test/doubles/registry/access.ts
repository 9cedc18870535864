import type { IncomingHttpHeaders } from 'node:http';
import { RegistryError } from './registry-error.js';
import type { TokenServer } from './token-server.js';

/** Whom a registry lets in; by default everybody. */
export interface RegistryAuth {
    /** Passwords by name: HTTP Basic. */
    readonly basic?: Readonly<Record<string, string>>;
    /** Gives the tokens the registry wants. */
    readonly tokens?: TokenServer;
}

/** Looks at who asks. */
export class Gatekeeper {
    readonly #auth: RegistryAuth;
    readonly #seen = new Set<string>();
    readonly #expired = new Set<string>();

    constructor(auth: RegistryAuth) {
        this.#auth = auth;
    }

    /** From now on no token is good any more that has been shown so far. */
    expireTokens(): void {
        for (const token of this.#seen) this.#expired.add(token);
    }

    /** @param repository absent: none in particular @throws RegistryError 401 */
    check(
        { authorization = '' }: IncomingHttpHeaders,
        repository?: string,
        actions: readonly string[] = [],
    ): void {
        const { basic, tokens } = this.#auth;
        if (basic !== undefined && !hasPassword(basic, authorization)) {
            throw refused('Basic realm="registry of the tests"');
        }
        if (tokens === undefined) return;
        const scope = repository === undefined ? undefined : `repository:${repository}:${actions.join(',')}`;
        const [, token] = /^Bearer (\S+)$/.exec(authorization) ?? [];
        if (token === undefined) throw refused(tokens.challenge(scope));
        this.#seen.add(token);
        const claims = this.#expired.has(token) ? undefined : tokens.claims(token);
        if (claims === undefined) throw refused(tokens.challenge(scope, 'invalid_token'));
        if (!this.mayDo(authorization, repository, actions)) {
            throw refused(tokens.challenge(scope, 'insufficient_scope'));
        }
    }

    /** Whether somebody whom {@link check} has let in may do this with a repository. */
    mayDo(authorization: string, repository: string | undefined, actions: readonly string[]): boolean {
        const { tokens } = this.#auth;
        if (tokens === undefined || repository === undefined) return true;
        const access = tokens.claims(authorization.replace('Bearer ', ''))?.access ?? [];
        return actions.every((action) =>
            access.some(({ name, actions: allowed }) => name === repository && allowed.includes(action)),
        );
    }
}

function hasPassword(users: Readonly<Record<string, string>>, authorization: string): boolean {
    return Object.entries(users).some(
        ([name, password]) =>
            authorization === `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
    );
}

function refused(challenge: string): RegistryError {
    return new RegistryError(401, 'UNAUTHORIZED', 'authentication required', {
        headers: { 'www-authenticate': challenge },
    });
}
