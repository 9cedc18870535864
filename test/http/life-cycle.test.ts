// The whole life of images, tried at random against a model of a registry in memory.
import t, { type Test } from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { ADMIN, startDatacenter, type DatacenterOptions } from '../helpers/datacenter.js';
import { HttpClient } from '../helpers/http-client.js';
import { lifeCycle, type LifeCycleServers } from '../helpers/life-cycle/suite.js';
import { startServer } from '../helpers/start-server.js';

const CHANNELS = [
    { name: 'dev', description: 'for tests', default: true },
    { name: 'release', description: '' },
    { name: 'support', description: '' },
];
const channels = CHANNELS.map(({ name }) => name);

/** Servers of a datacenter without images, with a user database that knows all accounts but strangers. */
async function datacenter(
    t: Test,
    options: Omit<DatacenterOptions, 'images' | 'ufds'>,
): Promise<LifeCycleServers> {
    const ufds = await UfdsDouble.start();
    t.teardown(() => ufds.stop());
    ufds.users.set(ADMIN, { uuid: ADMIN, login: 'admin' });
    const { servers } = await startDatacenter(t, { ...options, images: [], ufds });
    return {
        clients: servers.map((server) => new HttpClient(server.port)),
        rules: { mode: 'dc', knownOwners: new Set(ufds.users.keys()) },
    };
}

await lifeCycle(t, 'local database, mode dc', (test) => datacenter(test, {}), { runs: 25 });

await lifeCycle(
    t,
    'local database, mode private with channels',
    async (test) => {
        const { server } = await startServer(test, { authType: 'none', channels: CHANNELS });
        return { clients: [new HttpClient(server.port)], rules: { mode: 'private', channels } };
    },
    { runs: 15 },
);

/** Two processes of a datacenter that share a Moray. */
async function onMoray(t: Test, config: Readonly<Record<string, unknown>>): Promise<LifeCycleServers> {
    const double = await MorayDouble.start();
    t.teardown(() => double.stop());
    const nothing = { put: () => Promise.resolve(), read: () => Promise.resolve(undefined) };
    return datacenter(t, {
        processes: 2,
        moray: { host: '127.0.0.1', port: double.port, ...nothing },
        config,
    });
}

await lifeCycle(t, 'Moray, two processes', (test) => onMoray(test, {}), { runs: 25 });

await lifeCycle(
    t,
    'Moray, two processes, with channels',
    async (test) => {
        const servers = await onMoray(test, { channels: CHANNELS });
        return { ...servers, rules: { ...servers.rules, channels } };
    },
    { runs: 15 },
);
