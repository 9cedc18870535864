import { createHash } from 'node:crypto';
import { request } from 'node:http';
import type { Gate } from '../gate.js';

/** What CNAPI has a compute node do (jobs-and-imports 1.7). */
export interface ImagePayload {
    readonly jobid: string;
    readonly compression: string;
    readonly imgapi_url: string;
    readonly incremental?: boolean;
    readonly manifest: Readonly<Record<string, unknown>>;
    readonly prepare_image_script?: string;
    readonly max_origin_depth?: number;
}

/** How a compute node behaves. */
export interface NodePlan {
    /** The image it takes. */
    readonly file: Buffer;
    /** Goes wrong before anything is sent to IMGAPI, or when the record is there, or the file too. */
    readonly failsAt?: 'start' | 'file' | 'activate';
    /** What is reported of a failure. */
    readonly event?: { readonly error: unknown; readonly details?: { readonly error: string } };
    /** Hold it back before it sends the record, and before it sends the file. */
    readonly hold?: { readonly record?: Gate; readonly file?: Gate };
}

/** An answer of IMGAPI to a node. */
interface Answer {
    readonly status: number;
    readonly body: Readonly<Record<string, unknown>>;
}

const USER_AGENT = 'imgadm/3.8.0 (node/0.10.48; OpenSSL/1.0.1u)';
const ANSWER_LIMIT_MS = 20_000;

/** What the node inherits from the image an instance was made from (jobs-and-imports 1.8). */
const INHERITED = [
    'type',
    'os',
    'requirements',
    'users',
    'billing_tags',
    'traits',
    'generate_passwords',
    'inherited_directories',
    'nic_driver',
    'disk_driver',
    'cpu_type',
    'image_size',
];

/** Something went wrong on the node or with IMGAPI. */
export class NodeFailure extends Error {
    readonly event: NonNullable<NodePlan['event']>;

    constructor(event: NonNullable<NodePlan['event']>) {
        super('the node failed');
        this.event = event;
    }
}

function ask(
    base: string,
    method: string,
    path: string,
    body?: { readonly type: string; readonly bytes: Buffer },
): Promise<Answer> {
    return new Promise((resolve, reject) => {
        const sent = request(`${base}${path}`, {
            method,
            agent: false,
            headers: {
                'user-agent': USER_AGENT,
                ...(body && { 'content-type': body.type, 'content-length': body.bytes.length }),
            },
        });
        sent.setTimeout(ANSWER_LIMIT_MS, () => sent.destroy(new Error('no answer from IMGAPI')));
        sent.once('error', reject);
        sent.once('response', (response) => {
            const parts: Buffer[] = [];
            response.on('data', (part: Buffer) => parts.push(part));
            response.once('error', reject);
            response.once('end', () => {
                const text = Buffer.concat(parts).toString();
                resolve({
                    status: response.statusCode ?? 0,
                    body: (text === '' ? {} : JSON.parse(text)) as Answer['body'],
                });
            });
        });
        sent.end(body?.bytes);
    });
}

function json(value: unknown): { readonly type: string; readonly bytes: Buffer } {
    return { type: 'application/json', bytes: Buffer.from(JSON.stringify(value)) };
}

/** As imgadm reports what IMGAPI refused. */
async function accepted(answer: Promise<Answer>): Promise<Answer> {
    const { status, body } = await answer;
    if (status < 200 || status > 299) {
        throw new NodeFailure({ error: JSON.stringify({ code: body['code'], message: body['message'] }) });
    }
    return { status, body };
}

/** The manifest imgadm makes: what the job says, and for the rest the image the instance was made from. */
async function manifestFor({ imgapi_url, manifest, incremental }: ImagePayload, origin: string) {
    const { body } = await accepted(ask(imgapi_url, 'GET', `/images/${origin}`));
    const inherited = INHERITED.filter((key) => body[key] !== undefined && manifest[key] === undefined);
    return {
        v: 2,
        ...manifest,
        ...Object.fromEntries(inherited.map((key) => [key, body[key]])),
        ...(incremental === true ? { origin } : {}),
    };
}

/** Makes an image and gives it to IMGAPI, as imgadm on a compute node does. @throws NodeFailure */
export async function makeImage(payload: ImagePayload, origin: string, plan: NodePlan): Promise<void> {
    const { imgapi_url: url, compression } = payload;
    const uuid = String(payload.manifest['uuid']);
    const failure = new NodeFailure(plan.event ?? { error: 'the node failed' });
    if (plan.failsAt === 'start') throw failure;
    await plan.hold?.record?.pass();
    const sha1 = createHash('sha1').update(plan.file).digest('hex');
    const files = [{ size: plan.file.length, compression, sha1 }];
    const manifest = { ...(await manifestFor(payload, origin)), files };
    await accepted(ask(url, 'POST', `/images/${uuid}?action=import`, json(manifest)));
    try {
        if (plan.failsAt === 'file') throw failure;
        await plan.hold?.file?.pass();
        const bytes = { type: 'application/octet-stream', bytes: plan.file };
        const { body } = await accepted(
            ask(url, 'PUT', `/images/${uuid}/file?compression=${compression}&sha1=${sha1}`, bytes),
        );
        const [file] = body['files'] as readonly { sha1: string; size: number }[];
        if (file?.sha1 !== sha1 || file.size !== plan.file.length) throw failure;
        if (plan.failsAt === 'activate') throw failure;
        await accepted(ask(url, 'POST', `/images/${uuid}?action=activate`));
    } catch (error) {
        await accepted(ask(url, 'DELETE', `/images/${uuid}`));
        throw error;
    }
}
