import type Logger from 'bunyan';
import { loadConfig } from '../../../base/config.js';
import { mantaRootDir } from '../../../base/config-computed.js';
import { VERSION } from '../../../base/constants.js';
import { messageOf } from '../../../base/errors.js';
import { HttpClient } from '../../../base/http-client.js';
import type { SapiEntry } from '../../../remotes/sapi/answers.js';
import { SapiClient } from '../../../remotes/sapi/sapi.js';

/** Requests to the services of a datacenter at the same time. */
const MAX_SOCKETS = 2;

/** The application that holds what belongs to the whole datacenter, and our service in it (operations 3.1). */
const APPLICATION = 'sdc';
const SERVICE = 'imgapi';

/** How to reach the services of a datacenter. */
export interface DatacenterAccess {
    /** Configuration of a server in the datacenter; it need not be there. */
    readonly configPath: string;
    /** Instead of the one that the configuration names. */
    readonly sapiUrl: string | undefined;
    readonly signal: AbortSignal;
    readonly log: Logger;
}

/** What SAPI knows of a datacenter, and the way to its services. */
export interface Datacenter {
    readonly log: Logger;
    /** Ends everything. */
    readonly signal: AbortSignal;
    readonly http: HttpClient;
    readonly sapi: SapiClient;
    /** Our service. */
    readonly service: SapiEntry;
    /** Login of the operator's account, as the configuration or else SAPI knows it. */
    readonly adminLogin: () => string;
    /** A value of the service, else of the whole datacenter; `undefined`: it is not set. */
    readonly setting: (key: string) => string | undefined;
    /** The same. @throws Error when it is not set */
    readonly fact: (key: string) => string;
}

/** A text that says something; switches count as text. */
function given(value: unknown): string | undefined {
    const text = typeof value === 'boolean' ? String(value) : value;
    return typeof text === 'string' && text !== '' ? text : undefined;
}

/** A setting of the configuration, or why there is none. */
function configured(path: string, key: string): { readonly value?: string; readonly problem: string } {
    try {
        const settings: Readonly<Record<string, unknown>> = { ...loadConfig(path) };
        const value = given(settings[key]);
        return { problem: `${path} has no ${key}`, ...(value === undefined ? {} : { value }) };
    } catch (error) {
        return { problem: messageOf(error) };
    }
}

function sapiUrlOf({ configPath, sapiUrl }: DatacenterAccess): string {
    if (sapiUrl !== undefined) {
        return sapiUrl;
    }
    const { value: host, problem } = configured(configPath, 'sapi_service');
    if (host === undefined) {
        throw new Error(`where is SAPI? Give --sapi-url. (${problem})`);
    }
    return `http://${host}`;
}

async function readDatacenter(access: DatacenterAccess, http: HttpClient): Promise<Datacenter> {
    const { configPath, signal, log } = access;
    const url = sapiUrlOf(access);
    const sapi = new SapiClient({ http, url, signal });
    const application = await sapi.application(APPLICATION);
    const service = await sapi.service(SERVICE, application.uuid);
    log.info(
        { sapi: url, application: application.uuid, service: service.uuid },
        'found the service in SAPI',
    );
    const setting = (key: string): string | undefined =>
        given(service.metadata[key]) ?? given(application.metadata[key]);
    const fact = (key: string): string => {
        const value = setting(key);
        if (value === undefined) {
            throw new Error(`SAPI's application "${APPLICATION}" has no metadata "${key}"`);
        }
        return value;
    };
    return {
        log,
        signal,
        http,
        sapi,
        service,
        setting,
        fact,
        adminLogin: () => configured(configPath, 'ufds_admin_login').value ?? fact('ufds_admin_login'),
    };
}

/**
 * Does something with a datacenter.
 *
 * @throws Error when SAPI cannot be asked or does not know the service; what `task` throws
 */
export async function withDatacenter<T>(
    access: DatacenterAccess,
    task: (datacenter: Datacenter) => Promise<T>,
): Promise<T> {
    const current = { maxSockets: MAX_SOCKETS, serverName: `IMGAPI/${VERSION}` };
    const http = new HttpClient({ config: { current } });
    try {
        return await task(await readDatacenter(access, http));
    } finally {
        await http.close();
    }
}

/** Where the servers of a datacenter keep their files in the area of an account (backends 1.5). */
export function rootDirOf({ setting, fact }: Datacenter, user: string): string {
    const baseDir = setting('STORAGE_MANTA_BASEDIR');
    return mantaRootDir({ user, baseDir, datacenter: fact('datacenter_name') });
}
