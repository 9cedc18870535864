import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MantaClient } from '../test/doubles/manta/client.js';
import { seconds } from './measure.js';

/**
 * One transfer by Manta's own client, as a process of its own; `put-hashed` also computes what a server
 * must know of the bytes: SHA-1, MD5 and SHA-256. `put|put-hashed|get URL USER KEY KEYID OBJECT [FILE]`. Prints the seconds it took.
 */
const [what, url = '', user = '', key = '', keyId = '', object = '', file = ''] = process.argv.slice(2);

const client = new MantaClient({ url, user, key, keyId });

async function put(): Promise<void> {
    const { size } = statSync(file);
    await client.put(object, createReadStream(file, { highWaterMark: 1024 * 1024 }), { size });
}

async function putHashed(): Promise<void> {
    const { size } = statSync(file);
    const hashes = ['sha1', 'md5', 'sha256'].map((name) => createHash(name));
    const hashing = new Transform({
        transform: (chunk: Buffer, _encoding, done) => {
            for (const hash of hashes) hash.update(chunk);
            done(null, chunk);
        },
    });
    const source = createReadStream(file, { highWaterMark: 1024 * 1024 });
    await Promise.all([client.put(object, hashing, { size }), pipeline(source, hashing)]);
    for (const hash of hashes) hash.digest('hex');
}

async function get(): Promise<void> {
    const { stream } = await client.get(object);
    await pipeline(stream, new Writable({ write: (_chunk, _encoding, done) => done() }));
}

const work = what === 'put' ? put : what === 'put-hashed' ? putHashed : get;
process.stdout.write(`${await seconds(work)}\n`);
process.exit(0);
