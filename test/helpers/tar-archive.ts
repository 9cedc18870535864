import { createCipheriv, createHash } from 'node:crypto';

const BLOCK = 512;
const MTIME = 1_600_000_000;

/** Bytes that no program can make smaller, the same ones for the same seed. */
export function seededBytes(seed: string, size: number): Buffer {
    const key = createHash('sha256').update(seed).digest();
    const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
    return cipher.update(Buffer.alloc(size));
}

function octal(value: number, width: number): string {
    return `${value.toString(8).padStart(width - 1, '0')}\0`;
}

function header(name: string, size: number): Buffer {
    if (Buffer.byteLength(name) > 100) throw new Error(`too long for a tar archive: ${name}`);
    const block = Buffer.alloc(BLOCK);
    block.write(name, 0);
    block.write(octal(0o644, 8), 100);
    block.write(octal(0, 8), 108);
    block.write(octal(0, 8), 116);
    block.write(octal(size, 12), 124);
    block.write(octal(MTIME, 12), 136);
    block.write(' '.repeat(8), 148);
    block.write('0', 156);
    block.write('ustar\u000000', 257);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return block;
}

/** A tar archive of plain files, as POSIX has it. */
export function tarArchive(files: Readonly<Record<string, Buffer | string>>): Buffer {
    const entries = Object.entries(files).flatMap(([name, content]) => {
        const bytes = Buffer.from(content);
        return [header(name, bytes.length), bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)];
    });
    return Buffer.concat([...entries, Buffer.alloc(2 * BLOCK)]);
}
