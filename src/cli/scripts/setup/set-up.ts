import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { makeKeyPair } from '../../../auth/key-pair.js';
import { checkConfig, loadConfig } from '../../../base/config.js';
import { makeDirectory, writeFileDurably } from '../../../base/durable-files.js';
import { timeStamp } from '../../../base/time-stamp.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Invocation } from '../../imgapiadm/command.js';
import { ownerToBe, type Owner } from '../../imgapiadm/offline/act-as-owner.js';
import { ownedDirectory, requireNoLinks } from '../../imgapiadm/offline/own-directory.js';
import type { Places } from '../../places.js';
import { findServiceManager } from '../../service-manager.js';
import { haproxyConfig, hitchConfig } from '../front-server-samples.js';
import { certificateOf, makeCertificate } from './certificate.js';
import { InstanceMetadata } from './instance-metadata.js';
import { nextSteps } from './next-steps.js';
import { currentUser, findUser, groupOf, makeUser } from './service-user.js';
import { instanceKeys, KEY_ENDING, makeSetupConfig } from './setup-config.js';
import type { SetupVars } from './setup-vars.js';
import { runSteps, type SetupStep } from './steps.js';
import {
    areEnabled,
    areInstalled,
    arePackaged,
    enableUnits,
    installUnits,
    unitsToEnable,
    wantedUnits,
} from './units.js';

/** What a set-up is asked to do. */
export interface SetupOrder {
    readonly places: Places;
    /** Absent: nobody else than now. */
    readonly user?: string;
    /** Names of this host, one at least. */
    readonly hosts: readonly string[];
    readonly front?: 'haproxy' | 'hitch';
    /** Absent: where this machine has them, if it has. */
    readonly unitDirectory?: string;
    readonly vars: SetupVars;
    readonly dryRun: boolean;
}

const PRIVATE_MODE = 0o600;
const UNIT_DIRECTORY = '/etc/systemd/system';
/** Front servers read them as root: their user must not be able to change them, but all may read them. */
const FRONT_MODE = 0o644;

/** A set-up, with what its steps share. */
class Setup {
    readonly #order: SetupOrder;
    readonly #environment: NodeJS.ProcessEnv;
    readonly #etc: string;
    /** Whose new files are; absent: this process's user's. */
    #owner: Owner | undefined;

    constructor(order: SetupOrder, environment: NodeJS.ProcessEnv) {
        this.#order = order;
        this.#environment = environment;
        this.#etc = join(order.places.data, 'etc');
    }

