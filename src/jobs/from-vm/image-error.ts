import { isObject } from '../../manifest/coerce.js';
import type { JsonObject } from '../../manifest/types.js';
import type { TaskEvent } from '../../remotes/compute-nodes.js';

/** Why an image could not be made, as its record keeps it (jobs-and-imports 1.7). */
export type ImageError = Readonly<Partial<Record<'message' | 'code' | 'stack', string>>>;

/** Longest message that is kept as it is, characters. */
const MAX_MESSAGE = 20_000;
/** What is kept of the front and of the back of a longer one. */
const KEPT_PART = 10_000;
/** When a compute node says nothing. */
const NO_MESSAGE = 'Unexpected error occured';

/** A compute node has failed to make an image, and said why. */
class NodeTaskError extends Error {
    readonly code: string | undefined;
    /** As the node has it; absent where it only has a message. */
    readonly facts: ImageError | undefined;

    constructor(message: string, facts?: ImageError) {
        super(message);
        this.name = 'Error';
        this.facts = facts;
        this.code = facts?.code;
    }
}

/** Front and back of a message that is too long. */
function elided(message: string): string {
    return message.length <= MAX_MESSAGE
        ? message
        : `${message.slice(0, KEPT_PART)}\n... content elided (full message was ${message.length} characters) ...\n` +
              message.slice(-KEPT_PART);
}

/** The error a text of JSON describes, as imgadm sends it; `undefined`: it is plain text. */
function structured(text: string): ImageError | undefined {
    if (!text.startsWith('{')) {
        return undefined;
    }
    try {
        const parsed: unknown = JSON.parse(text);
        return isObject(parsed) ? factsOf(parsed) : undefined;
    } catch {
        return undefined;
    }
}

function factsOf(value: Readonly<Record<string, unknown>>): ImageError {
    const known = (['message', 'code', 'stack'] as const).filter((key) => typeof value[key] === 'string');
    return Object.fromEntries(known.map((key) => [key, value[key] as string]));
}

/** What an `error` event says. */
function saidBy(event: Readonly<Record<string, unknown>>): string | ImageError | undefined {
    const { error, details } = event;
    if (typeof error === 'string') {
        const said = structured(error) ?? error;
        const more = isObject(details) && typeof details['error'] === 'string' ? [details['error']] : [];
        return withMore(said, ', ', more);
    }
    return isObject(error) && typeof error['message'] === 'string' ? error['message'] : undefined;
}

/** A message, or that of an error, with details behind it. */
function withMore(
    said: string | ImageError,
    separator: string,
    details: readonly string[],
): string | ImageError {
    if (details.length === 0) {
        return said;
    }
    const tail = `${separator}${details.join(', ')}`;
    return typeof said === 'string'
        ? `${said}${tail}`
        : { ...said, message: `${said.message ?? NO_MESSAGE}${tail}` };
}

/** The errors in the log of a `finish` event. */
function errorsLogged({ log }: Readonly<Record<string, unknown>>): readonly string[] {
    const entries: readonly unknown[] = Array.isArray(log) ? log : [];
    return entries
        .filter((entry) => isObject(entry) && entry['level'] === 'error')
        .map((entry) => {
            const { message } = entry as Readonly<Record<string, unknown>>;
            return typeof message === 'string' ? message : JSON.stringify(entry);
        });
}

/**
 * Why a task has failed, by its history (jobs-and-imports 1.7). An error that the node describes with a
 * code keeps it, whatever details follow.
 */
export function nodeTaskError(history: readonly TaskEvent[]): NodeTaskError {
    let said: string | ImageError = NO_MESSAGE;
    const details: string[] = [];
    for (const { name, event } of history) {
        if (name === 'error' && isObject(event)) {
            said = saidBy(event) ?? said;
        } else if (name === 'finish' && isObject(event)) {
            details.push(...errorsLogged(event));
        }
    }
    const all = withMore(said, ': ', details);
    return typeof all === 'string'
        ? new NodeTaskError(all)
        : new NodeTaskError(all.message ?? NO_MESSAGE, { ...all, message: all.message ?? NO_MESSAGE });
}

function codeOf({ code, restCode }: Readonly<Record<string, unknown>>): string | undefined {
    return [code, restCode].find((one) => typeof one === 'string');
}

/** What a failed step means for the image: facts where there are any, else name and message of the error. */
export function imageErrorOf(error: {
    readonly name: string;
    readonly message: string;
    readonly code?: string | undefined;
    readonly restCode?: string;
}): ImageError {
    if (error instanceof NodeTaskError && error.facts !== undefined) {
        return { ...error.facts, message: elided(error.message) };
    }
    const code = codeOf(error);
    return {
        message: elided(`${error.name}: ${error.message}`),
        ...(code === undefined ? {} : { code }),
    };
}

/** An error that was kept in JSON. */
export function savedImageError(value: JsonObject[string] | undefined): ImageError | undefined {
    return isObject(value) ? factsOf(value) : undefined;
}
