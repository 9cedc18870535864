import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Clock } from '../base/clock.js';
import { systemErrorCode } from '../base/errors.js';
import { processState, readBootId } from './process-identity.js';

/** Who holds a lock: the content of `run/imgapi.lock` (operations 4.7). */
export interface LockRecord {
    readonly pid: number;
    /** Clock ticks since boot; absent where there is no /proc. */
    readonly startTime?: number;
    readonly host: string;
    readonly bootId?: string;
    /** Name and version of the program. */
    readonly app: string;
    /** ISO time at which it was taken. */
    readonly at: string;
}

/** A lock file as found. */
export interface LockFile {
    readonly text: string;
    /** Absent: the text is no lock record. */
    readonly record?: LockRecord;
    readonly mtimeMs: number;
}

/** Largest lock file that is read, bytes. */
const MAX_LOCK_SIZE = 65_536;

/** Describes this process. */
export async function ownRecord(app: string, clock: Clock): Promise<LockRecord> {
    const startTime = (await processState(process.pid))?.startTime;
    const bootId = await readBootId();
    return {
        pid: process.pid,
        ...(startTime === undefined ? {} : { startTime }),
        host: hostname(),
        ...(bootId === undefined ? {} : { bootId }),
        app,
        at: new Date(clock.now()).toISOString(),
    };
}

/** The bytes of a lock file; a fresh nonce makes each one different from all others. */
export function lockText(record: LockRecord): string {
    return `${JSON.stringify({ ...record, nonce: randomBytes(8).toString('hex') })}\n`;
}

function isOptional(value: unknown, type: 'number' | 'string'): boolean {
    return value === undefined || typeof value === type;
}

function parseRecord(text: string): LockRecord | undefined {
    let value: unknown;
    try {
        value = JSON.parse(text);
    } catch {
        return undefined;
    }
    const { pid, startTime, host, bootId } = (value ?? {}) as Partial<Record<keyof LockRecord, unknown>>;
    const isRecord =
        typeof pid === 'number' &&
        typeof host === 'string' &&
        isOptional(startTime, 'number') &&
        isOptional(bootId, 'string');
    return isRecord ? (value as LockRecord) : undefined;
}

/**
 * Reads a lock file; `undefined` when there is none.
 *
 * @throws the file system's error
 */
export async function readLockFile(path: string): Promise<LockFile | undefined> {
    let handle;
    try {
        handle = await open(path, 'r');
    } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') {
            return undefined;
        }
        throw error;
    }
    try {
        const { mtimeMs, size } = await handle.stat();
        const text = size > MAX_LOCK_SIZE ? '' : await handle.readFile('utf8');
        const record = parseRecord(text);
        return { text, mtimeMs, ...(record === undefined ? {} : { record }) };
    } finally {
        await handle.close();
    }
}
