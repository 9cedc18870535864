import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createGunzip } from 'node:zlib';
import type { FileCompression } from '../base/constants.js';
import type { SlotSink } from '../base/digests/slot-pipeline.js';

/** What is known of an archive: `skipped` is neither good nor bad, as no program here can tell. */
export type ArchiveVerdict = 'valid' | 'invalid' | 'skipped';

/** Takes the bytes of an archive and tells at their end whether it can be unpacked. */
export interface ArchiveTest extends SlotSink<ArchiveVerdict> {
    /** Gives up, at any time, also after the end. */
    cancel(): void;
}

/** Bytes that are unpacked at a time, and thrown away. */
const CHUNK_SIZE = 262_144;

/** Unpacks gzip in this process, on its threads. */
class GunzipTest implements ArchiveTest {
    readonly #unpacked = createGunzip({ chunkSize: CHUNK_SIZE });
    readonly #over: Promise<ArchiveVerdict>;
    #isOver = false;

    constructor() {
        this.#over = new Promise((resolve) => {
            const end = (verdict: ArchiveVerdict): void => {
                this.#isOver = true;
                resolve(verdict);
            };
            this.#unpacked.once('end', () => end('valid'));
            this.#unpacked.once('error', () => end('invalid'));
            this.#unpacked.once('close', () => end('invalid'));
        });
        this.#unpacked.resume();
    }

    /** What comes after the first error is not looked at. */
    async write(chunk: Buffer): Promise<void> {
        if (!this.#isOver) {
            const taken = new Promise<void>((resolve) => this.#unpacked.write(chunk, () => resolve()));
            await Promise.race([taken, this.#over]);
        }
    }

    async close(): Promise<ArchiveVerdict> {
        this.#unpacked.end();
        return this.#over;
    }

    cancel(): void {
        this.#unpacked.destroy();
    }
}

/** Has a program unpack what it gets on its standard input. */
class ProgramTest implements ArchiveTest {
    readonly #child: ChildProcess;
    readonly #over: Promise<ArchiveVerdict>;
    #isOver = false;

    constructor(program: string) {
        this.#child = spawn(program, ['-t'], { stdio: ['pipe', 'ignore', 'ignore'] });
        // It may end before it has read everything.
        this.#child.stdin?.on('error', () => undefined);
        this.#over = this.#ending();
    }

    async write(chunk: Buffer): Promise<void> {
        const { stdin } = this.#child;
        if (!this.#isOver && stdin !== null) {
            const taken = new Promise<void>((resolve) => stdin.write(chunk, () => resolve()));
            await Promise.race([taken, this.#over]);
        }
    }

    async close(): Promise<ArchiveVerdict> {
        this.#child.stdin?.end();
        return this.#over;
    }

    cancel(): void {
        this.#child.stdin?.destroy();
        this.#child.kill('SIGKILL');
    }

    /** A program that is not here, or was killed, has told nothing. */
    async #ending(): Promise<ArchiveVerdict> {
        try {
            const [code] = (await once(this.#child, 'close')) as [number | null];
            return code === 0 ? 'valid' : code === null ? 'skipped' : 'invalid';
        } catch {
            return 'skipped';
        } finally {
            this.#isOver = true;
        }
    }
}

/** Starts to test an archive; `undefined`: a file that is none cannot be tested (operations 2.2). */
export function startArchiveTest(compression: FileCompression | undefined): ArchiveTest | undefined {
    switch (compression) {
        case 'gzip':
            return new GunzipTest();
        case 'bzip2':
        case 'xz':
            return new ProgramTest(compression);
        default:
            return undefined;
    }
}
