import type { ColumnValue, IndexDefinition } from './columns.js';

/** A bucket as it is configured. */
export interface Bucket {
    readonly name: string;
    readonly index: Readonly<Record<string, IndexDefinition>>;
    /** Source text of triggers. They are kept and given back, never run. */
    readonly pre: readonly string[];
    readonly post: readonly string[];
    readonly options: { readonly version: number; readonly [option: string]: unknown };
    /** Milliseconds since 1970. */
    readonly mtime: number;
    /** Columns added by a version, while rows older than it may not have them filled. */
    readonly reindexActive: Readonly<Record<string, readonly string[]>>;
}

/** Column name to PostgreSQL's text form of its value; `null` for SQL NULL. */
export type Literals = Readonly<Record<string, string | null>>;

/** What a put stores. */
export interface NewRow {
    readonly key: string;
    /** JSON text. */
    readonly value: string;
    readonly etag: string;
    /** Milliseconds since 1970. */
    readonly mtime: number;
    /** Version of the bucket that the row was written under. */
    readonly rowVersion: number;
    readonly literals: Literals;
}

/** A row as the database gives it back. */
export interface StoredRow {
    readonly id: number;
    readonly key: string;
    readonly value: string;
    readonly etag: string;
    readonly mtime: number;
    readonly rowVersion: number;
    readonly columns: Readonly<Record<string, ColumnValue>>;
}

/** What changes of a row while its JSON text stays. */
export interface RowPatch {
    readonly etag?: string;
    readonly mtime?: number;
    readonly rowVersion?: number;
    readonly literals: Literals;
}

/** A test that the database makes. Columns are indexes of the bucket or one of the row's own fields. */
export type Condition =
    | { readonly op: 'all' | 'any'; readonly parts: readonly Condition[] }
    | { readonly op: 'not'; readonly part: Condition }
    | { readonly op: 'present'; readonly column: string }
    | { readonly op: '=' | '>=' | '<='; readonly column: string; readonly value: string }
    | { readonly op: 'caseless='; readonly column: string; readonly value: string }
    | { readonly op: 'like' | 'ilike'; readonly column: string; readonly pattern: string };

/** One column to order by. PostgreSQL's nulls: last ascending, first descending. */
export interface SortPart {
    readonly column: string;
    readonly descending: boolean;
}

/** Which rows, in which order. */
export interface Selection {
    readonly where: Condition;
    readonly sort: readonly SortPart[];
    /** Absent: all. */
    readonly limit?: number;
    readonly offset: number;
    /** Whether to count what the condition matches, regardless of limit and offset. */
    readonly count: boolean;
}

/** Rows of a selection. */
export interface Selected {
    readonly rows: readonly StoredRow[];
    readonly count?: number;
}

/** Work on the database that is done wholly or not at all. Errors are MorayErrors. */
export interface Transaction {
    buckets(): Promise<readonly Bucket[]>;
    bucket(name: string): Promise<Bucket | undefined>;
    /** @throws BucketConflictError if it exists */
    addBucket(bucket: Bucket): Promise<void>;
    /** Stores the configuration; adds and drops the columns by which it differs from `old`. */
    changeBucket(old: Bucket, changed: Bucket): Promise<void>;
    removeBucket(bucket: Bucket): Promise<void>;
    /** The row, locked against other transactions until this one ends if it is not read-only. */
    load(bucket: Bucket, key: string): Promise<StoredRow | undefined>;
    select(bucket: Bucket, selection: Selection): Promise<Selected>;
    /** Rows written under an older version than `version`, in order of their ids. */
    stale(bucket: Bucket, version: number, limit: number): Promise<readonly StoredRow[]>;
    /** @throws UniqueAttributeError, InternalError */
    insert(bucket: Bucket, row: NewRow): Promise<void>;
    /** @throws UniqueAttributeError, InternalError */
    replace(bucket: Bucket, row: NewRow): Promise<void>;
    /** @throws UniqueAttributeError, InternalError */
    patch(bucket: Bucket, key: string, patch: RowPatch): Promise<void>;
    remove(bucket: Bucket, key: string): Promise<void>;
}

/** Where a Moray double keeps its buckets. */
export interface Store {
    /** Makes the store ready; does nothing when it is. */
    open(): Promise<void>;
    /** Lets go of connections; what is stored stays and `open` may follow. */
    close(): Promise<void>;
    /** Runs `work` as one transaction; `work` may run again after a race of two inserts. */
    run<T>(work: (transaction: Transaction) => Promise<T>, access?: 'read' | 'write'): Promise<T>;
    /** Runs a statement as it is; a store without SQL refuses. */
    sql(statement: string, values: readonly unknown[]): Promise<readonly object[]>;
}
