import { isStoredFileName } from '../../storage/file-names.js';
import type { StoredFileName } from '../../storage/storage.js';
import type { FileArea, ImagePlace } from './file-area.js';
import type { FileDigests, FileFinding, FindingKind, FoundFile } from './finding.js';
import type { ExpectedFile, ImageFacts, KnownImage } from './image-facts.js';

/**
 * Which bytes are read, beside those that a finding cannot be told without: of files that have a second
 * copy in another storage, or of all.
 */
export type ReadDepth = 'needed' | 'copies' | 'all';

/** What a survey of one image needs. */
export interface ImageSurveyOptions {
    readonly areas: readonly FileArea[];
    readonly depth: ReadDepth;
    readonly signal: AbortSignal;
    /** Digests of files that have been read, by path and identity; shared by surveys of one image. */
    readonly digests?: Map<string, Promise<FileDigests | undefined>>;
}

/** A file of the image somewhere, under its final name, a temporary one, or neither. */
interface Sighting {
    readonly place: ImagePlace;
    readonly found: FoundFile;
    /** The file it is or was to become. */
    readonly file: StoredFileName | undefined;
    readonly isTemporary: boolean;
}

/** What is to be said of the file a record names, where it names it. */
type Condition = 'good' | 'manifest' | 'corrupt' | 'missing' | 'unknown';

/** Findings that are good copies of a file that is not in its place. */
const CURES: ReadonlySet<FindingKind> = new Set<FindingKind>(['recoverable', 'misplaced', 'legacy']);

interface Judged {
    readonly expected: ExpectedFile;
    readonly condition: Condition;
    readonly seen?: Sighting;
    readonly digests?: FileDigests;
}

/** Temporary names: a final name, a dot, anything; the existing server appends its request's id. */
function temporaryOf(name: string): StoredFileName | undefined {
    const dot = name.indexOf('.');
    const final = name.slice(0, Math.max(0, dot));
    return isStoredFileName(final) && dot < name.length - 1 ? final : undefined;
}

function sightingsIn(place: ImagePlace): readonly Sighting[] {
    return place.entries.map((found) => {
        const isFile = found.type === 'file' || found.isLinked === true;
        const final = isFile && isStoredFileName(found.name) ? found.name : undefined;
        const temporary = isFile ? temporaryOf(found.name) : undefined;
        return { place, found, file: final ?? temporary, isTemporary: final === undefined };
    });
}

/** Looks at all that storages have for one image, and compares it with its record (operations 2.4). */
class ImageSurvey {
    readonly #uuid: string;
    readonly #image: KnownImage;
    readonly #options: ImageSurveyOptions;
    readonly #areas: ReadonlyMap<string, FileArea>;
    readonly #digests: Map<string, Promise<FileDigests | undefined>>;
    #places: readonly ImagePlace[] = [];
    /** Paths that cannot be used by the server, so perhaps not by this process either. */
    readonly #blocked = new Set<string>();
    #sightings: readonly Sighting[] = [];
    readonly #findings: FileFinding[] = [];

    constructor(uuid: string, image: KnownImage, options: ImageSurveyOptions) {
        this.#uuid = uuid;
        this.#image = image;
        this.#options = options;
        this.#areas = new Map(options.areas.map((area) => [area.stor, area]));
        this.#digests = options.digests ?? new Map<string, Promise<FileDigests | undefined>>();
    }

    async run(): Promise<readonly FileFinding[]> {
        const listed = await Promise.all(this.#options.areas.map((area) => area.places(this.#uuid)));
        this.#places = listed.flat();
        this.#sightings = this.#places.flatMap(sightingsIn);
        this.#judgePlaces();
        if (this.#image === 'absent') {
            this.#judgeOrphan();
        } else if (this.#image !== 'unknown') {
            await this.#judgeImage(this.#image);
        }
        return this.#findings;
    }

    #judgePlaces(): void {
        for (const place of this.#places) {
            if (place.entries.length === 0 && place.isListed && place.directory.isLinked !== true) {
                this.#add('empty', place.directory, 'empty directory of an image');
            }
            for (const { found, detail, commands } of this.#areas.get(place.stor)?.problems(place) ?? []) {
                this.#blocked.add(found.path);
                this.#add('permission', found, detail, { commands });
            }
        }
    }

