import { once } from 'node:events';
import type { Server as NetServer, Socket } from 'node:net';
import ldap, { type Server } from 'ldapjs';
import { USERS } from '../../helpers/images.js';

/** A user of the datacenter. */
export interface UfdsUser {
    readonly uuid: string;
    readonly login: string;
}

/** A key of a user. */
export interface UfdsKey {
    /** Of its owner. */
    readonly uuid: string;
    readonly name: string;
    /** MD5 form. */
    readonly fingerprint: string;
    /** A line of an SSH key file. */
    readonly openssh: string;
    readonly pkcs?: string;
}

/**
 * What is wrong with it:
 * - `hang-up`: connections are taken and closed at once;
 * - `hang`: nothing is answered, `hang-search`: only binds are;
 * - `break-off`: the connection ends in the middle of an entry;
 * - `busy`: searches are answered with LDAP code 51, `no-base` with 32;
 * - `forget`: searches are told to bind first;
 * - `strange-code`: a search ends with a code that no standard knows;
 * - `nonsense`: a search is answered with bytes that are not LDAP.
 */
export type UfdsFault =
    | 'none'
    | 'hang-up'
    | 'hang'
    | 'hang-search'
    | 'break-off'
    | 'busy'
    | 'no-base'
    | 'forget'
    | 'strange-code'
    | 'nonsense';

/** How to start a {@link UfdsDouble}. */
export interface UfdsDoubleOptions {
    /** PEM texts: the server speaks TLS. */
    readonly tls?: { readonly certificate: string; readonly key: string };
}

/** The parts of the library's requests and answers that are used here. */
interface LdapRequest {
    readonly dn: { toString(): string; equals(other: unknown): boolean };
    readonly messageId: number;
    readonly credentials: string;
    readonly scope: unknown;
    readonly sizeLimit: number;
    readonly filter: { matches(entry: object, strictCase?: boolean): boolean; toString(): string };
    /** Of an entry to add. */
    readonly attributes: readonly { readonly type: string; readonly values: readonly string[] }[];
    readonly connection: Socket & { ldap: { bindDN: { toString(): string } } };
}
interface LdapAnswer {
    send(entry: { dn: string; attributes: object }): void;
    end(): void;
}
type Next = (error?: unknown) => void;
type Handler = (request: LdapRequest, answer: LdapAnswer, next: Next) => Promise<void> | void;

const USERS_BASE = 'ou=users,o=smartdc';
/** Read by other clients of UFDS; there, and empty (jobs-and-imports 10). */
const GROUPS = ['cn=operators,ou=groups,o=smartdc', 'cn=readers,ou=groups,o=smartdc'];
const SCOPES: Readonly<Record<string, string>> = { 0: 'base', 1: 'one', 2: 'sub' };

const KEY_FIELDS = ['name', 'fingerprint', 'openssh', 'pkcs'] as const;

/** Where a key is. */
function keyName({ uuid, fingerprint }: Pick<UfdsKey, 'uuid' | 'fingerprint'>): string {
    return `fingerprint=${fingerprint},uuid=${uuid},${USERS_BASE}`;
}

/** The library's errors are errors; its types do not say so. */
function asError(error: object): Error {
    return error as Error;
}

/** Half of a search entry: it announces more bytes than follow. */
function halfAnEntry(messageId: number): Buffer {
    return Buffer.from([0x30, 0x60, 0x02, 0x01, messageId & 0x7f, 0x64, 0x5b, 0x04, 0x40, 0x75, 0x75]);
}

/** The end of a search with result code 90, which means nothing. */
function strangeEnd(messageId: number): Buffer {
    return Buffer.from([0x30, 12, 0x02, 1, messageId & 0x7f, 0x65, 7, 0x0a, 1, 90, 0x04, 0, 0x04, 0]);
}

/** A user database on a loopback port that speaks LDAP as the real one does (jobs-and-imports 10). */
export class UfdsDouble {
    readonly users = new Map<string, UfdsUser>();
    readonly keys: UfdsKey[] = [];
    /** Whether no two keys of a user may have one name. */
    uniqueNames = false;
    /** Told of each key that is added. */
    onKey: ((key: UfdsKey) => void) | undefined;
    /** Additions and removals of keys are refused. */
    readOnly = false;
    bindDN = 'cn=root';
    bindPassword = 'the password of UFDS';
    /** Successful and refused binds. */
    binds = 0;
    refusedBinds = 0;
    unbinds = 0;
    /** Filters of the searches for accounts, in order. */
    readonly lookups: string[] = [];
    /** All searches. */
    searches = 0;
    readonly #options: UfdsDoubleOptions;
    readonly #sockets = new Set<Socket>();
    #server: Server | undefined;
    #port = 0;
    #held: Promise<void> | undefined;
    #fault: UfdsFault = 'none';
    #isOnce = false;

