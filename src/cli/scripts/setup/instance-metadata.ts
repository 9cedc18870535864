import { programIn } from '../../places.js';
import { runProgram, type ProgramResult } from '../../run-program.js';

const LIMIT_MS = 30_000;

/** The metadata of the zone this is, by its programs (operations 3.2). */
export class InstanceMetadata {
    readonly #programs: { readonly get: string; readonly put: string };
    readonly #environment: NodeJS.ProcessEnv;

    private constructor(
        programs: { readonly get: string; readonly put: string },
        environment: NodeJS.ProcessEnv,
    ) {
        this.#programs = programs;
        this.#environment = environment;
    }

    /** `undefined`: this is no zone. */
    static of(environment: NodeJS.ProcessEnv): InstanceMetadata | undefined {
        const [get, put] = [programIn(environment, 'mdata-get'), programIn(environment, 'mdata-put')];
        return get === undefined || put === undefined
            ? undefined
            : new InstanceMetadata({ get, put }, environment);
    }

    /** A value without white space around it; `undefined`: it is not there, or cannot be read. */
    async get(name: string): Promise<string | undefined> {
        const { status, stdout } = await this.#run(this.#programs.get, [name]);
        return status === 0 ? stdout.trim() : undefined;
    }

    /** @throws Error when it is refused */
    async put(name: string, value: string): Promise<undefined> {
        const { status, stderr } = await this.#run(this.#programs.put, [name, value]);
        if (status !== 0) {
            throw new Error(`mdata-put ${name} failed: ${stderr.trim()}`);
        }
        return undefined;
    }

    #run(program: string, args: readonly string[]): Promise<ProgramResult> {
        return runProgram(program, args, { timeoutMs: LIMIT_MS, environment: this.#environment });
    }
}
