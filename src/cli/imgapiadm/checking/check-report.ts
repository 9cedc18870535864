import { bytesText, countText, durationText } from '../../../base/quantities.js';
import type { Terminal } from '../terminal.js';
import type { Cures } from './check-source.js';
import { indexOf, type CheckedImage } from './checked-image.js';
import type { FamilyMember } from './family.js';
import type { FileResult } from './file-checker.js';

/** Where this kind of damage is described. */
const SEE = 'https://smartos.org/bugview/IMGAPI-515';

/** The states of a file that is not good. */
type BadState = 'file missing' | 'file corruption' | 'file misplaced';

/** A file that is not good. */
interface BadFileFacts {
    readonly state: BadState;
    readonly stor: string;
    readonly path: string;
    /** Of an icon: `icon`. */
    readonly index: number | 'icon';
    readonly reason: string;
}

/** An image whose files have been checked. */
export interface ImageResult {
    readonly image: CheckedImage;
    readonly files: readonly FileResult[];
    /** Only of an image with a file that is not good. */
    readonly cures?: Cures;
    /** The image, and what is based on it, by generation; only of an image with a file that is not good. */
    readonly generations?: readonly (readonly FamilyMember[])[];
}

/** What an image as a whole is. */
type ImageState = 'good' | 'bad' | 'skipped' | 'failed';

/** How a run ended. */
export interface CheckEnding {
    readonly elapsedMs: number;
    readonly interrupted: boolean;
    /** Images whose records cannot be read. */
    readonly unreadable: number;
}

function label({ uuid, name, version }: FamilyMember): string {
    return `${uuid} (${name}@${version})`;
}

function isBad({ state }: FileResult): boolean {
    return state === 'bad' || state === 'missing';
}

function badFactsOf({ file, state, path, reason = '' }: FileResult, cures: Cures | undefined): BadFileFacts {
    const elsewhere = cures?.misplaced.get(file.name);
    const where = { stor: file.stor, path, index: indexOf(file) };
    if (elsewhere !== undefined && state === 'missing') {
        return { ...where, state: 'file misplaced', reason: `${reason}; it is good in ${elsewhere}` };
    }
    return { ...where, state: state === 'missing' ? 'file missing' : 'file corruption', reason };
}

/** The lines that say what to do. */
function fixLines(result: ImageResult, adminTool: string): readonly string[] {
    const { image, files, cures, generations = [] } = result;
    const repair =
        cures?.repairable === true
            ? [`imgapiadm repair ${image.uuid}`]
            : image.source === undefined
              ? []
              : [`imgapiadm repair ${image.uuid} --source ${image.source}`];
    const first = [...(cures?.commands ?? []), ...repair];
    const or = first.length === 0 ? 'Delete' : 'Or delete';
    if (files.filter(isBad).every(({ file }) => file.name === 'icon')) {
        return [...first, `# ${or} the icon, and add it again`, `${adminTool} delete-icon ${image.uuid}`];
    }
    const youngestFirst = generations.toReversed().flat();
    return [
        ...first,
        `# ${or} image and its offspring for re-import`,
        ...youngestFirst.map(({ uuid }) => `${adminTool} delete ${uuid}`),
    ];
}

function impactLines({ files, generations = [] }: ImageResult): readonly string[] {
    // Nothing is provisioned with an icon.
    const isOnlyIcon = files.filter(isBad).every(({ file }) => file.name === 'icon');
    return (isOnlyIcon ? [] : (generations.at(-1) ?? [])).map(
        (member) => `Provisioning with head image ${label(member)} will fail`,
    );
}

/** Tells what is wrong with images, and counts (operations 2.1, 2.3). */
export class CheckReport {
    readonly #terminal: Terminal;
    readonly #json: boolean;
    readonly #adminTool: string;
    readonly #counts: Record<ImageState, number> = { good: 0, bad: 0, skipped: 0, failed: 0 };
    /** Complaints that were made. */
    readonly #noted = new Set<string>();
    #files = 0;
    #cached = 0;
    #gone = 0;
    /** Bytes that were read. */
    bytes = 0;

    constructor(options: {
        readonly terminal: Terminal;
        readonly json: boolean;
        readonly adminTool: string;
    }) {
        this.#terminal = options.terminal;
        this.#json = options.json;
        this.#adminTool = options.adminTool;
    }

    /** Images that were checked so far. */
    get images(): number {
        return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
    }

    get bad(): number {
        return this.#counts.bad;
    }

    get failed(): number {
        return this.#counts.failed;
    }

