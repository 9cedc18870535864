import { loadConfig } from '../../base/config.js';
import type { Config } from '../../base/config-types.js';
import { messageOf } from '../../base/errors.js';
import { HttpClient } from '../../base/http-client.js';
import { parseHttpUrl } from '../../base/http-urls.js';
import { VERSION } from '../../base/constants.js';
import { ImageServerClient } from '../../remotes/imgapi/image-server-client.js';
import { RequestSigner, type SignerOptions } from '../../remotes/imgapi/request-signer.js';
import type { CommandOption, ParsedOptions } from '../options.js';
import { UsageError } from './command.js';
import { CONFIG_OPTION, configPath } from './config-path.js';

/** Options of subcommands that use the API of a running server (operations 2.2, 3.4). */
export const SERVER_ACCESS_OPTIONS: readonly CommandOption[] = [
    {
        name: 'url',
        argument: 'URL',
        help: ['The server; default: IMGAPI_CLI_URL, else address and port of the', 'configuration file.'],
    },
    CONFIG_OPTION,
    {
        name: 'identity',
        short: 'i',
        argument: 'KEYPATH',
        help: ['Private key to sign with; default: IMGAPI_CLI_IDENTITY.'],
    },
    {
        name: 'user',
        short: 'u',
        argument: 'USER',
        help: ['User to sign as; default: IMGAPI_CLI_USER.'],
    },
    {
        name: 'channel',
        short: 'C',
        argument: 'CHANNEL',
        help: ['Only images of this channel; default: IMGAPI_CLI_CHANNEL, else all.'],
    },
    {
        name: 'insecure',
        help: ['Take any TLS certificate; also if IMGAPI_CLI_INSECURE is set.'],
    },
];

/** Where a server is. */
export interface ServerAddress {
    readonly url: string;
    /** Whether its plain listener waits for a PROXY header; default: no. */
    readonly proxyProtocol?: boolean;
}

/** Where the server is, and as whom to use it. */
export interface ServerAccess extends ServerAddress {
    /** Absent: requests are not signed. */
    readonly identity?: SignerOptions;
    readonly channel?: string;
    readonly insecure: boolean;
}

/** A text that was given, by an option or else a variable; an empty variable is none. */
type Given = (option: string, variable?: string) => string | undefined;

function givenBy(parsed: ParsedOptions, environment: NodeJS.ProcessEnv): Given {
    return (option, variable) => {
        const value = parsed.values.get(option);
        if (value === '') {
            throw new UsageError(`option requires an argument: --${option}`);
        }
        return value ?? (variable === undefined ? undefined : environment[variable] || undefined);
    };
}

/** Addresses that mean every one of the machine are no addresses to go to. */
function reachable(address: string): string {
    const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
    return host.includes(':') ? `[${host}]` : host;
}

/** Where the server of a configuration is to be reached from this machine. */
export function addressOfConfig(config: Config): ServerAddress {
    const { tls, proxyProtocol } = config;
    return tls?.only === true
        ? { url: `https://${reachable(tls.address ?? config.address)}:${tls.port}` }
        : {
              url: `http://${reachable(config.address)}:${config.port}`,
              ...(proxyProtocol ? { proxyProtocol } : {}),
          };
}

function serverAddress(given: Given, parsed: ParsedOptions, environment: NodeJS.ProcessEnv): ServerAddress {
    const path = given('config');
    const url = given('url') ?? (path === undefined ? environment['IMGAPI_CLI_URL'] || undefined : undefined);
    if (url !== undefined) {
        if (parseHttpUrl(url) === undefined) {
            throw new UsageError(`no http or https URL: "${url}"`);
        }
        return { url };
    }
    try {
        return addressOfConfig(loadConfig(configPath(parsed, environment)));
    } catch (cause) {
        const reason = messageOf(cause);
        throw new Error(`where is the server? Give --url. (${reason})`, { cause });
    }
}

function identityOf(given: Given, environment: NodeJS.ProcessEnv): SignerOptions | undefined {
    const auth = environment['IMGAPI_CLI_AUTH'] || undefined;
    if (auth !== undefined && auth !== 'none' && auth !== 'signature') {
        throw new UsageError(`IMGAPI_CLI_AUTH must be "signature" or "none": "${auth}"`);
    }
    const fromEnvironment = auth !== 'none';
    const user = given('user', fromEnvironment ? 'IMGAPI_CLI_USER' : undefined);
    const keyPath = given('identity', fromEnvironment ? 'IMGAPI_CLI_IDENTITY' : undefined);
    if (user !== undefined && /["\\\s\p{Cc}]/u.test(user)) {
        throw new UsageError(`no name of a user: "${user}"`);
    }
    if (user !== undefined && keyPath !== undefined) {
        return { user, keyPath };
    }
    // A user alone may be meant for other servers, unless somebody has just said so.
    if (keyPath === undefined && given('user') === undefined && auth !== 'signature') {
        return undefined;
    }
    throw new UsageError(user === undefined ? 'whose key is it? Give --user.' : 'no key: give --identity');
}

function isSet(value: string | undefined): boolean {
    return value !== undefined && !['', '0', 'false'].includes(value);
}

/** Reads the options and their variables. @throws UsageError, or Error when the configuration is of no use */
export function serverAccess(parsed: ParsedOptions, environment: NodeJS.ProcessEnv): ServerAccess {
    const given = givenBy(parsed, environment);
    const identity = identityOf(given, environment);
    const channel = given('channel', 'IMGAPI_CLI_CHANNEL');
    return {
        ...serverAddress(given, parsed, environment),
        insecure: parsed.counts.has('insecure') || isSet(environment['IMGAPI_CLI_INSECURE']),
        ...(identity === undefined ? {} : { identity }),
        ...(channel === undefined || channel === '*' ? {} : { channel }),
    };
}

/** A client for a server, and how to be done with it. */
export interface ServerConnection {
    readonly client: ImageServerClient;
    close(): Promise<void>;
}

/**
 * Gets ready to talk to a server; asks nothing yet.
 *
 * @param calls how many requests there may be at the same time
 * @throws Error when the key cannot be read
 */
export async function connectToServer(access: ServerAccess, calls: number): Promise<ServerConnection> {
    const { url, proxyProtocol = false, identity, channel, insecure } = access;
    const signer = identity === undefined ? undefined : await RequestSigner.create(identity);
    const http = new HttpClient({
        // One's own server is not behind the proxy that other servers are behind.
        config: {
            current: { maxSockets: calls, serverName: `imgapiadm/${VERSION}`, allowInsecure: insecure },
        },
        proxyHeader: proxyProtocol,
    });
    const client = new ImageServerClient({
        http,
        url,
        ...(signer === undefined ? {} : { signer }),
        ...(channel === undefined ? {} : { channel }),
    });
    return { client, close: () => http.close() };
}
