import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';
import type { ComputeNode, NodeTask, TaskEvent } from '../compute-nodes.js';

type Fields = Readonly<Record<string, unknown>>;

function malformed(what: string): OutgoingError {
    return new OutgoingError('malformed', `CNAPI: ${what}`);
}

function fieldsOf(body: unknown, what: string): Fields {
    if (!isObject(body)) {
        throw malformed(`${what} is no object`);
    }
    return body;
}

/** A compute node. @throws OutgoingError `malformed` */
export function nodeOf(body: unknown): ComputeNode {
    const { sysinfo, current_platform: platform } = fieldsOf(body, 'a server');
    const sdcVersion = isObject(sysinfo) ? sysinfo['SDC Version'] : undefined;
    return {
        ...(typeof sdcVersion === 'string' ? { sdcVersion } : {}),
        ...(typeof platform === 'string' ? { platform } : {}),
    };
}

/** The id of the task that was made. @throws OutgoingError `malformed` */
export function taskIdOf(body: unknown): string {
    const { id } = fieldsOf(body, 'a task');
    if (typeof id !== 'string' || id === '') {
        throw malformed('a task without an id');
    }
    return id;
}

function eventOf(entry: unknown): TaskEvent {
    const { name, event } = isObject(entry) ? entry : {};
    return { name: typeof name === 'string' ? name : '', event };
}

/** A task and what has happened. @throws OutgoingError `malformed` */
export function taskOf(body: unknown): NodeTask {
    const { status, history } = fieldsOf(body, 'a task');
    if (typeof status !== 'string') {
        throw malformed('a task without a status');
    }
    const entries: readonly unknown[] = Array.isArray(history) ? history : [];
    return { status, history: entries.map(eventOf) };
}
