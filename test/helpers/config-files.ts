import { join } from 'node:path';
import type { Test } from 'tap';
import { loadConfig, type LoadOptions } from '#lib/base/config.js';
import type { Config } from '#lib/base/config-types.js';

const NO_ENVIRONMENT: LoadOptions = { environment: {} };

/** Writes a configuration file and returns its path; text is written as it is. */
export function file(test: Test, content: unknown): string {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    return join(test.testdir({ 'c.json': text }), 'c.json');
}

/** Loads settings as a start would, without this machine's environment. */
export function load(test: Test, content: unknown, options: LoadOptions = {}): Config {
    return loadConfig(file(test, content), { ...NO_ENVIRONMENT, ...options });
}

/** The problem a start stops at, or `no problem`. */
export function firstProblem(test: Test, content: unknown): string {
    try {
        load(test, content);
    } catch (error) {
        const { message } = error as Error;
        return message.replace('invalid IMGAPI config: ', '');
    }
    return 'no problem';
}

/** What mode dc needs. */
export const DC = {
    mode: 'dc',
    datacenterName: 'dc1',
    ufds: { url: 'ldaps://u', bindDN: 'cn=root', bindPassword: 'pw' },
    moray: { host: 'm', port: 2020 },
    adminIp: '10.0.0.5',
    adminUuid: '930896af-bf8c-48d4-885c-6573a94b1853',
    serviceName: 'imgapi',
    instanceUuid: 'i',
    serverUuid: 's',
};
/** What Manta needs. */
export const MANTA = { url: 'https://m', user: 'bob', key: '/k', keyId: 'aa:bb' };
