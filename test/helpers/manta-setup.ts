import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import {
    withDatacenter,
    type Datacenter,
    type DatacenterAccess,
} from '#lib/cli/scripts/manta-setup/datacenter.js';
import { setUpManta, type OwnManta } from '#lib/cli/scripts/manta-setup/set-up.js';
import type { MantaDouble } from '../doubles/manta/manta-double.js';
import { SapiDouble, type SapiRecord } from '../doubles/sapi/sapi-double.js';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { VmapiDouble } from '../doubles/vmapi/vmapi-double.js';
import { USERS } from './images.js';
import { startManta, type MantaPlaceOptions } from './manta-place.js';
import { recordingLog, type LogRecord } from './recording-log.js';
import { startProgram, type ProgramExit } from './running-program.js';
import { selfSigned } from './self-signed.js';
import { PROJECT_ROOT } from './server-process.js';

export const DATACENTER = 'dc-1';
export const KEY_NAME = `${DATACENTER} imgapi key`;

/** Made once: it takes a while. */
let certificate: ReturnType<typeof selfSigned> | undefined;

/** How a script ended. */
export interface ScriptExit extends ProgramExit {
    readonly records: readonly LogRecord[];
}

/** A script in a process of its own. */
export interface RunningScript {
    readonly child: ChildProcess;
    /** Its records so far. */
    readonly records: () => readonly LogRecord[];
    readonly exited: Promise<ScriptExit>;
}

function recordsOf(stdout: string): readonly LogRecord[] {
    const lines = stdout.split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogRecord);
}

/** Starts a script of `bin/`. */
export function startScript(name: string, args: readonly string[]): RunningScript {
    const path = join(PROJECT_ROOT, 'bin', name);
    const environment = { PATH: process.env['PATH'], TZ: 'UTC' };
    const { child, stdout, exited } = startProgram(process.execPath, [path, ...args], environment);
    return {
        child,
        records: () => recordsOf(stdout()),
        exited: exited.then((exit) => ({ ...exit, records: recordsOf(exit.stdout) })),
    };
}

/** The services of a datacenter with a Manta, and a server's configuration in it. */
export interface SetupPlace {
    readonly sapi: SapiDouble;
    readonly ufds: UfdsDouble;
    readonly vmapi: VmapiDouble;
    readonly manta: MantaDouble;
    readonly application: SapiRecord;
    readonly service: SapiRecord;
    readonly configPath: string;
    /** A directory of the test. */
    readonly directory: string;
    /** Runs a script in the zone to its end. */
    readonly run: (name: string, ...args: string[]) => Promise<ScriptExit>;
    /** Does a part of a script's work in this process; tells what it logs. */
    readonly within: (
        task: (datacenter: Datacenter) => Promise<void>,
        access?: Partial<Pick<DatacenterAccess, 'configPath' | 'sapiUrl' | 'signal'>>,
    ) => Promise<readonly string[]>;
    /** Connects Manta in this process; tells what it logs. */
    readonly setUp: (wish?: Partial<OwnManta>, signal?: AbortSignal) => Promise<readonly string[]>;
}

/** Metadata of a datacenter whose user database is its own. */
function datacenterMetadata(ufds: UfdsDouble, vmapi: VmapiDouble): Readonly<Record<string, unknown>> {
    return {
        datacenter_name: DATACENTER,
        ufds_is_master: 'true',
        ufds_domain: ufds.url.replace('ldaps://', ''),
        ufds_remote_ip: '',
        ufds_ldap_root_dn: ufds.bindDN,
        ufds_ldap_root_pw: ufds.bindPassword,
        ufds_admin_uuid: USERS.sdc,
        ufds_admin_login: 'admin',
        VMAPI_SERVICE: vmapi.url.replace('http://', ''),
    };
}

/** Starts a datacenter whose Manta learns at once which keys the operator has. */
export async function startSetupPlace(t: Test, options: MantaPlaceOptions = {}): Promise<SetupPlace> {
    const ufds = await UfdsDouble.start({ tls: (certificate ??= selfSigned('127.0.0.1')) });
    const { double: manta } = await startManta(t, { kind: 'ecdsa', ...options });
    ufds.onKey = ({ openssh }) => manta.addKey('admin', openssh);
    const sapi = await new SapiDouble().start();
    const vmapi = await new VmapiDouble().start();
    t.teardown(async () => {
        await Promise.all([ufds.stop(), sapi.stop(), vmapi.stop()]);
    });
    const application = sapi.addApplication('sdc', datacenterMetadata(ufds, vmapi));
    const service = sapi.addService(application, 'imgapi', { OTHER: 'stays' });
    const directory = t.testdir({});
    const configPath = join(directory, 'imgapi.config.json');
    const config = { sapi_service: sapi.url.replace('http://', ''), ufds_admin_login: 'admin' };
    writeFileSync(configPath, JSON.stringify(config));
    const within: SetupPlace['within'] = async (task, access) => {
        const { log, records } = recordingLog();
        const { signal } = new AbortController();
        await withDatacenter({ configPath, sapiUrl: undefined, signal, log, ...access }, task);
        return records.map(({ msg }) => msg);
    };
    const own = { url: manta.url, insecure: false, remote: false, force: false, waitSeconds: 0 };
    return {
        sapi,
        ufds,
        vmapi,
        manta,
        application,
        service,
        configPath,
        directory,
        run: (name, ...args) => startScript(name, [...args, '--config', configPath]).exited,
        within,
        setUp: (wish, signal) =>
            within((datacenter) => setUpManta(datacenter, { ...own, ...wish }), signal && { signal }),
    };
}
