import { setTimeout as delay } from 'node:timers/promises';
import type Logger from 'bunyan';
import { VERSION } from '../../../base/constants.js';
import { isStorageDown, messageOf } from '../../../base/errors.js';
import { newUuid } from '../../../base/uuid.js';
import { MantaObjects } from '../../../remotes/manta/manta-objects.js';
import { ObjectStoreError, type ObjectStore } from '../../../remotes/object-store.js';
import type { MantaSettings } from './settings.js';

/** The client keeps some for calls and some for files. */
const MAX_SOCKETS = 3;
/** Pause between two tries, milliseconds. */
const PAUSE_MS = 5000;

/** How to find out whether a key opens an area in Manta. */
export interface AccessProbe {
    readonly settings: MantaSettings;
    readonly rootDir: string;
    /** So long it is tried again, seconds; 0: one try. */
    readonly waitSeconds: number;
    /** Between two tries, milliseconds; default: 5 s. */
    readonly pauseMs?: number;
    readonly signal: AbortSignal;
    readonly log: Logger;
}

/** Stores and removes an object where the servers will store theirs. */
async function probe(objects: ObjectStore, rootDir: string, signal: AbortSignal): Promise<void> {
    const path = `${rootDir}/.imgapi-manta-setup.${newUuid()}`;
    await objects.makeDirectory(rootDir);
    await objects.put(path, Buffer.from('probe\n'), { contentType: 'text/plain', signal });
    await objects.remove(path);
}

/** Codes for a certificate that is not trusted, and for a name that is not there: waiting does not help. */
const HOPELESS = /CERT|VERIFY|ENOTFOUND/;

/** The deepest cause: those above only say that there is one. */
function causeOf(error: unknown): unknown {
    return isStorageDown(error) && error instanceof Error && error.cause !== undefined
        ? causeOf(error.cause)
        : error;
}

function isHopeless(error: unknown): boolean {
    const cause = causeOf(error);
    return cause instanceof Error && 'code' in cause && HOPELESS.test(String(cause.code));
}

/** A key that Manta does not know yet, or a Manta that is not there at the moment. */
function mayPass(error: unknown): boolean {
    return (
        (isStorageDown(error) && !isHopeless(error)) ||
        (error instanceof ObjectStoreError && (error.status === 401 || error.status === 403))
    );
}

function reasonOf(error: unknown): string {
    return messageOf(causeOf(error));
}

async function tryUntilOpen(objects: ObjectStore, options: AccessProbe): Promise<void> {
    const { rootDir, waitSeconds, pauseMs = PAUSE_MS, signal, log } = options;
    const end = performance.now() + waitSeconds * 1000;
    for (let tries = 1; ; tries += 1) {
        try {
            await probe(objects, rootDir, signal);
            return;
        } catch (error) {
            signal.throwIfAborted();
            const left = end - performance.now();
            if (!mayPass(error) || left <= 0) {
                throw error;
            }
            log.info(
                { tries, secondsLeft: Math.ceil(left / 1000), reason: reasonOf(error) },
                'no access yet',
            );
            await delay(Math.min(pauseMs, left), undefined, { signal });
        }
    }
}

/**
 * Stores and removes an object with a key, again while Manta does not know the key yet or is away
 * (operations 3.1).
 *
 * @throws Error when it cannot be done in time, or never will
 */
export async function verifyAccess(options: AccessProbe): Promise<void> {
    const { settings, rootDir, signal, log } = options;
    const { url, user, insecure, key } = settings;
    const manta = { url, user, insecure, key: '', keyId: key.fingerprint, baseDir: '', rootDir };
    const objects = new MantaObjects({
        manta,
        key: key.privateKey,
        maxSockets: MAX_SOCKETS,
        userAgent: `IMGAPI/${VERSION}`,
    });
    try {
        await tryUntilOpen(objects, options);
        log.info({ manta: url, user, keyId: key.fingerprint, rootDir }, 'access to Manta verified');
    } catch (error) {
        signal.throwIfAborted();
        const who = `${user} with key ${key.fingerprint}`;
        throw new Error(`no access to Manta at ${url} as ${who}: ${reasonOf(error)}`, { cause: error });
    } finally {
        objects.close();
    }
}
