import { isObject } from '../../../manifest/coerce.js';
import { programIn } from '../../places.js';
import { runProgram } from '../../run-program.js';

/** For one answer of a service, milliseconds. */
const CALL_LIMIT_MS = 120_000;
/** For bringing an image here, milliseconds. */
const IMPORT_LIMIT_MS = 3_600_000;

/** A JSON object of a service. */
export type Fields = Readonly<Record<string, unknown>>;

/** Services of a datacenter that a headnode has programs for. */
export type Service = 'vmapi' | 'imgapi' | 'papi' | 'napi';

/** The status line of an answer, in front of its headers. */
const STATUS_RE = /^HTTP\/\S+ (\d{3})/;

/** The last answer in what a program prints: those before it only say that one comes. */
function lastAnswer(text: string): { readonly status: number; readonly body: string } {
    let rest = text.replaceAll('\r\n', '\n').trim();
    let status = 0;
    for (let found = STATUS_RE.exec(rest); found !== null; found = STATUS_RE.exec(rest)) {
        status = Number(found[1]);
        const end = rest.indexOf('\n\n');
        rest = end === -1 ? '' : rest.slice(end + 2).trimStart();
    }
    return { status, body: rest };
}

function parsed(text: string): unknown {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

/** An answer of a service. */
interface ServiceAnswer {
    readonly status: number;
    /** `undefined`: no JSON. */
    readonly body: unknown;
}

/** The object of a good answer. @throws Error in the words of the service */
function objectOf({ status, body }: ServiceAnswer, asked: string): Fields {
    if (status >= 200 && status <= 299 && isObject(body)) {
        return body;
    }
    const { message, code } = isObject(body) ? body : {};
    const words = typeof message === 'string' ? message : `status ${status}`;
    throw new Error(`${asked}: ${words}${typeof code === 'string' ? ` (${code})` : ''}`);
}

/** @throws Error in the words of the service */
function notAList(answer: ServiceAnswer, asked: string): never {
    objectOf(answer, asked);
    throw new Error(`${asked}: no list`);
}

/** The programs of a headnode: `sdc-vmapi` and its like, which know where their services are. */
export class HeadnodeTools {
    readonly #environment: NodeJS.ProcessEnv;

    constructor(environment: NodeJS.ProcessEnv) {
        this.#environment = environment;
    }

    /** What a service has at a path; `undefined`: nothing. @throws Error when it refuses or cannot be asked */
    async find(service: Service, path: string): Promise<Fields | undefined> {
        const answer = await this.#call(service, path, {}, []);
        return answer.status === 404 ? undefined : objectOf(answer, `${service} ${path}`);
    }

    /** The entries of a list. @throws as {@link find} */
    async list(
        service: Service,
        path: string,
        query: Readonly<Record<string, string>>,
    ): Promise<readonly Fields[]> {
        const answer = await this.#call(service, path, query, []);
        return answer.status === 200 && Array.isArray(answer.body)
            ? answer.body.filter(isObject)
            : notAList(answer, `${service} ${path}`);
    }

    /** Has a service do something. @throws as {@link find} */
    async post(
        service: Service,
        path: string,
        query: Readonly<Record<string, string>>,
        body: unknown,
    ): Promise<Fields> {
        const sent = ['-X', 'POST', '-d', JSON.stringify(body)];
        return objectOf(await this.#call(service, path, query, sent), `${service} ${path}`);
    }

    /** Runs a program that prints JSON. @throws Error when it fails, or prints something else */
    async json(program: string, args: readonly string[]): Promise<unknown> {
        const value = parsed(await this.run(program, args));
        if (value === undefined) {
            throw new Error(`${program} ${args.join(' ')}: it prints no JSON`);
        }
        return value;
    }

    /** Runs a program to its end. @returns what it prints. @throws Error when it fails */
    async run(program: string, args: readonly string[], timeoutMs = IMPORT_LIMIT_MS): Promise<string> {
        if (programIn(this.#environment, program) === undefined) {
            throw new Error(`${program} is not in PATH: run this in the global zone of the headnode`);
        }
        const options = { timeoutMs, environment: this.#environment };
        const { status, stdout, stderr } = await runProgram(program, args, options);
        if (status !== 0) {
            const reason = stderr.trim() || (status === null ? 'it took too long' : `exit status ${status}`);
            throw new Error(`${program} ${args.join(' ')}: ${reason}`);
        }
        return stdout;
    }

    async #call(
        service: Service,
        path: string,
        query: Readonly<Record<string, string>>,
        args: readonly string[],
    ): Promise<ServiceAnswer> {
        const search = new URLSearchParams(query).toString();
        const target = search === '' ? path : `${path}?${search}`;
        const { status, body } = lastAnswer(
            await this.run(`sdc-${service}`, [target, ...args], CALL_LIMIT_MS),
        );
        return { status, body: parsed(body) };
    }
}

/** A text of an object. @throws Error when it has none */
export function textOf(fields: Fields, key: string, what: string): string {
    const value = fields[key];
    if (typeof value !== 'string' || value === '') {
        throw new Error(`${what} has no ${key}`);
    }
    return value;
}
