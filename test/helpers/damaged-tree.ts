import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { runTool, type ToolExit } from './admin-tool.js';
import type { Document } from './http-client.js';
import { gzipFile, rawRecord, type Fixture } from './images.js';
import { temporaryDirectory } from './server-process.js';

/** What lies at each path below a directory, as a text; directories only as such. */
export type Snapshot = ReadonlyMap<string, string>;

/** Older than what tools leave alone. */
export const OLD_HOURS = 72;
const HOUR_MS = 3_600_000;
/** What tools and servers write for themselves. */
const OWN = new Set(['run', 'etc']);

function entryText(path: string): string {
    const facts = lstatSync(path);
    if (facts.isDirectory()) return 'directory';
    const sha1 = createHash('sha1').update(readFileSync(path)).digest('hex');
    return [facts.mtimeMs, facts.mode.toString(8), facts.size, sha1].join(' ');
}

/** A base directory with images, and with what went wrong in it. */
export class DamagedTree {
    readonly base: string;
    readonly configPath: string;

    constructor(t: Test, config: Readonly<Record<string, unknown>> = {}) {
        this.base = temporaryDirectory();
        t.teardown(() => rmSync(this.base, { recursive: true, force: true }));
        this.configPath = join(this.base, 'etc/imgapi.config.json');
        for (const name of ['etc', 'manifests', 'images']) mkdirSync(join(this.base, name));
        writeFileSync(this.configPath, JSON.stringify({ mode: 'private', dataDir: this.base, ...config }));
    }

    /** Stores the record of an image. */
    record(fixture: Partial<Fixture> = {}): string {
        const uuid = fixture.uuid ?? newUuid();
        const raw = rawRecord({
            name: 'image',
            activated: true,
            published_at: '2014-05-06T07:08:09Z',
            ...fixture,
            uuid,
        });
        writeFileSync(join(this.base, `manifests/${uuid}.raw`), JSON.stringify(raw, null, 2));
        return uuid;
    }

    /** Puts bytes somewhere; they look old. @returns the path below the base directory */
    put(path: string, bytes: Buffer | string, hours = OLD_HOURS): string {
        const full = join(this.base, path);
        mkdirSync(dirname(full), { recursive: true });
        writeFileSync(full, bytes);
        this.age(path, hours);
        return path;
    }

    age(path: string, hours = OLD_HOURS): void {
        const then = Date.now() - hours * HOUR_MS;
        utimesSync(join(this.base, path), then / 1000, then / 1000);
    }

    /** Path of a file of an image below the base directory. */
    path(uuid: string, name: string): string {
        return join('images', uuid.slice(0, 3), uuid, name);
    }

    /** An image with nothing wrong. */
    good(text = newUuid()): string {
        const file = gzipFile(text);
        const uuid = this.record({ file });
        this.put(this.path(uuid, 'file0'), file);
        return uuid;
    }

    /** So many of them that a few orphans are few. */
    many(count: number): void {
        for (let index = 0; index < count; index += 1) this.good();
    }

    /** Everything but what servers and tools write for themselves. */
    snapshot(): Snapshot {
        const found = new Map<string, string>();
        const walk = (directory: string): void => {
            for (const name of readdirSync(directory).sort()) {
                const path = join(directory, name);
                const below = relative(this.base, path);
                if (OWN.has(below)) continue;
                const text = entryText(path);
                found.set(below, text);
                if (text === 'directory') walk(path);
            }
        };
        walk(this.base);
        return found;
    }

    text(path: string): string {
        return readFileSync(join(this.base, path), 'utf8');
    }

    json(path: string): Document {
        return JSON.parse(this.text(path)) as Document;
    }

    /** Runs a subcommand on the tree, without a server to ask unless `args` name one. */
    run(subcommand: string, ...args: string[]): Promise<ToolExit> {
        return runTool([subcommand, '-c', this.configPath, ...args], this.environment);
    }

    get environment(): Readonly<Record<string, string>> {
        return { IMGAPITEST_LOCAL_BASE_DIR: this.base };
    }
}

/** What has come, gone and changed between two looks; of directories nothing. */
export function changes(before: Snapshot, after: Snapshot): readonly string[] {
    const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
    return paths.flatMap((path) => {
        const [was, is] = [before.get(path), after.get(path)];
        if (was === is || [was, is].every((text) => text === undefined || text === 'directory')) return [];
        return [was === undefined ? `+${path}` : is === undefined ? `-${path}` : `~${path}`];
    });
}

/** Directories that have gone. */
export function goneDirectories(before: Snapshot, after: Snapshot): readonly string[] {
    return [...before]
        .filter(([path, text]) => text === 'directory' && !after.has(path))
        .map(([path]) => path);
}

/** Lines of `--json` without the summary, and the summary. */
export function parseFindings(lines: readonly string[]): {
    readonly findings: readonly Document[];
    readonly summary: Document;
} {
    const documents = lines.map((line) => JSON.parse(line) as Document);
    const summary = documents.pop()?.['summary'];
    if (summary === undefined) throw new Error('no summary');
    return { findings: documents, summary: summary as Document };
}

/** `kind path` of each, in order; paths below the base directory. */
export function kindsOf(base: string, findings: readonly Document[]): readonly string[] {
    return findings.map(({ kind, path }) => `${String(kind)} ${relative(base, String(path))}`).sort();
}