    /** All steps, in order. */
    async steps(): Promise<readonly SetupStep[]> {
        const { user, front } = this.#order;
        return [
            ...(user === undefined ? [] : [this.#userStep(user)]),
            ...this.#directorySteps(),
            this.#keyStep(),
            ...this.#publicKeySteps(),
            this.#certificateStep(),
            this.#configStep(),
            ...(front === undefined ? [] : this.#frontSteps(front)),
            ...(await this.#unitSteps()),
        ];
    }

    #userStep(user: string): SetupStep {
        const find = async (): Promise<boolean> => {
            this.#owner = await findUser(user, this.#environment);
            return this.#owner !== undefined;
        };
        return {
            what: `user ${user}`,
            isDone: find,
            run: async () => {
                await makeUser(user, this.#order.places.data, this.#environment);
                if (!(await find())) {
                    throw new Error(`there is no user ${user}, although it was made`);
                }
                return undefined;
            },
        };
    }

    #directorySteps(): readonly SetupStep[] {
        const { data } = this.#order.places;
        const below = ['etc', 'etc/authkeys', 'etc/authkeys/local', 'manifests', 'images', 'archive', 'run'];
        return [data, ...below.map((name) => join(data, name))].map((path) => ({
            what: `directory ${path}`,
            isDone: async () => {
                await this.#requireOwnWay(path);
                return (await unlessMissing(stat(path)))?.isDirectory() === true;
            },
            run: async () => {
                await ownedDirectory(path, await this.#ownerToBe());
                return undefined;
            },
        }));
    }

    /** Without --user, whoever owns the base directory owns what is below it. */
    async #ownerToBe(): Promise<Owner | undefined> {
        this.#owner ??= await unlessMissing(ownerToBe(this.#order.places.data));
        return this.#owner;
    }

    /** @throws Error when users of the data have put a link there, by which root would change something else */
    async #requireOwnWay(path: string): Promise<void> {
        for (const owner of [this.#owner, await unlessMissing(ownerToBe(this.#order.places.data))]) {
            await requireNoLinks(path, owner);
        }
    }

    async #write(path: string, text: string, mode?: number): Promise<void> {
        await this.#requireOwnWay(dirname(path));
        const owner = await this.#ownerToBe();
        await writeFileDurably(path, text, { owner, ...(mode === undefined ? {} : { mode }) });
    }

    #keyStep(): SetupStep {
        const { data } = this.#order.places;
        return {
            what: `key of this instance in ${this.#etc}`,
            isDone: async () => (await instanceKeys(data)).length > 0,
            run: async () => {
                const name = `imgapi-${hostname()}-${timeStamp(Date.now())}`;
                const { privateKey, publicKey, fingerprint } = makeKeyPair(name);
                const path = join(this.#etc, `${name}${KEY_ENDING}`);
                // The public half first: a key counts as made when its private half is there.
                await this.#write(`${path}.pub`, `${publicKey}\n`);
                await this.#write(path, `${privateKey.trimEnd()}\n`, PRIVATE_MODE);
                return `${name}, ${fingerprint}`;
            },
        };
    }

    /** Tells those outside the zone, where this is one: a step of its own, so that it is done if it failed once. */
    #publicKeySteps(): readonly SetupStep[] {
        const metadata = InstanceMetadata.of(this.#environment);
        const own = async (): Promise<string | undefined> => (await this.#withOwnKey({})).instPubKey;
        const step = (where: InstanceMetadata): SetupStep => ({
            what: 'instPubKey in the metadata of this zone',
            isDone: async () => {
                const key = await own();
                return key !== undefined && (await where.get('instPubKey')) === key;
            },
            run: async () => {
                const key = await own();
                return key === undefined ? 'the key has no public half here' : where.put('instPubKey', key);
            },
        });
        return metadata === undefined ? [] : [step(metadata)];
    }

    #certificateStep(): SetupStep {
        const path = join(this.#etc, 'cert.pem');
        return {
            what: `certificate ${path}`,
            isDone: () => Promise.resolve(existsSync(path)),
            run: async () => {
                const pem = makeCertificate(this.#order.hosts, Date.now());
                await this.#write(path, pem);
                return `self-signed for ${this.#order.hosts.join(', ')}, until ${certificateOf(pem).validTo}`;
            },
        };
    }

    #configStep(): SetupStep {
        const { places, vars, front } = this.#order;
        return {
            what: `configuration ${places.config}`,
            isDone: () => Promise.resolve(existsSync(places.config)),
            run: async () => {
                const own = await this.#withOwnKey(vars);
                const text = await makeSetupConfig(own, places, { behindProxy: front !== undefined });
                await ownedDirectory(dirname(places.config), await this.#ownerToBe());
                await this.#write(places.config, text);
                return undefined;
            },
        };
    }

    /** Metadata may still tell of the key of an instance before this one. */
    async #withOwnKey(vars: SetupVars): Promise<SetupVars> {
        const newest = (await instanceKeys(this.#order.places.data)).at(-1);
        const path = newest === undefined ? undefined : join(this.#etc, `${newest}.pub`);
        if (path === undefined || !existsSync(path)) {
            return vars;
        }
        await this.#requireOwnWay(path);
        return { ...vars, instPubKey: (await readFile(path, 'utf8')).trim() };
    }

    #frontSteps(front: 'haproxy' | 'hitch'): readonly SetupStep[] {
        const pem = join(this.#etc, 'cert.pem');
        const isBehindHitch = front === 'hitch';
        const sample = (name: string, make: () => string): SetupStep => {
            const path = join(this.#etc, name);
            return {
                what: `sample ${path}`,
                isDone: () => Promise.resolve(existsSync(path)),
                run: async () => {
                    await this.#requireOwnWay(dirname(path));
                    await writeFileDurably(path, make(), { mode: FRONT_MODE });
                    return undefined;
                },
            };
        };
        const haproxy = sample('haproxy.cfg', () =>
            haproxyConfig({
                pem,
                serverPorts: [loadConfig(this.#order.places.config).port],
                ...(isBehindHitch ? { httpsPort: null } : { proxyPort: null }),
            }),
        );
        return isBehindHitch ? [haproxy, sample('hitch.conf', () => hitchConfig({ pem }))] : [haproxy];
    }

    async #unitSteps(): Promise<readonly SetupStep[]> {
        const { places, unitDirectory, user } = this.#order;
        const current = currentUser();
        const manager = current.isRoot ? await findServiceManager(this.#environment) : undefined;
        const isSystemd = manager?.name === 'systemd';
        if (unitDirectory === undefined && !isSystemd) {
            return [];
        }
        const directory = unitDirectory ?? UNIT_DIRECTORY;
        const isPackaged = unitDirectory === undefined && arePackaged();
        const wanted = async (): Promise<ReadonlyMap<string, string>> => {
            const name = user ?? current.name;
            return wantedUnits({
                places,
                user: name,
                group: await groupOf(name, this.#environment),
                directory,
            });
        };
        const install: SetupStep = {
            what: `units of systemd in ${directory}`,
            isDone: async () => {
                // Not made yet in a dry run.
                const isThere = user === undefined || (await findUser(user, this.#environment)) !== undefined;
                return isThere && areInstalled(await wanted());
            },
            run: async () => {
                await makeDirectory(directory);
                await installUnits(await wanted());
                return undefined;
            },
        };
        const units = (): readonly string[] =>
            unitsToEnable(existsSync(places.config) ? loadConfig(places.config) : { port: 0 });
        const enable: SetupStep = {
            what: 'start with the machine: server, check and, if there is where to, backup',
            isDone: () => areEnabled(units(), this.#environment),
            run: async () => {
                await enableUnits(units(), this.#environment);
                return undefined;
            },
        };
        return [...(isPackaged ? [] : [install]), ...(isSystemd ? [enable] : [])];
    }
}

/** One that was there already may be of no use. @throws Error with all that is wrong */
function requireGood(config: string): void {
    const problems = checkConfig(config);
    if (problems.length > 0) {
        throw new Error(`${config}: ${problems.join('; ')}`);
    }
}

/** Sets a standalone server up. @returns the exit status. @throws Error of the first step that fails */
export async function setUp(order: SetupOrder, { terminal, environment }: Invocation): Promise<number> {
    const steps = await new Setup(order, environment).steps();
    await runSteps(steps, order.dryRun, (text) => terminal.line(text));
    if (!order.dryRun) {
        requireGood(order.places.config);
        const manager = await findServiceManager(environment);
        (await nextSteps(order, manager?.name)).forEach((line) => terminal.line(line));
    }
    return 0;
}
