import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Every file below a directory and what is in it, and every empty directory, by path. */
export type Tree = ReadonlyMap<string, string>;

/** Looks at everything below a directory. */
export function treeOf(root: string): Tree {
    const entries = readdirSync(root, { recursive: true, withFileTypes: true }).map(
        (entry): [string, string] => {
            const path = join(entry.parentPath, entry.name);
            const name = relative(root, path);
            if (entry.isDirectory()) return [`${name}/`, 'a directory'];
            if (entry.isSymbolicLink()) return [name, `-> ${readlinkSync(path)}`];
            const mode = (statSync(path).mode & 0o777).toString(8);
            return [name, entry.isFile() ? `${mode} ${readFileSync(path, 'latin1')}` : 'something else'];
        },
    );
    return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What has become different: `+` is new, `-` is gone, `~` has changed. */
export function differences(before: Tree, after: Tree): string[] {
    const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
    return paths.flatMap((path) => {
        const [old, now] = [before.get(path), after.get(path)];
        if (old === now) return [];
        if (old === undefined) return [`+ ${path}`];
        return [now === undefined ? `- ${path}` : `~ ${path}`];
    });
}
