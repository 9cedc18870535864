// The server killed at one exact step of a write, and started again: record and bytes agree, and
// the image is as before the write or as after it (backends 15, crash points, W1, W5, W12; 17 row 17).
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { InjectedFault, noInjection, type FaultyCall } from '../helpers/injected-faults.js';
import { eventually, LIMIT_MS, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import {
    changeOfUuid,
    leftovers,
    look,
    operation,
    type DiskOperation,
    type ImageView,
} from './disk-operations.js';

t.setTimeout(LIMIT_MS);

/** One step of a write, at which the server dies. */
interface KillPoint {
    readonly write: string;
    readonly call: FaultyCall;
    /** What the call is about; the last such call of the write is meant, unless `first` is set. */
    readonly about: RegExp;
    readonly first?: boolean;
    /** What the image is like afterwards. */
    readonly then: 'as before' | 'as after';
    readonly why: string;
}

const RECORD = /\/manifests\//;
const POINTS: readonly KillPoint[] = [
    { write: 'import', call: 'rename', about: RECORD, then: 'as before', why: 'the record is not there yet' },
    { write: 'update', call: 'rename', about: RECORD, then: 'as before', why: 'the old record stays' },
    {
        write: 'update',
        call: 'rename',
        about: /\/archive\//,
        then: 'as before',
        why: 'the archive comes first',
    },
    {
        write: 'first upload',
        call: 'rename',
        about: /\/file0\./,
        then: 'as before',
        why: 'bytes are not visible',
    },
    {
        write: 'first upload',
        call: 'rename',
        about: RECORD,
        then: 'as after',
        why: 'between bytes and record',
    },
    {
        write: 'first upload',
        call: 'unlink',
        about: /\/uploads\//,
        then: 'as after',
        why: 'all but the intent is done',
    },
    {
        write: 'second upload',
        call: 'rename',
        about: RECORD,
        first: true,
        then: 'as before',
        why: 'before the entry goes',
    },
    {
        write: 'second upload',
        call: 'rename',
        about: /\/file0\./,
        then: 'as before',
        why: 'between entry and bytes',
    },
    {
        write: 'second upload',
        call: 'rename',
        about: RECORD,
        then: 'as after',
        why: 'between bytes and record',
    },
    {
        write: 'second icon',
        call: 'rename',
        about: /\/icon\./,
        then: 'as before',
        why: 'between entry and bytes',
    },
    {
        write: 'second icon',
        call: 'rename',
        about: RECORD,
        then: 'as after',
        why: 'between bytes and record',
    },
    { write: 'activation', call: 'rename', about: RECORD, then: 'as before', why: 'the old record stays' },
    {
        write: 'removal of the icon',
        call: 'rename',
        about: RECORD,
        then: 'as before',
        why: 'the journal is a plan only',
    },
    {
        write: 'removal of the icon',
        call: 'unlink',
        about: /\/icon"/,
        first: true,
        then: 'as after',
        why: 'the bytes follow',
    },
    { write: 'removal', call: 'unlink', about: RECORD, then: 'as before', why: 'the journal is a plan only' },
    {
        write: 'removal',
        call: 'unlink',
        about: /\/file0"/,
        first: true,
        then: 'as after',
        why: 'the bytes follow',
    },
    {
        write: 'removal',
        call: 'unlink',
        about: /\/icon"/,
        first: true,
        then: 'as after',
        why: 'half of the bytes are left',
    },
    {
        write: 'removal',
        call: 'unlink',
        about: /\/deletes\//,
        then: 'as after',
        why: 'only the journal is left',
    },
    {
        write: 'change of uuid',
        call: 'rename',
        about: /\/run\/move-/,
        then: 'as before',
        why: 'only files are copied',
    },
    {
        write: 'change of uuid',
        call: 'rename',
        about: RECORD,
        then: 'as before',
        why: 'the new record is missing',
    },
    {
        write: 'change of uuid',
        call: 'unlink',
        about: RECORD,
        then: 'as after',
        why: 'the new record is there',
    },
    {
        write: 'change of uuid',
        call: 'unlink',
        about: /\/move-/,
        then: 'as after',
        why: 'only the intent is left',
    },
];

/** What may be left after the next start: temporary files that only their age tells from those of an upload. */
function isForLater(path: string): boolean {
    return /^(archive|run)\/.*\.tmp$|^images\/.*\.[0-9a-f-]{36}$/.test(path);
}

class Subject {
    readonly baseDir = temporaryDirectory();
    #server: ServerProcess | undefined;

    async start(): Promise<{ readonly server: ServerProcess; readonly client: HttpClient }> {
        this.#server ??= await ServerProcess.start({
            baseDir: this.baseDir,
            config: { authType: 'none' },
            environment: { UV_THREADPOOL_SIZE: '1' },
        });
        return { server: this.#server, client: new HttpClient(this.#server.port) };
    }

    /** Waits for the end of a server that is being killed. */
    async killed(): Promise<NodeJS.Signals | null> {
        const exit = await this.#server?.exited;
        this.#server = undefined;
        return exit?.signal ?? null;
    }

    async end(): Promise<void> {
        const exit = await this.#server?.stop();
        rmSync(this.baseDir, { recursive: true, force: true });
        if (exit?.code !== 0) throw new Error(`the server did not end cleanly: ${JSON.stringify(exit)}`);
    }
}

