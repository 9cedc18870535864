/** Failures one after another of a storage that is then given up. */
const MAX_FAILURES = 8;

interface Failures {
    readonly count: number;
    readonly reason: string;
}

/** Storages that do not answer: asking them for every one of many files would take days. */
export class GivenUpStorages {
    readonly #failures = new Map<string, Failures>();

    /** Why a storage is asked no more; `undefined`: it is. */
    reasonOf(stor: string): string | undefined {
        const failures = this.#failures.get(stor);
        return failures === undefined || failures.count < MAX_FAILURES
            ? undefined
            : `given up: ${failures.reason}`;
    }

    answered(stor: string): void {
        this.#failures.delete(stor);
    }

    failed(stor: string, reason: string): void {
        this.#failures.set(stor, { count: (this.#failures.get(stor)?.count ?? 0) + 1, reason });
    }
}
