import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import t from 'tap';
import type { Database } from '#lib/database/database.js';
import { isNamed, isUnavailable } from '#lib/database/moray/failures.js';
import { record } from '../helpers/records.js';
import { bucketReady, morayDatabase, openMoray, startMoray } from '../helpers/moray-databases.js';
import { eventually } from '../helpers/server-process.js';

const BUCKET = 'imgapi_images';
const unavailable = {
    code: 'ServiceUnavailableError',
    status: 503,
    message: 'service unavailable',
    headers: { 'Retry-After': '5' },
};
const KNOWN = record();

type Operation = 'get' | 'search' | 'create' | 'update' | 'move' | 'del';

/** Every operation, and the call of it that decides. */
const OPERATIONS: Readonly<
    Record<Operation, readonly [method: string, (database: Database) => Promise<unknown>]>
> = {
    get: ['getObject', (database) => database.get(KNOWN.uuid)],
    search: ['findObjects', (database) => database.search({ anyOf: [{}], order: 'asc' })],
    create: ['putObject', (database) => database.create(KNOWN)],
    update: ['putObject', (database) => database.update(KNOWN.uuid, (old) => ({ ...old, name: 'new' }))],
    move: [
        'batch',
        (database) => database.move(KNOWN.uuid, record().uuid, (old) => ({ ...old, uuid: old.uuid })),
    ],
    del: ['delObject', (database) => database.del(KNOWN.uuid)],
};

void t.test('what each error of Moray is answered with', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    const internal = (message: string) => ({ code: 'InternalError', status: 500, message });
    const notFound = { code: 'ResourceNotFound', status: 404, message: `image ${KNOWN.uuid} not found` };
    const down = { ...unavailable };
    const rows: [Operation, string, typeof notFound][] = [
        ['get', 'ObjectNotFoundError', notFound],
        ['get', 'InvocationError', down],
        ['search', 'NotIndexedError', internal('error searching images')],
        ['create', 'InternalError', internal(`error saving image ${KNOWN.uuid}`)],
        ['create', 'IndexTypeError', internal(`error saving image ${KNOWN.uuid}`)],
        ['update', 'InternalError', internal(`error modifying image ${KNOWN.uuid}`)],
        ['update', 'UniqueAttributeError', internal(`error modifying image ${KNOWN.uuid}`)],
        ['del', 'ObjectNotFoundError', notFound],
        ['del', 'InternalError', internal(`could not delete image ${KNOWN.uuid}`)],
        ...(['get', 'search', 'create', 'update', 'del'] as const).map(
            (operation): [Operation, string, typeof notFound] => [operation, 'NoDatabasePeersError', down],
        ),
    ];
    for (const [operation, name, expected] of rows) {
        const [method, call] = OPERATIONS[operation];
        moray.clearFaults();
        await database.del(KNOWN.uuid).catch(() => undefined);
        if (operation !== 'create') {
            await database.create(KNOWN);
        }
        moray.refuse(name, 1, method);
        await t.rejects(call(database), expected, `${operation}: ${name}`);
    }
    moray.clearFaults();
    moray.loseDatabase();
    await t.rejects(database.ping(), down, 'ping asks the database');
    moray.restoreDatabase();
    await t.resolves(database.ping());
});

void t.test('a name anywhere in the chain of causes', (t) => {
    const inner = Object.assign(new Error('x'), { name: 'NoDatabasePeersError' });
    const wrapped = Object.assign(new Error('y'), { cause: () => inner });
    const outer = new Error('z', { cause: wrapped });
    t.ok(isNamed(outer, 'NoDatabasePeersError'));
    t.ok(isUnavailable(outer));
    t.notOk(isUnavailable(new Error('z')));
    t.ok(isUnavailable(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })));
    t.notOk(isNamed(undefined, 'Error'));
    t.end();
});

void t.test('Moray comes late, goes and comes back', async (t) => {
    const moray = await startMoray(t);
    await moray.stop();
    const { database, records } = morayDatabase(t, moray.port);
    const started = Date.now();
    await database.setup();
    t.ok(Date.now() - started < 500, 'nobody waits for it');
    for (const [method, call] of Object.values(OPERATIONS)) {
        await t.rejects(call(database), unavailable, `not connected: ${method}`);
    }
    await t.rejects(database.ping(), unavailable);

    await moray.restart();
    await bucketReady(database);
    t.equal(
        records.filter(({ msg }) => msg === 'bucket created').length,
        1,
        'created after the late connect',
    );
    const { raw } = await database.create(record());

    await moray.stop();
    await t.rejects(database.get(raw.uuid), unavailable);
    await t.rejects(
        database.update(raw.uuid, (old) => ({ ...old, name: 'new' })),
        unavailable,
    );
    await moray.restart();
    await bucketReady(database);
    t.same((await database.get(raw.uuid)).raw, raw);

    await moray.stop();
    await t.rejects(database.get(raw.uuid), unavailable);
    await moray.restart();
    await bucketReady(database);
    const told = records.filter(({ morayClient }) => morayClient === true);
    t.same(
        told.map(({ msg }) => msg),
        [
            'Moray cannot be reached',
            'connected to Moray',
            'lost all connections to Moray',
            'connected to Moray',
        ],
        'one line for each change, but each complaint once a minute',
    );
});

