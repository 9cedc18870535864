import { AREAS, nameOf } from './paths.js';

/** What is kept of an object beside its bytes. */
export interface ObjectFacts {
    /** Name of the blob with the bytes; also the etag. */
    readonly blob: string;
    readonly size: number;
    /** MD5 of the bytes as base64. */
    readonly md5: string;
    readonly contentType: string;
    readonly durability: number;
    /** `m-...` headers as put. */
    readonly metadata: Readonly<Record<string, string>>;
}

export interface ObjectEntry extends ObjectFacts {
    readonly type: 'object';
    /** Milliseconds. */
    readonly mtime: number;
}

export interface DirectoryEntry {
    readonly type: 'directory';
    readonly mtime: number;
}

export type Entry = ObjectEntry | DirectoryEntry;

/** A change: an entry at a path, or none any more. */
export interface Change {
    readonly path: string;
    readonly entry: Entry | null;
}

class Names {
    readonly #names = new Set<string>();
    #sorted: readonly string[] | undefined;

    add(name: string): void {
        if (this.#names.has(name)) return;
        this.#names.add(name);
        this.#sorted = undefined;
    }

    delete(name: string): void {
        this.#names.delete(name);
        this.#sorted = undefined;
    }

    sorted(): readonly string[] {
        this.#sorted ??= [...this.#names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        return this.#sorted;
    }
}

function parent(path: string): string {
    return path.slice(0, path.lastIndexOf('/'));
}

/** All entries of all accounts, in memory; knows how many paths name a blob. */
export class Tree {
    readonly #entries = new Map<string, Entry>();
    readonly #names = new Map<string, Names>();
    readonly #uses = new Map<string, number>();

    addAccount(account: string): void {
        for (const area of AREAS) {
            const path = `/${account}/${area}`;
            if (!this.#entries.has(path))
                this.apply({ path, entry: { type: 'directory', mtime: Date.now() } });
        }
    }

    get(path: string): Entry | undefined {
        return this.#entries.get(path);
    }

    /** Names in a directory, sorted by their bytes. */
    names(directory: string): readonly string[] {
        return this.#names.get(directory)?.sorted() ?? [];
    }

    /** How many paths name a blob. */
    uses(blob: string): number {
        return this.#uses.get(blob) ?? 0;
    }

    get size(): number {
        return this.#entries.size;
    }

    /** Every entry, parents before what is in them. */
    *all(): Iterable<Change> {
        for (const [path, entry] of this.#entries) yield { path, entry };
    }

    /** Makes a change; tells the blob that no path names any more because of it. */
    apply({ path, entry }: Change): string | undefined {
        const before = this.#entries.get(path);
        if (entry === null) {
            this.#entries.delete(path);
            this.#names.delete(path);
            this.#names.get(parent(path))?.delete(nameOf(path));
        } else {
            this.#entries.set(path, entry);
            this.#namesIn(parent(path)).add(nameOf(path));
            if (entry.type === 'object') this.#use(entry.blob, 1);
        }
        if (before?.type !== 'object') return undefined;
        this.#use(before.blob, -1);
        return this.uses(before.blob) === 0 ? before.blob : undefined;
    }

    #namesIn(directory: string): Names {
        let names = this.#names.get(directory);
        if (names === undefined) this.#names.set(directory, (names = new Names()));
        return names;
    }

    #use(blob: string, more: number): void {
        const uses = this.uses(blob) + more;
        if (uses === 0) this.#uses.delete(blob);
        else this.#uses.set(blob, uses);
    }
}
