import type { Test } from 'tap';

/** What a request has to do with: only `manta` suffers from an outage of it. */
export type Touched = 'local' | 'manta';

/** How a request ended: `cut` is a body that broke off. */
export type Outcome = 'ok' | 'unavailable' | 'cut';

/** A request that is over. */
interface Sighting {
    readonly phase: string;
    readonly touched: Touched;
    readonly isWrite: boolean;
    readonly began: number;
    readonly took: number;
    readonly outcome: Outcome;
}

/** The value that this share of sorted ones does not exceed. */
function percentile(sorted: readonly number[], share: number): string {
    const at = Math.min(sorted.length - 1, Math.floor(sorted.length * share));
    return (sorted[at] ?? 0).toFixed(0);
}

function timesOf(sightings: readonly Sighting[]): string {
    const sorted = sightings.map(({ took }) => took).sort((a, b) => a - b);
    const shares = [0.5, 0.9, 0.99].map((share) => percentile(sorted, share));
    return `${shares.join('/')}/${percentile(sorted, 1)} ms`;
}

/** What the clients of a run have seen, by phases. A request belongs to the phase in which it began. */
export class OutageFigures {
    readonly problems: string[] = [];
    /** Good answers about local images, and about those in Manta; for waiting. */
    local = 0;
    manta = 0;
    /** Answers that Manta is down. */
    unavailable = 0;
    /** Bodies that broke off. */
    cut = 0;
    #phase = 'before';
    #since = performance.now();
    readonly #sightings: Sighting[] = [];

    /** Requests that begin from now on are of another phase. */
    begin(phase: string): void {
        this.#phase = phase;
        this.#since = performance.now();
    }

    /** Begins a request; what is returned ends it. */
    watch(touched: Touched, isWrite: boolean): (outcome: Outcome) => void {
        const phase = this.#phase;
        const began = performance.now();
        return (outcome) => {
            const took = performance.now() - began;
            this.#sightings.push({ phase, touched, isWrite, began, took, outcome });
            if (outcome === 'ok') this[touched] += 1;
            else this[outcome] += 1;
        };
    }

    /** The slowest of the requests that touched this, milliseconds. */
    slowest(touched: Touched): number {
        return this.#sightings
            .filter((one) => one.touched === touched)
            .reduce((slowest, { took }) => Math.max(slowest, took), 0);
    }

    /** Milliseconds from the begin of this phase until the first such request that was begun in it was answered. */
    firstGood(touched: Touched, isWrite: boolean): number | undefined {
        const first = this.#sightings.find(
            (one) =>
                one.outcome === 'ok' &&
                one.began >= this.#since &&
                one.touched === touched &&
                one.isWrite === isWrite,
        );
        return first && first.began + first.took - this.#since;
    }

    /** Tells times (50/90/99/100 %) and failures of each phase. */
    report(test: Test): void {
        for (const phase of new Set(this.#sightings.map((one) => one.phase))) {
            for (const touched of ['local', 'manta'] as const) {
                for (const isWrite of [false, true]) this.#reportOf(test, phase, touched, isWrite);
            }
        }
    }

    #reportOf(test: Test, phase: string, touched: Touched, isWrite: boolean): void {
        const all = this.#sightings.filter(
            (one) => one.phase === phase && one.touched === touched && one.isWrite === isWrite,
        );
        if (all.length === 0) return;
        const parts = (['ok', 'unavailable', 'cut'] as const).flatMap((outcome) => {
            const some = all.filter((one) => one.outcome === outcome);
            return some.length === 0 ? [] : [`${some.length} ${outcome} (${timesOf(some)})`];
        });
        test.comment(`${phase}: ${isWrite ? 'writes' : 'reads'} ${touched}: ${parts.join(', ')}`);
    }
}
