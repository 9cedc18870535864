/** Values of the labels of one count. */
export type Labels<Name extends string> = Readonly<Record<Name, string>>;

/**
 * Counts things by labels, for the metrics (operations 1.8). Who counts owns its tally; who shows the
 * counts reads it. The values of labels must come from a small set, never from what clients send.
 */
export class Tally<Name extends string> {
    readonly #counts = new Map<string, { readonly labels: Labels<Name>; value: number }>();

    /** Counts `amount` more under `labels`. */
    add(labels: Labels<Name>, amount = 1): void {
        const key = Object.values(labels).join('\0');
        const count = this.#counts.get(key);
        if (count === undefined) {
            this.#counts.set(key, { labels, value: amount });
        } else {
            count.value += amount;
        }
    }

    /** What was counted under exactly these labels, given in the same order. */
    get(labels: Labels<Name>): number {
        return this.#counts.get(Object.values(labels).join('\0'))?.value ?? 0;
    }

    /** Hands out every count. */
    forEach(visit: (labels: Labels<Name>, value: number) => void): void {
        this.#counts.forEach(({ labels, value }) => visit(labels, value));
    }
}