void t.test('connections that break under load', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    const acknowledged: string[] = [];
    for (let round = 0; round < 5; round += 1) {
        const results = Promise.allSettled(
            Array.from({ length: 20 }, async () => {
                const { raw } = await database.create(record());
                acknowledged.push(raw.uuid);
            }),
        );
        setImmediate(() => moray.breakConnections());
        for (const result of await results) {
            if (result.status === 'rejected') {
                t.match(result.reason, unavailable);
            }
        }
    }
    await bucketReady(database);
    const stored = new Set((await moray.rows(BUCKET)).map(({ key }) => key));
    t.ok(acknowledged.length > 0);
    t.same(
        acknowledged.filter((uuid) => !stored.has(uuid)),
        [],
        'nothing acknowledged is lost',
    );
});

void t.test('a Moray that hangs', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port, { callTimeout: 300 });
    await database.create(KNOWN);
    for (const [operation, [method, call]] of Object.entries(OPERATIONS)) {
        if (operation === 'move') {
            continue;
        }
        await bucketReady(database);
        moray.hang(method, 3);
        const started = Date.now();
        await t.rejects(call(database), unavailable, operation);
        const waited = Date.now() - started;
        t.ok(waited >= 250 && waited < 3000, `${operation} is waited for as long as told: ${waited} ms`);
        moray.clearFaults();
    }
    await bucketReady(database);
    t.ok(await database.get(KNOWN.uuid), 'works again');
});

void t.test(
    'a Moray that answers nothing is waited for once, then not at all until it answers again',
    async (t) => {
        const moray = await startMoray(t);
        const callTimeout = 500;
        const { database, connection } = await openMoray(t, moray.port, { callTimeout });
        await database.create(KNOWN);
        moray.hang(undefined, 1_000_000);
        await t.rejects(database.get(KNOWN.uuid), unavailable);
        // A queue of changes of one image, each of which would wait as long.
        const started = Date.now();
        for (let n = 0; n < 20; n += 1) {
            await t.rejects(
                database.update(KNOWN.uuid, (old) => ({ ...old, name: `name-${n}` })),
                unavailable,
            );
        }
        t.ok(Date.now() - started < 4 * callTimeout, 'the others are told at once');
        t.notOk(connection.isConnected);
        moray.clearFaults();
        t.ok(await connection.reconnected(10_000), 'it is noticed when Moray answers again');
        t.equal((await database.get(KNOWN.uuid)).raw.name, KNOWN.name);
    },
);

void t.test('a stop does not wait for a Moray that hangs', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    moray.hang(undefined, 1_000_000);
    const hanging = database.get(KNOWN.uuid).then(
        () => undefined,
        (error: unknown) => error,
    );
    const started = Date.now();
    await database.close();
    t.match(await hanging, unavailable);
    t.ok(Date.now() - started < 5000, 'not for the 15 seconds of a call');
});

void t.test('a stop waits for changes, but not for as long as Moray may take', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    moray.hang(undefined, 1_000_000);
    const hanging = database.create(record()).then(
        () => undefined,
        (error: unknown) => error,
    );
    const started = Date.now();
    await database.close();
    t.match(await hanging, unavailable);
    t.ok(Date.now() - started < 10_000, 'not for the 15 seconds of a call');
});

void t.test('something that accepts connections and never says a word', async (t) => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.resume();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
        server.close();
        sockets.forEach((socket) => socket.destroy());
    });
    const address = server.address() as { readonly port: number };
    const { database } = morayDatabase(t, address.port, { callTimeout: 200 });
    await database.setup();
    await t.rejects(database.get(KNOWN.uuid), unavailable);
    const before = sockets.size;
    await t.rejects(database.get(KNOWN.uuid), unavailable);
    await eventually('its connections are given up and made anew', 10_000, () => sockets.size > before);
});

void t.test('a bucket that cannot be made at first', async (t) => {
    const moray = await startMoray(t);
    moray.refuse('InternalError', 1, 'createBucket');
    const { database, records } = morayDatabase(t, moray.port);
    await database.setup();
    await bucketReady(database);
    t.equal(records.filter(({ msg }) => msg.startsWith('bucket could not be made ready')).length, 1);
    await t.resolves(database.create(record()));
});

void t.test('closed', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    await database.close();
    await t.rejects(database.get(KNOWN.uuid), unavailable);
    const { database: unused } = morayDatabase(t, moray.port);
    await t.resolves(unused.close());
});
