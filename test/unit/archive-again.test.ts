import t from 'tap';
import { CHANNELS } from '#lib/cli/imgapiadm/fsck/channel-check.js';
import type { Finding, Place } from '#lib/cli/imgapiadm/fsck/check.js';
import { repairAll, type Repaired } from '#lib/cli/imgapiadm/fsck/repairs.js';
import type { StoredEntry, StoredRecords } from '#lib/cli/imgapiadm/records/stored-records.js';
import type { RawImage } from '#lib/manifest/types.js';
import { damagedUuid, goodRecord } from '../helpers/damaged-records.js';
import { DC_CHANNELS } from '../helpers/manifests.js';

const uuid = damagedUuid(1);

void t.test('a record that cannot be stored leaves the archive as it was', async (t) => {
    const data = goodRecord(1);
    const stored: StoredEntry = { kind: 'record', uuid, data, text: JSON.stringify(data), current: data };
    const records = {
        find: () => Promise.resolve(stored),
        put: () => Promise.reject(new Error('the disk is full')),
    } as unknown as StoredRecords;
    const archived: RawImage[] = [];
    const place: Place = {
        rules: DC_CHANNELS,
        channels: [{ name: 'dev', description: 'the default', default: true }],
        now: Date.now(),
        storages: ['local'],
        ownerless: false,
        fileTime: () => Promise.resolve(undefined),
        tool: 'imgapi-cli',
    };
    const done: Repaired[] = [];
    const finding = { check: CHANNELS.name, fixable: true, uuid } as Finding;
    await repairAll([finding], {
        records,
        archive: {
            write: (raw) => Promise.resolve(void archived.push(raw)),
            count: () => Promise.resolve(0),
        },
        place,
        fixes: 'channel',
        purge: () => Promise.resolve(false),
        restore: () => Promise.resolve({ result: 'fixed' }),
        isThere: () => Promise.resolve(false),
        signal: new AbortController().signal,
        onDone: (_finding, repaired) => done.push(repaired),
    });
    t.match(done, [{ result: 'failed', reason: /the disk is full/ }]);
    t.same(
        archived.map(({ channels }) => channels),
        [['dev'], undefined],
        'first as it was to be, then as it is',
    );
});
