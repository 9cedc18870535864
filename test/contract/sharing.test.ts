import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '#lib/base/clock.js';
import { baseDirectories } from '#lib/base/directories.js';
import { LocalSharingStore } from '#lib/database/local/local-sharing.js';
import { MemorySharingStore } from '#lib/database/memory/memory-sharing.js';
import { MoraySharingStore } from '#lib/database/moray/moray-sharing.js';
import { morayConnection, startMoray } from '../helpers/moray-databases.js';
import { sharingSuite, type OpenSharing } from './sharing-suite.js';

const BUCKET = 'imgapi_sharing';
const unavailable = {
    code: 'ServiceUnavailableError',
    status: 503,
    message: 'service unavailable',
    headers: { 'Retry-After': '5' },
};

const openMemory: OpenSharing = () => {
    const store = new MemorySharingStore();
    return Promise.resolve(() => Promise.resolve(store));
};

const openLocal: OpenSharing = (t) => {
    const directories = baseDirectories(t.testdir());
    return Promise.resolve(() => Promise.resolve(new LocalSharingStore({ directories, clock: systemClock })));
};

const openMoray: OpenSharing = async (t) => {
    const moray = await startMoray(t);
    return () => {
        const { connection } = morayConnection(t, moray.port);
        connection.connect();
        return Promise.resolve(new MoraySharingStore({ moray: connection, clock: systemClock }));
    };
};

void t.test('memory', (t) => {
    sharingSuite(t, openMemory);
    t.end();
});

void t.test('local', (t) => {
    sharingSuite(t, openLocal);
    void t.test('a file that is none', async (t) => {
        const account = randomUUID();
        const directories = baseDirectories(t.testdir({ sharing: {} }));
        const store = new LocalSharingStore({ directories, clock: systemClock });
        writeFileSync(join(directories.sharing, `${account}.json`), '{');
        await t.rejects(store.trustedAccounts(account), unavailable);
    });
    t.end();
});

void t.test('moray', (t) => {
    sharingSuite(t, openMoray);

    void t.test('rows and calls', async (t) => {
        const moray = await startMoray(t);
        const { connection } = morayConnection(t, moray.port);
        connection.connect();
        const clock = { now: () => Date.UTC(2024, 0, 2) };
        const store = new MoraySharingStore({ moray: connection, clock });
        const [account, one] = [randomUUID(), randomUUID()];
        t.same(await store.trustedAccounts(account), []);
        await t.rejects(moray.rows(BUCKET), { name: 'BucketNotFoundError' }, 'reading makes no bucket');
        await store.setTrustedAccounts(account, [one]);
        t.match(await moray.rows(BUCKET), [
            { key: account, value: { account, trusted_accounts: [one], mtime: '2024-01-02T00:00:00.000Z' } },
        ]);
        moray.resetRpcCounts();
        await store.trustedAccounts(account);
        t.equal(moray.rpcCounts.total, 1);
        await store.setTrustedAccounts(account, [account]);
        t.equal(moray.rpcCounts.total, 3, 'a write reads the version it replaces');
        await store.setTrustedAccounts(account, []);
        t.same(await moray.rows(BUCKET), [], 'an empty list leaves no row');
    });

    void t.test('others that are faster, lost answers, outages', async (t) => {
        const moray = await startMoray(t);
        const { connection } = morayConnection(t, moray.port);
        connection.connect();
        const store = new MoraySharingStore({ moray: connection, clock: systemClock });
        const [account, one] = [randomUUID(), randomUUID()];
        await store.setTrustedAccounts(account, [account]);
        moray.refuse('EtagConflictError', 3, 'putObject');
        moray.breakOff('putObject', 1, 'after');
        await store.setTrustedAccounts(account, [one]);
        t.same(await store.trustedAccounts(account), [one]);
        moray.refuse('EtagConflictError', 8, 'delObject');
        await t.rejects(store.setTrustedAccounts(account, []), unavailable);
        moray.clearFaults();
        moray.refuse('InternalError', 1, 'putObject');
        const failure = { code: 'InternalError', message: `error saving trusted accounts of ${account}` };
        await t.rejects(store.setTrustedAccounts(account, [account]), failure);
        await moray.putRaw(BUCKET, account, { account, trusted_accounts: 'x' });
        await t.rejects(store.trustedAccounts(account), unavailable, 'a row that is none');
        await moray.stop();
        await t.rejects(store.trustedAccounts(account), unavailable);
        await t.rejects(store.setTrustedAccounts(account, [one]), unavailable);
    });
    t.end();
});