    add(result: ImageResult): void {
        const { image, files } = result;
        const has = (state: FileResult['state']): boolean => files.some((file) => file.state === state);
        const state: ImageState = files.some(isBad)
            ? 'bad'
            : has('failed')
              ? 'failed'
              : has('untested')
                ? 'skipped'
                : 'good';
        this.#counts[state] += 1;
        this.#files += files.length;
        this.#cached += files.filter(({ isCached }) => isCached === true).length;
        this.#gone += files.filter((file) => file.state === 'gone').length;
        this.#terminal.trace(`${label(image)}: ${state}`);
        this.#complain(result);
        if (this.#json && state !== 'good') {
            this.#terminal.line(JSON.stringify(this.#document(result, state)));
        } else if (state === 'bad') {
            this.#block(result);
        }
    }

    /** The last line. */
    summarize({ elapsedMs, interrupted, unreadable }: CheckEnding): void {
        const { good, bad, skipped, failed } = this.#counts;
        if (this.#json) {
            const summary = {
                complete: !interrupted,
                interrupted,
                images: this.images,
                files: this.#files,
                bytes: this.bytes,
                elapsedMs: Math.round(elapsedMs),
                good,
                bad,
                skipped,
                failed,
                cachedFiles: this.#cached,
                goneFiles: this.#gone,
                unreadableRecords: unreadable,
            };
            this.#terminal.line(JSON.stringify({ summary }));
            return;
        }
        const others = [
            `${good} good`,
            `${bad} bad`,
            ...(skipped === 0 ? [] : [`${skipped} with archives that were not tested`]),
            ...(failed === 0 ? [] : [`${failed} that could not be checked`]),
            ...(this.#cached === 0 ? [] : [`${countText(this.#cached, 'file')} known to be good`]),
            ...(unreadable === 0 ? [] : [`${countText(unreadable, 'record')} unreadable`]),
        ];
        const what = `${countText(this.#files, 'file')} of ${countText(this.images, 'image')}`;
        const how = `(${bytesText(this.bytes)} read) in ${durationText(elapsedMs)}`;
        this.#gap();
        this.#terminal.line(
            `checked ${what} ${how}: ${others.join(', ')}${interrupted ? '; interrupted' : ''}`,
        );
    }

    /** What is neither good nor bad goes to the operator, the same thing once. */
    #complain({ image, files }: ImageResult): void {
        for (const { file, state, reason = '', path } of files) {
            const what = state === 'failed' ? 'not checked' : 'archives not tested';
            const isOfOne = state === 'failed' && !reason.startsWith('storage "');
            const where = isOfOne ? `${label(image)}: ${path}` : `files in ${file.stor}`;
            const text = `${where}: ${what}: ${reason}`;
            if ((state === 'failed' || state === 'untested') && !this.#noted.has(text)) {
                this.#noted.add(text);
                this.#terminal.note(text);
            }
        }
    }

    #document(result: ImageResult, state: ImageState): Readonly<Record<string, unknown>> {
        const { image, files, cures } = result;
        const bad = state === 'bad';
        const shown = files.filter((file) => file.state !== 'good' && file.state !== 'gone');
        return {
            uuid: image.uuid,
            name: image.name,
            version: image.version,
            imageState: image.state,
            result: state,
            files: shown.map((one) => ({
                ...badFactsOf(one, cures),
                ...(isBad(one) ? {} : { state: one.state === 'failed' ? 'not checked' : 'not tested' }),
            })),
            ...(bad ? { see: SEE, fix: fixLines(result, this.#adminTool), impact: impactLines(result) } : {}),
        };
    }

    /** The block of the existing server's tool, with the place and one block of these for each file. */
    #block(result: ImageResult): void {
        const facts = result.files.filter(isBad).map((file) => badFactsOf(file, result.cures));
        this.#gap();
        const lines = [
            ` Image: ${label(result.image)}`,
            ...facts.flatMap(({ state, stor, path, index, reason }) => [
                ` State: ${state}`,
                ` Where: ${stor}, ${path}, ${index === 'icon' ? index : `file ${index}`}`,
                `Reason: ${reason}`,
            ]),
            `   See: ${SEE}`,
            ...fixLines(result, this.#adminTool).map((line) => `   Fix: ${line}`),
            ...impactLines(result).map((line) => `Impact: ${line}`),
        ];
        for (const line of lines) {
            this.#terminal.line(line);
        }
    }

    /** One blank line before each block but the first. */
    #gap(): void {
        if (this.#hasBlocks) {
            this.#terminal.line('');
        }
        this.#hasBlocks = true;
    }

    #hasBlocks = false;
}
