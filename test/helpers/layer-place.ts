import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import type { OpenedSourceFile, ResumePoint } from '#lib/remotes/image-source.js';
import type { DownloadRules } from '#lib/transfers/layers/layer-download.js';
import type { HeldLayer, LayerProgress, WantedLayer } from '#lib/transfers/layers/layer.js';
import { Layers } from '#lib/transfers/layers/layers.js';
import type { Gate } from '../doubles/gate.js';
import { recordingLog } from './recording-log.js';

const PIECE = 65_536;
const NEVER = new AbortController().signal;

/** Tries as many as there are by default, without the pauses. */
export const QUICK_RULES: DownloadRules = {
    retries: { attempts: 5, minMs: 2, maxMs: 8 },
    stallMs: 60_000,
};

export function digestOf(bytes: Buffer): string {
    return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** How a registry answers one request for a blob. */
export interface BlobAnswer {
    /** Bytes after which the connection breaks; default: it does not. */
    readonly cut?: number;
    /** Bytes after which nothing comes any more. */
    readonly silentFrom?: number;
    /** Passed before the piece of 64 KiB with this byte. */
    readonly gate?: { readonly at: number; readonly gate: Gate };
    readonly status?: number;
    /** Bytes that come instead of the right ones. */
    readonly instead?: Buffer;
    /** Says that the file has so many bytes; `null`: says nothing. */
    readonly announced?: number | null;
    /** Sends all of it whatever was asked for. */
    readonly whole?: boolean;
}

/** A layer at a registry whose answers are written down beforehand; those behind the last are right. */
export class ScriptedBlob {
    readonly bytes: Buffer;
    readonly answers: BlobAnswer[];
    /** Where each request wanted to begin. */
    readonly asked: (number | undefined)[] = [];
    readonly wanted: WantedLayer;
    readonly #bodies: Readable[] = [];

    constructor(bytes: Buffer, answers: readonly BlobAnswer[] = [], facts: Partial<WantedLayer> = {}) {
        this.bytes = bytes;
        this.answers = [...answers];
        this.wanted = {
            uuid: randomUUID(),
            digest: digestOf(bytes),
            uncompressedDigest: digestOf(Buffer.from('unpacked')),
            open: (resume, signal) => this.#open(resume, signal),
            ...facts,
        };
    }

    /** Bodies that nobody has read to their end, or given up. */
    get open(): number {
        return this.#bodies.filter(({ destroyed }) => !destroyed).length;
    }

    async #open(resume: ResumePoint | undefined, signal: AbortSignal): Promise<OpenedSourceFile> {
        signal.throwIfAborted();
        this.asked.push(resume?.offset);
        const answer = this.answers.shift() ?? {};
        const { status, announced, instead = this.bytes } = answer;
        if (status !== undefined) {
            throw new OutgoingError('status', `status ${status}`, { status });
        }
        const start = answer.whole === true ? 0 : (resume?.offset ?? 0);
        const body = Readable.from(pieces(instead, start, answer), { objectMode: false });
        this.#bodies.push(body);
        return {
            start,
            ...(announced === null ? {} : { size: announced ?? instead.length }),
            etag: this.wanted.digest,
            body,
            failure: (error) => new OutgoingError('connect', 'connection lost', { cause: error }),
        };
    }
}

async function* pieces(bytes: Buffer, start: number, answer: BlobAnswer): AsyncGenerator<Buffer> {
    const { cut = Infinity, silentFrom = Infinity, gate } = answer;
    const end = Math.min(bytes.length, cut, silentFrom);
    for (let at = start; at < end; at += PIECE) {
        const next = Math.min(at + PIECE, end);
        if (gate !== undefined && at <= gate.at && gate.at < next) {
            await gate.gate.pass();
        }
        yield bytes.subarray(at, next);
    }
    if (silentFrom !== Infinity) {
        await new Promise(() => undefined);
    }
    if (cut !== Infinity) {
        throw new Error('connection reset');
    }
}

/** A caller that waits for a layer, and what it has heard. */
export interface Fetching {
    readonly held: Promise<HeldLayer>;
    readonly heard: LayerProgress[];
    readonly statuses: () => readonly string[];
    readonly leave: (reason?: Error) => void;
}

/** A staging area of layers, and a process that uses it. */
export class LayerPlace {
    readonly base: string;
    readonly clock = { time: Date.now(), now: (): number => this.clock.time };
    readonly records: Record<string, unknown>[];
    readonly layers: Layers;
    readonly #log;

    constructor(t: Test, rules: Partial<DownloadRules> = {}, base = t.testdir()) {
        this.base = base;
        const { log, records } = recordingLog();
        this.#log = log;
        this.records = records;
        this.layers = this.other(rules);
    }

    get directory(): string {
        return join(this.base, 'staging', 'docker');
    }

    /** Another process on the same files. */
    other(rules: Partial<DownloadRules> = {}): Layers {
        return new Layers({
            directories: baseDirectories(this.base),
            clock: this.clock,
            log: this.#log,
            rules: { ...QUICK_RULES, ...rules },
        });
    }

    /** What lies in the area, in order. */
    names(): readonly string[] {
        mkdirSync(this.directory, { recursive: true });
        return readdirSync(this.directory).sort();
    }

    /** The names a complete layer has. */
    pair(uuid: string): readonly string[] {
        return [`${uuid}.data`, `${uuid}.json`];
    }

    json(uuid: string): unknown {
        return JSON.parse(readFileSync(join(this.directory, `${uuid}.json`), 'utf8'));
    }

    /** Makes files so old. */
    age(names: readonly string[], ms: number): void {
        const time = (this.clock.time - ms) / 1000;
        names.forEach((name) => utimesSync(join(this.directory, name), time, time));
    }

    fetch(wanted: WantedLayer, layers = this.layers): Fetching {
        const stop = new AbortController();
        const heard: LayerProgress[] = [];
        const held = layers.fetch(wanted, (progress) => heard.push(progress), stop.signal);
        held.catch(() => undefined);
        return {
            held,
            heard,
            statuses: () => heard.map(({ status }) => status),
            leave: (reason = new Error('gone')) => stop.abort(reason),
        };
    }

    tidy(layers = this.layers): Promise<number> {
        return layers.tidy(NEVER);
    }
}
