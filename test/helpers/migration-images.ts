import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newUuid } from '#lib/base/uuid.js';
import type { HttpClient } from './http-client.js';
import { gzipFile, imageDirectory, md5Base64, PNG, sha1Hex, type Fixture } from './images.js';

/** An image with everything that is to be found of it wherever it is moved. */
export interface MigratedImage {
    readonly fixture: Fixture;
    /** By their index. */
    readonly files: readonly Buffer[];
    readonly icon?: Buffer;
}

function entryOf(data: Buffer): Record<string, unknown> {
    return {
        sha1: sha1Hex(data),
        size: data.length,
        contentMD5: md5Base64(data),
        mtime: '2012-11-01T10:00:00.000Z',
        stor: 'local',
        compression: 'gzip',
    };
}

function iconOf(index: number): Buffer {
    return Buffer.concat([PNG, Buffer.from(`icon ${index}`)]);
}

/**
 * Images of all kinds in turn: three with a file, one with a file and an icon, one with two files and
 * an icon, one with nothing, one with an icon only.
 */
export function imagesToMigrate(
    count: number,
    more: (index: number) => Readonly<Record<string, unknown>> = () => ({}),
): readonly MigratedImage[] {
    return Array.from({ length: count }, (_, index) => {
        const kind = index % 7;
        const fileCount = kind < 4 ? 1 : kind === 4 ? 2 : 0;
        const files = Array.from({ length: fileCount }, (_, n) => gzipFile(`file ${n} of image ${index}`));
        const icon = kind === 3 || kind === 4 || kind === 6 ? iconOf(index) : undefined;
        const [file] = files;
        return {
            files,
            ...(icon === undefined ? {} : { icon }),
            fixture: {
                uuid: newUuid(),
                name: `image-${index}`,
                // Images without files cannot be active.
                activated: fileCount > 0 && index % 2 === 0,
                published_at: new Date(Date.UTC(2020, 0, 1, 0, index)).toISOString(),
                ...(file === undefined ? {} : { file }),
                ...(icon === undefined ? {} : { icon }),
                more: {
                    ...(fileCount === 2 && { type: 'lxd', os: 'linux' }),
                    ...(fileCount > 0 && { files: files.map(entryOf) }),
                    ...more(index),
                },
            },
        };
    });
}

/** Puts second files, which fixtures do not have, into a base directory. */
export function writeSecondFiles(baseDir: string, images: readonly MigratedImage[]): void {
    for (const { fixture, files } of images) {
        const [, second] = files;
        if (second === undefined) continue;
        const directory = imageDirectory(baseDir, fixture.uuid);
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, 'file1'), second);
    }
}

/** What is wrong with images that should be whole, with all files in one storage; nothing, one hopes. */
export async function wrongImages(
    client: HttpClient,
    images: readonly MigratedImage[],
    stor: string,
): Promise<readonly string[]> {
    const problems: string[] = [];
    const channel = 'channel=*';
    for (const { fixture, files, icon } of images) {
        const path = `/images/${fixture.uuid}`;
        const { document } = await client.get(`${path}?inclAdminFields=true&${channel}`);
        const found = (document['files'] as { stor: string; sha1: string }[]).map(
            (file) => `${file.stor} ${file.sha1}`,
        );
        const wanted = files.map((file) => `${stor} ${sha1Hex(file)}`);
        if (found.join() !== wanted.join()) problems.push(`${fixture.name}: ${found.join()}`);
        for (const [index, file] of files.entries()) {
            const { body } = await client.get(`${path}/file?index=${index}&${channel}`);
            if (!body.equals(file)) problems.push(`${fixture.name}: other bytes of file ${index}`);
        }
        if (icon === undefined) continue;
        const { body } = await client.get(`${path}/icon?${channel}`);
        if (!body.equals(icon)) problems.push(`${fixture.name}: other bytes of the icon`);
    }
    return problems;
}
