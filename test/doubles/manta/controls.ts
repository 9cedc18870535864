import type { WaitOptions } from '../call-log.js';
import type { Hold, HoldPoint } from '../call-rules.js';
import type { CallLimits, CallMatch, Fault } from './faults.js';
import type { MantaDouble } from './manta-double.js';
import type { LoggedRequest } from './request-log.js';

/** What a double in a process of its own can be told; holds and faults are known by numbers there. */
export interface Controls {
    readonly inject: (fault: Fault, limits: CallLimits) => number;
    readonly endFault: (fault: number) => void;
    readonly hold: (limits: CallLimits, when: HoldPoint) => number;
    readonly arrived: (hold: number, count: number) => Promise<void>;
    readonly resume: (hold: number) => void;
    readonly drop: (hold: number) => void;
    readonly clearFaults: () => void;
    readonly requests: (match: CallMatch) => readonly LoggedRequest[];
    readonly clearRequests: () => void;
    readonly waitFor: (match: CallMatch, options: WaitOptions) => Promise<LoggedRequest>;
    readonly objects: (directory: string) => readonly string[];
    readonly setSnaplinks: (allowed: boolean) => void;
    readonly cutConnections: () => void;
    readonly stopListening: () => Promise<void>;
    readonly restart: () => Promise<void>;
}

/** A question to a double, and its answer. */
export interface ControlRequest {
    readonly id: number;
    readonly name: keyof Controls;
    readonly args: readonly unknown[];
}

export interface ControlAnswer {
    readonly id: number;
    readonly result?: unknown;
    readonly error?: string;
}

/** Says to a double what another process wants. */
export function controlsOf(double: MantaDouble): Controls {
    const ends: (() => void)[] = [];
    const holds: Hold[] = [];
    const hold = (id: number): Hold => {
        const found = holds[id];
        if (found === undefined) throw new Error(`no hold ${id}`);
        return found;
    };
    return {
        inject: (fault, limits) => ends.push(double.inject(fault, limits)) - 1,
        endFault: (id) => ends[id]?.(),
        hold: (limits, when) => holds.push(double.hold(limits, when)) - 1,
        arrived: (id, count) => hold(id).arrived(count),
        resume: (id) => hold(id).resume(),
        drop: (id) => hold(id).drop(),
        clearFaults: () => double.clearFaults(),
        requests: (match) => double.requests(match),
        clearRequests: () => double.clearRequests(),
        waitFor: (match, options) => double.waitFor(match, options),
        objects: (directory) => double.objects(directory),
        setSnaplinks: (allowed) => void (double.snaplinks = allowed),
        cutConnections: () => double.cutConnections(),
        stopListening: () => double.stop(),
        restart: () => double.restart(),
    };
}
