import { existsSync, readdirSync } from 'node:fs';
import type { Test } from 'tap';
import { imageDirectory } from './images.js';
import { eventually } from './server-process.js';

/** Looks at what a server has stored for its images. */
export interface StoredFiles {
    /** Names of everything stored for an image; empty when it has no directory. */
    readonly storedNames: (image: string) => string[];
    /** Waits until exactly these names are stored; fails after 5 s. */
    readonly expectStored: (
        test: Test,
        image: string,
        names: readonly string[],
        why: string,
    ) => Promise<void>;
}

/** What lies below a server's base directory. */
export function storedFiles(baseDir: string): StoredFiles {
    const storedNames = (image: string): string[] => {
        const directory = imageDirectory(baseDir, image);
        return existsSync(directory) ? readdirSync(directory).sort() : [];
    };
    return {
        storedNames,
        expectStored: async (test, image, names, why) => {
            const isThere = (): boolean => storedNames(image).join() === names.join();
            await eventually(`${why}: ${names.join()}`, 5_000, isThere);
            test.pass(why);
        },
    };
}