    private constructor(options: UfdsDoubleOptions) {
        this.#options = options;
        Object.entries(USERS).forEach(([login, uuid]) => this.users.set(uuid, { uuid, login }));
    }

    /** Starts it with the users of the other tests, vader and so on. */
    static async start(options: UfdsDoubleOptions = {}): Promise<UfdsDouble> {
        const double = new UfdsDouble(options);
        await double.start();
        return double;
    }

    get url(): string {
        return `${this.#options.tls === undefined ? 'ldap' : 'ldaps'}://127.0.0.1:${this.#port}`;
    }

    /** `ufds` of a configuration for it. */
    get config(): { url: string; bindDN: string; bindPassword: string } {
        return { url: this.url, bindDN: this.bindDN, bindPassword: this.bindPassword };
    }

    /** Connections that are open now. */
    get connections(): number {
        return this.#sockets.size;
    }

    get fault(): UfdsFault {
        return this.#fault;
    }

    set fault(fault: UfdsFault) {
        this.#set(fault, false);
    }

    /** The next search fails, those after it do not. */
    failOnce(fault: UfdsFault): void {
        this.#set(fault, true);
    }

    /** Listens again, on the same port. */
    async start(): Promise<void> {
        const server = ldap.createServer(this.#options.tls ?? {});
        // What clients send or how they leave is theirs to judge.
        server.on('clientError', () => undefined);
        server.on('error', () => undefined);
        const listener = (server as unknown as { server: NetServer }).server;
        listener.prependListener('connection', (socket: Socket) => this.#accept(socket));
        const count = (_request: LdapRequest, _answer: LdapAnswer, next: Next): void => {
            this.unbinds += 1;
            next();
        };
        server.unbind(count);
        server.bind(
            '',
            this.#guarded((...args) => this.#bind(...args)),
        );
        server.search(
            '',
            this.#guarded((...args) => this.#search(...args)),
        );
        server.add(
            USERS_BASE,
            this.#guarded((...args) => this.#add(...args)),
        );
        server.del(
            USERS_BASE,
            this.#guarded((...args) => this.#remove(...args)),
        );
        server.listen(this.#port, '127.0.0.1');
        await once(listener, 'listening');
        const address = listener.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        this.#port = address.port;
        this.#server = server;
    }

    /** Ends as a killed process does: nothing listens any more, connections are gone. */
    async stop(): Promise<void> {
        const server = this.#server;
        this.#server = undefined;
        if (server === undefined) return;
        const closed = new Promise<void>((resolve) => server.close(() => resolve()));
        this.dropConnections();
        await closed;
    }

    dropConnections(): void {
        this.#sockets.forEach((socket) => socket.destroy());
    }

    /** Holds every answer back until the function it gives is called. */
    hold(): () => void {
        let release: () => void = () => undefined;
        this.#held = new Promise((resolve) => (release = resolve));
        return () => {
            this.#held = undefined;
            release();
        };
    }

    #set(fault: UfdsFault, isOnce: boolean): void {
        this.#fault = fault;
        this.#isOnce = isOnce;
    }

    #accept(socket: Socket): void {
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        if (this.fault === 'hang-up') socket.destroy();
    }

    #guarded(handler: Handler): (request: LdapRequest, answer: LdapAnswer, next: Next) => void {
        return (request, answer, next) => {
            const run = async (): Promise<void> => {
                await this.#held;
                await handler(request, answer, next);
            };
            run().catch(next);
        };
    }

