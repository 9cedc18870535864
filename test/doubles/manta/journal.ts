import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Change, Tree } from './tree.js';

/** Lines beyond the entries there are after which the journal is written anew. */
const SLACK = 20_000;

/** The changes of a tree in a file, a line each, from which it is built again. */
export class Journal {
    readonly #file: string;
    readonly #tree: Tree;
    #lines = 0;

    constructor(file: string, tree: Tree) {
        this.#file = file;
        this.#tree = tree;
    }

    /** Builds the tree; a line that was cut off is of a change that was not answered. */
    load(): void {
        if (existsSync(this.#file)) {
            const lines = readFileSync(this.#file, 'utf8').split('\n');
            for (const line of lines.slice(0, -1)) this.#tree.apply(JSON.parse(line) as Change);
        }
        this.#compact();
    }

    /** Makes a change and notes it first; tells the blob that nothing names any more. */
    apply(change: Change): string | undefined {
        appendFileSync(this.#file, `${JSON.stringify(change)}\n`);
        const blob = this.#tree.apply(change);
        this.#lines += 1;
        if (this.#lines > 2 * this.#tree.size + SLACK) this.#compact();
        return blob;
    }

    #compact(): void {
        const lines = [...this.#tree.all()].map((change) => `${JSON.stringify(change)}\n`);
        writeFileSync(`${this.#file}.new`, lines.join(''));
        renameSync(`${this.#file}.new`, this.#file);
        this.#lines = lines.length;
    }
}
