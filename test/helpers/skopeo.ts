import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

const RUN_LIMIT_MS = 60_000;
const MAX_OUTPUT = 10_000_000;

function isInstalled(): boolean {
    try {
        execFileSync('skopeo', ['--version'], { stdio: 'ignore', timeout: RUN_LIMIT_MS });
        return true;
    } catch {
        return false;
    }
}

/** Why there can be no skopeo here, or false. */
export const noSkopeo: string | false = isInstalled() ? false : 'skopeo is not installed';

/** How to copy; everything stays as it is unless another format is asked for. */
export interface CopyOptions {
    /** Everything an index leads to, rather than what is for this machine. */
    readonly all?: boolean;
    /** Manifests are written anew in this format. */
    readonly format?: 'oci' | 'v2s1' | 'v2s2';
    /** `user:password` where it is read, and where it is written. */
    readonly from?: string;
    readonly to?: string;
    readonly limitMs?: number;
}

/** Of what skopeo tells of an image, what tests look at. */
export interface InspectedImage {
    readonly Digest: string;
    readonly Layers: readonly string[];
    readonly Architecture: string;
    readonly Os: string;
}

async function skopeo(args: readonly string[], limitMs = RUN_LIMIT_MS): Promise<Buffer> {
    const { stdout } = await promisify(execFile)('skopeo', ['--insecure-policy', ...args], {
        encoding: 'buffer',
        timeout: limitMs,
        killSignal: 'SIGKILL',
        maxBuffer: MAX_OUTPUT,
    });
    return stdout;
}

/** As skopeo names an image of a registry. @param host with its port */
export function dockerName(host: string, repository: string, reference: string): string {
    return `docker://${host}/${repository}${reference.startsWith('sha256:') ? '@' : ':'}${reference}`;
}

/** Copies an image; throws with what skopeo says. */
export async function skopeoCopy(from: string, to: string, options: CopyOptions = {}): Promise<void> {
    const { all = false, format, limitMs } = options;
    await skopeo(
        [
            'copy',
            '--quiet',
            '--src-tls-verify=false',
            '--dest-tls-verify=false',
            ...(all ? ['--all'] : []),
            // Otherwise it packs layers that are not packed.
            ...(format === undefined ? ['--preserve-digests'] : ['--format', format]),
            ...(options.from === undefined ? [] : ['--src-creds', options.from]),
            ...(options.to === undefined ? [] : ['--dest-creds', options.to]),
            from,
            to,
        ],
        limitMs,
    );
}

const LINUX = ['--override-os', 'linux', '--override-arch', 'amd64'];

/** What skopeo tells of the image for linux and amd64. @param credentials `user:password` */
export async function skopeoInspect(name: string, credentials?: string): Promise<InspectedImage> {
    const creds = credentials === undefined ? [] : ['--creds', credentials];
    const text = await skopeo([...LINUX, 'inspect', '--tls-verify=false', '--no-tags', ...creds, name]);
    return JSON.parse(text.toString()) as InspectedImage;
}

/** The manifest as it is there, or the config. */
export async function skopeoRaw(
    name: string,
    what: 'manifest' | 'config' = 'manifest',
    credentials?: string,
): Promise<Buffer> {
    const creds = credentials === undefined ? [] : ['--creds', credentials];
    const kind = what === 'config' ? ['--config'] : [];
    return skopeo([...LINUX, 'inspect', '--tls-verify=false', '--raw', ...kind, ...creds, name]);
}
