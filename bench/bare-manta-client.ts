import { createReadStream, statSync } from 'node:fs';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MantaClient } from '../test/doubles/manta/client.js';
import { seconds } from './measure.js';

/**
 * One transfer by Manta's own client and nothing else, as a process of its own:
 * `put|get URL USER KEY KEYID OBJECT [FILE]`. Prints the seconds it took.
 */
const [what, url = '', user = '', key = '', keyId = '', object = '', file = ''] = process.argv.slice(2);

const client = new MantaClient({ url, user, key, keyId });

async function put(): Promise<void> {
    const { size } = statSync(file);
    await client.put(object, createReadStream(file, { highWaterMark: 1024 * 1024 }), { size });
}

async function get(): Promise<void> {
    const { stream } = await client.get(object);
    await pipeline(stream, new Writable({ write: (_chunk, _encoding, done) => done() }));
}

process.stdout.write(`${await seconds(what === 'put' ? put : get)}\n`);
process.exit(0);
