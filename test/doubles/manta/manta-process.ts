import type { WaitOptions } from '../call-log.js';
import type { HoldPoint } from '../call-rules.js';
import { DoubleProcess } from '../double-process.js';
import type { ControlAnswer, ControlRequest, Controls } from './controls.js';
import type { CallLimits, CallMatch, Fault } from './faults.js';
import type { MantaDoubleOptions } from './manta-double.js';
import type { LoggedRequest } from './request-log.js';

const ENDED = 'the double has ended';

/** How to start a double as a process: with a directory, since a process may be killed. */
export type MantaProcessOptions = MantaDoubleOptions & { readonly directory: string };

/** Calls held by a double in another process. */
export interface RemoteHold {
    /** Resolves as soon as this many calls wait. For one caller at a time. */
    arrived(count?: number): Promise<void>;
    /** Lets all waiting and all later calls through. */
    resume(): Promise<void>;
    /** Cuts the connections of all waiting and all later calls. */
    drop(): Promise<void>;
}

/**
 * A Manta double in a process of its own, to be killed; does what `MantaDouble` does. Paths of calls
 * are matched by text or regular expression: functions do not get there.
 */
export class MantaProcess {
    readonly url: string;
    readonly #process: DoubleProcess;
    readonly #waiting = new Map<number, (answer: ControlAnswer) => void>();
    #asked = 0;

    private constructor(process: DoubleProcess, scheme: string) {
        this.#process = process;
        this.url = `${scheme}://127.0.0.1:${process.port}`;
        process.child.on('message', (message) => {
            const answer = message as ControlAnswer;
            this.#waiting.get(answer.id)?.(answer);
            this.#waiting.delete(answer.id);
        });
        process.child.once('exit', () => {
            for (const [id, give] of this.#waiting) give({ id, error: ENDED });
            this.#waiting.clear();
        });
    }

    /** Starts a double and waits until it takes connections; fails with its output if it ends first. */
    static async start(options: MantaProcessOptions): Promise<MantaProcess> {
        const process = await DoubleProcess.start({
            main: new URL('main.js', import.meta.url),
            switches: ['--options', JSON.stringify(options)],
            messages: true,
        });
        return new MantaProcess(process, options.tls === undefined ? 'http' : 'https');
    }

    get port(): number {
        return this.#process.port;
    }

    get pid(): number {
        return this.#process.pid;
    }

    /** Does this wrong with calls from now on; what is returned ends it. */
    async inject(fault: Fault, limits: CallLimits = {}): Promise<() => Promise<void>> {
        const id = await this.#ask('inject', fault, limits);
        return () => this.#ask('endFault', id);
    }

    /** Holds calls until what is returned lets them go on. */
    async hold(limits: CallLimits, when: HoldPoint = 'before'): Promise<RemoteHold> {
        const id = await this.#ask('hold', limits, when);
        return {
            arrived: (count = 1) => this.#ask('arrived', id, count),
            resume: () => this.#ask('resume', id),
            drop: () => this.#ask('drop', id),
        };
    }

    clearFaults(): Promise<void> {
        return this.#ask('clearFaults');
    }

    requests(match: CallMatch = {}): Promise<readonly LoggedRequest[]> {
        return this.#ask('requests', match);
    }

    clearRequests(): Promise<void> {
        return this.#ask('clearRequests');
    }

    waitFor(match: CallMatch, options: WaitOptions = {}): Promise<LoggedRequest> {
        return this.#ask('waitFor', match, options);
    }

    /** Paths of all objects below a directory, sorted. */
    objects(directory: string): Promise<readonly string[]> {
        return this.#ask('objects', directory);
    }

    setSnaplinks(allowed: boolean): Promise<void> {
        return this.#ask('setSnaplinks', allowed);
    }

    cutConnections(): Promise<void> {
        return this.#ask('cutConnections');
    }

    /** Listens no more and cuts all connections, but runs on. */
    stopListening(): Promise<void> {
        return this.#ask('stopListening');
    }

    /** Listens again, on the same port. */
    restart(): Promise<void> {
        return this.#ask('restart');
    }

    /** Ends it as a service manager does. */
    async stop(): Promise<void> {
        await this.#process.end('SIGTERM');
    }

    /** Kills it at once. */
    async kill(): Promise<void> {
        await this.#process.end('SIGKILL');
    }

    async #ask<K extends keyof Controls>(
        name: K,
        ...args: Parameters<Controls[K]>
    ): Promise<Awaited<ReturnType<Controls[K]>>> {
        if (!this.#process.child.connected) throw new Error(ENDED);
        this.#asked += 1;
        const id = this.#asked;
        const answered = new Promise<ControlAnswer>((resolve) => this.#waiting.set(id, resolve));
        const request: ControlRequest = { id, name, args };
        this.#process.child.send(request);
        const { result, error } = await answered;
        if (error !== undefined) throw new Error(error);
        return result as Awaited<ReturnType<Controls[K]>>;
    }
}
