import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { MantaClient } from '../doubles/manta/client.js';
import { MantaDouble, type MantaDoubleOptions } from '../doubles/manta/manta-double.js';
import { MantaProcess } from '../doubles/manta/manta-process.js';
import { makeMantaKey, type MantaKey } from './manta-keys.js';
import { selfSigned } from './self-signed.js';
import { temporaryDirectory } from './server-process.js';
import type { KeyKind } from './signing.js';

/** How to make a Manta; everything is optional. */
export interface MantaPlaceOptions extends Partial<Omit<MantaDoubleOptions, 'tls' | 'directory'>> {
    readonly user?: string;
    readonly kind?: KeyKind;
    /** The account may do everything in all accounts. */
    readonly operator?: boolean;
    /** The double speaks TLS, and nobody trusts its certificate. */
    readonly tls?: boolean;
}

/** The `manta` block of a configuration, without directories (backends 1.2). */
export interface MantaConfig {
    readonly url: string;
    readonly user: string;
    /** File with the private key. */
    readonly key: string;
    readonly keyId: string;
    readonly insecure?: boolean;
}

/** A Manta with an account, and what a server needs to know of it. */
export interface MantaPlace {
    /** `/user/stor`. */
    readonly root: string;
    /** Directory of the key and of what is stored. */
    readonly directory: string;
    readonly key: MantaKey;
    readonly config: MantaConfig;
    /** What the double is started with, for another one on the same directory. */
    readonly options: MantaDoubleOptions & { readonly directory: string };
}

/** Makes a key, and what a double and a server must know of each other. */
export function mantaPlace(
    t: Test,
    {
        user = 'admin',
        kind = 'rsa',
        operator = false,
        tls = false,
        accounts = {},
        ...rest
    }: MantaPlaceOptions = {},
): Omit<MantaPlace, 'config'> & { readonly configFor: (url: string) => MantaConfig } {
    const directory = temporaryDirectory();
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const key = makeMantaKey(directory, kind);
    return {
        root: `/${user}/stor`,
        directory,
        key,
        options: {
            accounts: { [user]: { keys: [key.publicLine], operator }, ...accounts },
            directory: join(directory, 'manta'),
            ...(tls && { tls: selfSigned('127.0.0.1') }),
            ...rest,
        },
        configFor: (url) => ({
            url,
            user,
            key: key.file,
            keyId: key.fingerprint,
            ...(tls && { insecure: true }),
        }),
    };
}

/** Starts a Manta in this process that ends with the test. */
export async function startManta(
    t: Test,
    options: MantaPlaceOptions = {},
): Promise<MantaPlace & { readonly double: MantaDouble }> {
    const { configFor, ...place } = mantaPlace(t, options);
    const double = await MantaDouble.start(place.options);
    t.teardown(() => double.close());
    return { ...place, double, config: configFor(double.url) };
}

/** Starts a Manta in a process of its own that ends with the test; `again` starts one more on its directory and port. */
export async function startMantaProcess(
    t: Test,
    options: MantaPlaceOptions = {},
): Promise<MantaPlace & { readonly double: MantaProcess; readonly again: () => Promise<MantaProcess> }> {
    const { configFor, ...place } = mantaPlace(t, options);
    const start = async (port: number): Promise<MantaProcess> => {
        const double = await MantaProcess.start({ ...place.options, port });
        t.teardown(() => double.stop());
        return double;
    };
    const double = await start(0);
    return { ...place, double, again: () => start(double.port), config: configFor(double.url) };
}

/** The real client library for a Manta; closed when the test ends. */
export function mantaClient(t: Test, config: MantaConfig): MantaClient {
    const client = new MantaClient(config);
    t.teardown(() => client.close());
    return client;
}
