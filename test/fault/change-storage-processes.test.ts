// A move of an image to another storage in one process, while another one puts bytes in the same places,
// takes them away, or passes over the journal (backends W3, W5, W11).
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { deleteImage } from '#lib/images/delete-image.js';
import { deleteImageIcon } from '#lib/images/delete-image-icon.js';
import { type Bench, makeBench, refusal, sha1 } from '../helpers/image-bench.js';
import { names, replacing } from '../helpers/image-faults.js';
import { PNG } from '../helpers/images.js';
import {
    ALL,
    DIRECTIONS,
    MANTA,
    move,
    moveAll,
    movingAt,
    plantContainer,
    requireAllAgree,
    storagesOf,
} from '../helpers/moved-images.js';
import { addFile, addIcon, FIRST, plantImage, SECOND } from '../helpers/planted-images.js';
import { secondProcess } from '../helpers/second-process.js';

/** How long a process may take to get where it must not get, milliseconds. */
const PATIENCE_MS = 300;

/** Two processes on the same data. */
async function twoProcesses(t: Test): Promise<{ readonly bench: Bench; readonly second: Bench }> {
    const bench = await makeBench(t, { config: MANTA });
    return { bench, second: secondProcess(bench) };
}

void t.test('another process passes over the journal between the bytes and the record', async (t) => {
    const { bench, second } = await twoProcesses(t);
    for (const [from, to] of DIRECTIONS) {
        const uuid = await plantContainer(bench, ALL(from));
        let passed: Promise<number> | undefined;
        const held = movingAt(bench, to, 'stat', 3, async (go) => {
            // It waits for the claims, and decides when the record names the new bytes.
            passed = second.pendingDeletes();
            await Promise.race([passed, pause(PATIENCE_MS)]);
            return go();
        });
        t.same(storagesOf((await moveAll(held, uuid, to)).raw), ALL(to));
        await passed;
        await requireAllAgree(t, bench, uuid);
        await deleteImage(bench.services, bench.context(), uuid, false);
    }
});

void t.test('another process uploads the file meanwhile', async (t) => {
    const { bench, second } = await twoProcesses(t);
    const uuid = await plantImage(bench);
    for (let round = 0; round < 40; round += 1) {
        const [from, to] = DIRECTIONS[round % 2] ?? DIRECTIONS[0];
        await addFile(bench, uuid, FIRST, { storage: from });
        const storage = round % 4 < 2 ? from : to;
        const moved = move(round % 3 === 0 ? second : bench, uuid, to).then(
            () => 'moved',
            (error: unknown) => (error as Error).message,
        );
        for (let turn = 0; turn < round; turn += 1) await new Promise(setImmediate);
        await addFile(round % 3 === 0 ? bench : second, uuid, SECOND, { storage });
        t.match(await moved, /^moved$|^error moving image file: |has no file$/);
        t.match((await bench.raw(uuid)).files, [{ sha1: sha1(SECOND) }], 'the upload is what stays');
        await requireAllAgree(t, bench, uuid, `round ${round}`);
    }
    t.equal(await bench.pendingDeletes(), 0);
    t.same(readdirSync(join(bench.base, 'run', 'uploads')), []);
});

void t.test('another process deletes the icon or the image meanwhile', async (t) => {
    const { bench, second } = await twoProcesses(t);
    for (const step of ['close', 'commit', 'stat'] as const) {
        const uuid = await plantImage(bench);
        await addIcon(bench, uuid, PNG, { storage: 'local' });
        const held = movingAt(bench, 'manta', step, 1, async (go) => {
            const result = await go();
            await deleteImageIcon(second.services, second.context(), uuid);
            return result;
        });
        const { status, message } = await refusal(moveAll(held, uuid, 'manta'));
        t.equal(status, 500);
        t.match(message, step === 'close' ? /replaced meanwhile$/ : /^could not save updated manifest$/);
        t.equal((await bench.raw(uuid)).icon, undefined);
        await requireAllAgree(t, bench, uuid);
    }
    for (const nth of [1, 2, 3]) {
        const uuid = await plantContainer(bench, ALL('local'));
        let deleted: Promise<void> | undefined;
        const held = movingAt(bench, 'manta', 'commit', nth, async (go) => {
            deleted = deleteImage(second.services, second.context(), uuid, false);
            await Promise.race([deleted, pause(PATIENCE_MS)]);
            return go();
        });
        t.same(storagesOf((await moveAll(held, uuid, 'manta')).raw), ALL('manta'), 'it waits for the move');
        await deleted;
        t.notOk(await bench.exists(uuid));
        t.same([...(await names(bench)), ...(await names(bench, bench.manta))], []);
    }
});

void t.test('another process moves the icon away that is being deleted', async (t) => {
    const { bench, second } = await twoProcesses(t);
    const uuid = await plantImage(bench);
    await addIcon(bench, uuid, PNG, { storage: 'local' });
    const seen = replacing(second.services.database, {
        update: async (...args) => {
            await moveAll(bench, uuid, 'manta');
            return second.services.database.update(...args);
        },
    });
    const services = { ...second.services, database: seen };
    await deleteImageIcon(services, second.context(), uuid);
    t.equal((await bench.raw(uuid)).icon, undefined);
    t.same([...(await names(bench)), ...(await names(bench, bench.manta))], []);
});