    #judgeOrphan(): void {
        for (const { found, file } of this.#sightings) {
            if (found.isLinked === true) {
                this.#add('foreign', found, 'a link, or behind one; the image has no manifest');
                continue;
            }
            this.#add('orphan', found, 'the image has no manifest', file === undefined ? {} : { file });
        }
    }

    async #judgeImage(image: ImageFacts): Promise<void> {
        const judged = new Map<StoredFileName, Judged>();
        for (const expected of image.files) {
            judged.set(expected.name, await this.#judgeExpected(expected));
        }
        for (const sighting of this.#sightings) {
            await this.#judgeSighting(image, sighting, judged);
        }
        for (const one of judged.values()) {
            this.#conclude(one);
        }
    }

    /** The file a record names, in the storage it names. */
    async #judgeExpected(expected: ExpectedFile): Promise<Judged> {
        const isHidden = this.#places.some(({ stor, isListed }) => stor === expected.stor && !isListed);
        if (!this.#areas.has(expected.stor) || isHidden) {
            return { expected, condition: 'unknown' };
        }
        const named = this.#sightings.filter(
            ({ place, file, isTemporary }) =>
                place.stor === expected.stor && file === expected.name && !isTemporary,
        );
        // Very old places are looked into by the server, but only on this machine's disks.
        const seen = named.find(
            ({ place }) => place.layout === 'current' || (place.stor === 'local' && named.length === 1),
        );
        const link =
            seen?.found ??
            this.#places.find(({ stor, directory }) => stor === expected.stor && directory.type === 'other')
                ?.directory;
        if (link?.isLinked === true && link.type !== 'file') {
            this.#addBrokenLink(expected, link);
            return { expected, condition: 'unknown', ...(seen === undefined ? {} : { seen }) };
        }
        if (seen === undefined) {
            return { expected, condition: 'missing' };
        }
        if (this.#blocked.has(seen.found.path)) {
            return { expected, condition: 'unknown' };
        }
        return { expected, seen, ...(await this.#condition(expected, seen)) };
    }

    /** Its disk may be away: nothing of it is judged. */
    #addBrokenLink({ name }: ExpectedFile, link: FoundFile): void {
        const detail = `${name} is behind a link that leads to no file now`;
        this.#add('missing', link, detail, { file: name, isLinked: true });
    }

    async #condition(
        expected: ExpectedFile,
        { found }: Sighting,
    ): Promise<{ readonly condition: Condition; readonly digests?: FileDigests }> {
        const isSized = found.size === expected.size;
        if (isSized && !this.#isReadWanted(expected)) {
            return { condition: 'good' };
        }
        if (isSized && expected.contentMD5 !== undefined) {
            const told = await this.#areas.get(found.stor)?.toldMd5(found);
            if (told === expected.contentMD5) {
                return { condition: 'good' };
            }
        }
        const digests = await this.#read(found);
        if (digests?.sha1 !== expected.sha1) {
            return { condition: 'corrupt', ...(digests === undefined ? {} : { digests }) };
        }
        const isDescribed =
            digests.size === expected.size &&
            digests.md5 === expected.contentMD5 &&
            !Number.isNaN(Date.parse(expected.mtime ?? ''));
        return { condition: isDescribed ? 'good' : 'manifest', digests };
    }

    /** Whether the size of a file is not enough to tell what is to become of others. */
    #isReadWanted({ name, size, stor }: ExpectedFile): boolean {
        const { depth } = this.#options;
        const others = this.#sightings.filter(({ file }) => file === name);
        return (
            depth === 'all' ||
            others.some(({ isTemporary, found }) => isTemporary && found.size === size) ||
            (depth === 'copies' &&
                others.some(({ isTemporary, place }) => !isTemporary && place.stor !== stor))
        );
    }

    async #judgeSighting(
        { isActivated }: ImageFacts,
        sighting: Sighting,
        judged: ReadonlyMap<StoredFileName, Judged>,
    ): Promise<void> {
        const { found, file, isTemporary } = sighting;
        if (this.#blocked.has(found.path)) {
            return;
        }
        if (file === undefined) {
            this.#add('foreign', found, 'no name that a server gives');
            return;
        }
        const named = judged.get(file);
        if (found.isLinked === true) {
            await this.#judgeLink(sighting, named);
        } else if (named === undefined && isTemporary) {
            const image = isActivated ? 'the image' : 'the unactivated image';
            this.#add('abandoned', found, `the manifest of ${image} names no ${file}`, { file });
        } else if (named === undefined) {
            this.#add('orphan-file', found, `the manifest names no ${file}`, { file });
        } else if (named.condition !== 'unknown' && named.seen !== sighting) {
            await this.#judgeCopy(sighting, named);
        } else if (named.seen === sighting && sighting.place.layout === 'old') {
            this.#add('legacy', found, 'in the layout of very old servers', this.#towards(named, sighting));
        }
    }

    /** Whoever made a link knows what it is for: none is moved, but a record can name the file behind it. */
    async #judgeLink(sighting: Sighting, named: Judged | undefined): Promise<void> {
        const { found, place, isTemporary } = sighting;
        if (named === undefined) {
            this.#add('foreign', found, 'a link, or behind one, that the manifest does not name');
        } else if (named.seen === sighting || named.condition === 'unknown') {
            return;
        } else if (
            (named.condition === 'missing' || named.condition === 'corrupt') &&
            place.stor !== named.expected.stor &&
            place.layout === 'current' &&
            !isTemporary &&
            found.type === 'file'
        ) {
            await this.#judgeCopy(sighting, named);
        } else {
            this.#add('foreign', found, `a link, or behind one, beside ${named.expected.name}`);
        }
    }

    /** A file that is not the one the server reads. */
    async #judgeCopy(sighting: Sighting, named: Judged): Promise<void> {
        const { found, place, isTemporary } = sighting;
        const { expected, condition } = named;
        const isLinked = found.isLinked === true ? { isLinked: true as const } : {};
        const facts = { file: expected.name, expected, ...isLinked };
        const isElsewhere = place.stor !== expected.stor;
        if (condition === 'good' || condition === 'manifest') {
            const kind = isElsewhere && !isTemporary ? 'duplicate' : 'leftover';
            this.#add(kind, found, `${expected.name} is in its place in storage ${expected.stor}`, facts);
        } else if (!(await this.#isExpected(found, expected))) {
            // Not for gc: if it is the manifest that is wrong, this may be all there is.
            const detail = `not the ${expected.name} that the manifest names, which is ${condition}`;
            this.#add('corrupt', found, detail, facts);
        } else if (isTemporary) {
            const detail = `the good copy of ${expected.name}, which is ${condition}`;
            this.#add('recoverable', found, detail, this.#towards(named, sighting));
        } else if (isElsewhere) {
            this.#add('misplaced', found, `the manifest says it is in storage ${expected.stor}`, facts);
        } else {
            this.#add('legacy', found, 'in the layout of very old servers', this.#towards(named, sighting));
        }
    }

    /** Where a copy belongs in its own storage. */
    #towards({ expected }: Judged, { place }: Sighting): Pick<FileFinding, 'file' | 'expected' | 'target'> {
        const area = this.#areas.get(place.stor);
        const target = area?.pathOf(this.#uuid, expected.name);
        return { file: expected.name, expected, ...(target === undefined ? {} : { target }) };
    }

    /** What remains to be said of a file that the record names. */
    #conclude({ expected, condition, seen, digests }: Judged): void {
        const { name, stor } = expected;
        const area = this.#areas.get(stor);
        if (area === undefined || condition === 'good' || condition === 'unknown') {
            return;
        }
        const isLinked = this.#sightings.some(({ file, found }) => file === name && found.isLinked === true);
        const facts = {
            file: name,
            expected,
            ...(digests === undefined ? {} : { digests }),
            ...(isLinked ? { isLinked } : {}),
        };
        if (condition === 'missing' && !this.#isCured(name, seen)) {
            const path = area.pathOf(this.#uuid, name);
            this.#findings.push({
                kind: 'missing',
                stor: area.stor,
                path,
                detail: `${name} is not in storage ${stor}, and nowhere else`,
                uuid: this.#uuid,
                ...facts,
            });
        } else if (seen !== undefined && condition === 'manifest') {
            this.#add('manifest', seen.found, this.#descriptionOf(expected, digests), facts);
        } else if (seen !== undefined && condition === 'corrupt' && !this.#isCured(name, seen)) {
            const is = digests === undefined ? 'gone' : `${digests.size} bytes, sha1 ${digests.sha1}`;
            const detail = `is ${is}; the manifest says ${expected.size} bytes, sha1 ${expected.sha1}`;
            this.#add('corrupt', seen.found, detail, facts);
        }
    }

    /** Whether a good copy can take the place of the one that is seen, or of none. */
    #isCured(name: StoredFileName, seen: Sighting | undefined): boolean {
        return this.#findings.some(
            ({ kind, file, found }) => CURES.has(kind) && file === name && found !== seen?.found,
        );
    }

    #descriptionOf({ size, contentMD5, mtime }: ExpectedFile, digests: FileDigests | undefined): string {
        const wrong = [
            ...(digests?.size === size ? [] : ['size']),
            ...(digests?.md5 === contentMD5 ? [] : ['contentMD5']),
            ...(Number.isNaN(Date.parse(mtime ?? '')) ? ['mtime'] : []),
        ];
        return `the sha1 is right, but the manifest has no right ${wrong.join(', ')}`;
    }

    async #isExpected(found: FoundFile, { size, sha1 }: ExpectedFile): Promise<boolean> {
        return found.size === size && (await this.#read(found))?.sha1 === sha1;
    }

    #read(found: FoundFile): Promise<FileDigests | undefined> {
        const key = `${found.path}\0${found.identity}`;
        const area = this.#areas.get(found.stor);
        let read = this.#digests.get(key);
        if (read === undefined && area !== undefined) {
            read = area.digests(found, this.#options.signal);
            this.#digests.set(key, read);
        }
        return read ?? Promise.resolve(undefined);
    }

    #add(
        kind: FindingKind,
        found: FoundFile,
        detail: string,
        facts: Pick<FileFinding, 'file' | 'expected' | 'target' | 'digests' | 'commands' | 'isLinked'> = {},
    ): void {
        const { stor, path } = found;
        this.#findings.push({ kind, stor, path, detail, uuid: this.#uuid, found, ...facts });
    }
}

/**
 * What is wrong with the files of one image, in every storage there is.
 *
 * @param image what its record says; `unknown`: nothing but emptiness and permissions is judged
 * @throws the error of a storage that cannot be listed or read
 */
export async function surveyImage(
    uuid: string,
    image: KnownImage,
    options: ImageSurveyOptions,
): Promise<readonly FileFinding[]> {
    return new ImageSurvey(uuid, image, options).run();
}
