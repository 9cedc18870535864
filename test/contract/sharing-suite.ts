import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import type { SharingStore } from '#lib/database/sharing.js';

/** Opens another store on the same data, as another process does; where nothing is shared, the same. */
export type OpenSharing = (t: Test) => Promise<() => Promise<SharingStore>>;

/** What every store of trusted accounts must do (jobs-and-imports 8.8). */
export function sharingSuite(t: Test, prepare: OpenSharing): void {
    void t.test('put, get, remove', async (t) => {
        const open = await prepare(t);
        const store = await open();
        const [account, one, two] = [randomUUID(), randomUUID(), randomUUID()];
        t.same(await store.trustedAccounts(account), [], 'nothing is known of it');
        await store.setTrustedAccounts(account, []);
        t.same(await store.trustedAccounts(account), []);
        await store.setTrustedAccounts(account, [two, one]);
        t.same(await store.trustedAccounts(account), [two, one], 'in the order given');
        await store.setTrustedAccounts(account, [one]);
        t.same(await store.trustedAccounts(account), [one], 'replaced');
        t.same(await (await open()).trustedAccounts(account), [one], 'for others too');
        t.same(await store.trustedAccounts(randomUUID()), []);
        await store.setTrustedAccounts(account, []);
        t.same(await store.trustedAccounts(account), []);
        t.same(await (await open()).trustedAccounts(account), []);
    });

    void t.test('what was put cannot be changed from outside', async (t) => {
        const store = await (await prepare(t))();
        const [account, one] = [randomUUID(), randomUUID()];
        const trusted = [one];
        await store.setTrustedAccounts(account, trusted);
        trusted.push(randomUUID());
        t.same(await store.trustedAccounts(account), [one]);
    });

    void t.test('a thousand, and several at once', async (t) => {
        const open = await prepare(t);
        const stores = [await open(), await open()];
        const account = randomUUID();
        const many = Array.from({ length: 1000 }, () => randomUUID());
        await stores[0]!.setTrustedAccounts(account, many);
        t.same(await stores[1]!.trustedAccounts(account), many);
        const lists = [[many[0]!], [many[1]!], [many[2]!]];
        await Promise.all(lists.map((list) => stores[0]!.setTrustedAccounts(account, list)));
        const last = await stores[0]!.trustedAccounts(account);
        t.ok(
            lists.some((list) => list[0] === last[0]),
            'one of them',
        );
        t.equal(last.length, 1);
    });
}