    #bind(request: LdapRequest, answer: LdapAnswer, next: Next): void {
        if (this.fault === 'hang') return;
        if (request.dn.toString() !== this.bindDN || request.credentials !== this.bindPassword) {
            this.refusedBinds += 1;
            throw asError(new ldap.InvalidCredentialsError('invalid credentials'));
        }
        this.binds += 1;
        answer.end();
        next();
    }

    #search(request: LdapRequest, answer: LdapAnswer, next: Next): void {
        this.searches += 1;
        if (String(request.filter).includes('sdcperson')) this.lookups.push(String(request.filter));
        if (this.#misbehaves(request)) return;
        if (request.connection.ldap.bindDN.toString() !== this.bindDN) {
            throw asError(new ldap.InsufficientAccessRightsError('bind first'));
        }
        const found = this.#entries(request).filter(({ attributes }) =>
            request.filter.matches(attributes, false),
        );
        const limit = request.sizeLimit === 0 ? found.length : request.sizeLimit;
        found.slice(0, limit).forEach((entry) => answer.send(entry));
        if (found.length > limit) throw asError(new ldap.SizeLimitExceededError('more than asked for'));
        answer.end();
        next();
    }

    #add(request: LdapRequest, answer: LdapAnswer, next: Next): void {
        this.#requireWrite(request);
        const valueOf = (wanted: string): string =>
            request.attributes.find(({ type }) => type === wanted)?.values[0] ?? '';
        const [name = '', fingerprint = '', openssh = '', pkcs = ''] = KEY_FIELDS.map(valueOf);
        const owner = [...this.users.keys()].find(
            (uuid) => request.dn.toString() === keyName({ uuid, fingerprint }),
        );
        if (owner === undefined || valueOf('objectclass') !== 'sdckey' || openssh === '') {
            throw asError(new ldap.ConstraintViolationError('no key of a user'));
        }
        const own = this.keys.filter(({ uuid }) => uuid === owner);
        if (own.some((key) => key.fingerprint === fingerprint)) {
            throw asError(new ldap.EntryAlreadyExistsError(request.dn.toString()));
        }
        if (this.uniqueNames && own.some((key) => key.name === name)) {
            throw asError(new ldap.ConstraintViolationError(`${name} already exists`));
        }
        const key = { uuid: owner, name, fingerprint, openssh, pkcs };
        this.keys.push(key);
        this.onKey?.(key);
        answer.end();
        next();
    }

    #remove(request: LdapRequest, answer: LdapAnswer, next: Next): void {
        this.#requireWrite(request);
        const at = this.keys.findIndex((key) => keyName(key) === request.dn.toString());
        if (at === -1) throw asError(new ldap.NoSuchObjectError(request.dn.toString()));
        this.keys.splice(at, 1);
        answer.end();
        next();
    }

    #requireWrite({ connection }: LdapRequest): void {
        if (this.readOnly || connection.ldap.bindDN.toString() !== this.bindDN) {
            throw asError(new ldap.InsufficientAccessRightsError('not for you'));
        }
    }

    /** Does what is wrong; false: the search is to be answered. */
    #misbehaves({ connection, messageId }: LdapRequest): boolean {
        const { fault } = this;
        if (this.#isOnce) this.#set('none', false);
        switch (fault) {
            case 'hang':
            case 'hang-search':
                return true;
            case 'break-off':
                connection.end(halfAnEntry(messageId));
                return true;
            case 'strange-code':
                connection.write(strangeEnd(messageId));
                return true;
            case 'nonsense':
                connection.write('HTTP/1.1 400 Bad Request\r\n\r\n');
                return true;
            case 'busy':
                throw asError(new ldap.BusyError('too much to do'));
            case 'no-base':
                throw asError(new ldap.NoSuchObjectError(USERS_BASE));
            case 'forget':
                throw asError(new ldap.InsufficientAccessRightsError('bind first'));
            default:
                return false;
        }
    }

    /** The entries in the scope of a search. */
    #entries({ dn, scope }: LdapRequest): { dn: string; attributes: Record<string, unknown> }[] {
        const base = dn.toString();
        const kind = SCOPES[String(scope)] ?? String(scope);
        if (GROUPS.includes(base) && kind === 'base') return [];
        if (base === USERS_BASE) {
            return kind === 'base'
                ? [{ dn: base, attributes: { objectclass: ['organizationalunit'], ou: ['users'] } }]
                : [...this.users.values()].map(({ uuid, login }) => ({
                      dn: `uuid=${uuid}, ${USERS_BASE}`,
                      attributes: { objectclass: ['sdcperson'], uuid: [uuid], login: [login] },
                  }));
        }
        // Keys of a user lie below it; settings (dclocalconfig) do, too, but there are none.
        const user = [...this.users.keys()].find((uuid) => base === `uuid=${uuid},${USERS_BASE}`);
        if (user !== undefined && kind === 'one') {
            return this.keys
                .filter(({ uuid }) => uuid === user)
                .map((key) => ({
                    dn: keyName(key),
                    attributes: {
                        objectclass: ['sdckey'],
                        ...Object.fromEntries(KEY_FIELDS.map((field) => [field, [key[field] ?? '']])),
                    },
                }));
        }
        throw asError(new ldap.NoSuchObjectError(base));
    }
}
