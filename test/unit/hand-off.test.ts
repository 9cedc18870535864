// Which files a front server may send itself (README table A).
import { mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import type { Call } from '#lib/http/call.js';
import { fileReply } from '#lib/http/download.js';
import type { Exchange } from '#lib/http/exchange.js';
import { prepareAnswer, type Answer } from '#lib/http/send.js';
import type { ProxiedPeer } from '#lib/http/proxy-header.js';
import { makeBench, sha1, type Bench } from '../helpers/image-bench.js';
import { MANTA, move } from '../helpers/moved-images.js';
import { addFile, FIRST, plantImage } from '../helpers/planted-images.js';

const PREFIX = '/files/';
const FRONT = '127.0.0.1';
const CLIENT = '192.0.2.7';
const FORWARDED = { 'x-forwarded-for': CLIENT };

type Peer = Pick<Exchange, 'headers'> & { readonly remoteAddress?: string; readonly proxied?: string };

async function plantLocal(bench: Bench): Promise<string> {
    const uuid = await plantImage(bench);
    await addFile(bench, uuid, FIRST, { storage: 'local' });
    return uuid;
}

/** What is answered to those who ask for the file as a record has it. */
async function asker(bench: Bench, uuid: string): Promise<(peer: Peer) => Promise<Answer>> {
    const image = await bench.database.get(uuid);
    const [file] = image.raw.files ?? [];
    if (file === undefined) throw new Error('no file');
    return ({ headers, remoteAddress = FRONT, proxied }) => {
        const peer: ProxiedPeer | undefined =
            proxied === undefined ? undefined : { address: proxied, port: 4711, encrypted: false };
        const call = {
            uuid,
            image,
            context: bench.context(),
            services: { images: bench.services },
            config: { accelRedirect: { prefix: PREFIX }, trustedProxies: [FRONT] },
            exchange: { headers, remoteAddress, proxied: peer },
        } as unknown as Call;
        const reply = fileReply(call, 'file0', file, 'application/octet-stream');
        return prepareAnswer(reply, { method: 'GET', headers });
    };
}

/** Where a front server is sent; else the bytes. */
async function outcome({ headers, body }: Answer): Promise<string | Buffer | undefined> {
    return body.kind === 'stream' ? buffer(body.stream) : headers['X-Accel-Redirect'];
}

await t.test('who is a front server', async (t) => {
    const bench = await makeBench(t, { backend: 'local' });
    const uuid = await plantLocal(bench);
    const ask = await asker(bench, uuid);
    const path = `${PREFIX}${uuid.slice(0, 3)}/${uuid}/file0`;
    for (const [what, peer, wanted] of [
        ['says whom it asks for', { headers: FORWARDED }, path],
        ['says how it was asked', { headers: { 'x-forwarded-proto': 'https' } }, path],
        ['a client on this machine', { headers: {} }, FIRST],
        ['not trusted', { headers: FORWARDED, remoteAddress: CLIENT }, FIRST],
        ['behind one that passes bytes on', { headers: FORWARDED, proxied: FRONT }, path],
        ['a client behind such a one', { headers: FORWARDED, proxied: CLIENT }, FIRST],
    ] as const) {
        t.strictSame(await outcome(await ask(peer)), wanted, what);
    }
});

await t.test('conditions that the front server cannot judge', async (t) => {
    const bench = await makeBench(t, { backend: 'local' });
    const ask = await asker(bench, await plantLocal(bench));
    const etag = `"${sha1(FIRST)}"`;
    for (const [headers, status, wanted] of [
        [{ 'if-match': etag }, 200, FIRST],
        [{ 'if-unmodified-since': 'Fri, 31 Dec 2100 00:00:00 GMT' }, 200, FIRST],
        [{ range: 'bytes=1-2', 'if-range': etag }, 206, FIRST.subarray(1, 3)],
        [{ range: 'bytes=1-2', 'if-range': '"other"' }, 200, FIRST],
    ] as const) {
        const answer = await ask({ headers: { ...FORWARDED, ...headers } });
        t.strictSame([answer.status, await outcome(answer)], [status, wanted], JSON.stringify(headers));
    }
});

await t.test('a file that is not where the front server looks', async (t) => {
    const bench = await makeBench(t, { backend: 'local', config: MANTA });
    const moved = await plantLocal(bench);
    const before = await asker(bench, moved);
    await move(bench, moved, 'manta');
    t.strictSame(await outcome(await before({ headers: FORWARDED })), FIRST, 'moved meanwhile');

    const old = await plantLocal(bench);
    const { path = '' } = (await bench.local.stat(old, 'file0')) ?? {};
    const place = join(dirname(path), '..', '..', old);
    mkdirSync(place);
    renameSync(path, join(place, 'file0'));
    const ask = await asker(bench, old);
    t.strictSame(await outcome(await ask({ headers: FORWARDED })), FIRST, 'in the place of very old servers');
});