/** What does not depend on the time of a write or on the uuid. */
function essence(view: ImageView | undefined): object | undefined {
    if (view === undefined) return undefined;
    const document = JSON.parse(view.document) as Record<string, unknown>;
    return { ...document, uuid: undefined, published_at: undefined, bytes: [view.file, view.icon] };
}

/** The order of keys in a record means nothing. */
function parsed(view: ImageView | undefined): object | undefined {
    return view === undefined ? undefined : { ...view, record: JSON.parse(view.record) as unknown };
}

await t.test('killed at one step of a write', { skip: noInjection() }, async (t) => {
    const subject = new Subject();
    t.teardown(() => subject.end());

    async function killAt(
        test: Test,
        point: KillPoint,
        write: DiskOperation,
        twin: DiskOperation,
    ): Promise<void> {
        const { server, client } = await subject.start();
        const twinUuid = await twin.prepare(client);
        const calls = await InjectedFault.watch(server.pid, point.call, () => twin.run(client, twinUuid));
        const after = await look(client, subject.baseDir, twin.newUuid ?? twinUuid);
        const matching = calls.flatMap((line, index) => (point.about.test(line) ? [index + 1] : []));
        const nth = point.first === true ? matching[0] : matching.at(-1);
        if (nth === undefined) throw new Error(`no such call in ${calls.join('\n')}`);

        const uuid = await write.prepare(client);
        const before = await look(client, subject.baseDir, uuid);
        const fault = await InjectedFault.into(server.pid, { call: point.call, with: 'kill', nth });
        await test.rejects(write.run(client, uuid), 'there is no answer');
        test.equal(await subject.killed(), 'SIGKILL');
        await fault.detach();
        test.match(
            fault.forget().filter((line) => point.about.test(line)).length,
            /[1-9]/,
            'at the right step',
        );

        const again = await subject.start();
        const agrees = async (one: string) => {
            await look(again.client, subject.baseDir, one);
            return leftovers(subject.baseDir).every(isForLater);
        };
        for (const one of [uuid, write.newUuid ?? uuid]) {
            await eventually('the journals to be settled', 10_000, () => agrees(one).catch(() => false));
        }
        const isDone = point.then === 'as after';
        const views = [
            await look(again.client, subject.baseDir, uuid),
            ...(write.newUuid === undefined
                ? []
                : [await look(again.client, subject.baseDir, write.newUuid)]),
        ];
        const [view, other] = write.newUuid !== undefined && isDone ? views.reverse() : views;
        if (isDone) test.strictSame(essence(view), essence(after), 'the write has happened');
        else test.strictSame(parsed(view), parsed(before), 'the write has not happened');
        test.equal(other, undefined, 'the image has one uuid');
        for (const path of leftovers(subject.baseDir)) rmSync(join(subject.baseDir, path));
        const retry = await write.run(again.client, uuid);
        if (!isDone) test.ok(retry.status < 300, 'the same request succeeds now');
    }

    for (const point of POINTS) {
        const make = () => (point.write === 'change of uuid' ? changeOfUuid() : operation(point.write));
        const name = `${point.write}, ${point.call} ${point.about}: ${point.then}, ${point.why}`;
        await t.test(name, (test) => killAt(test, point, make(), make()));
    }
});
