import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { uuidPrefix } from '../../../base/directories.js';
import { ApiError, systemErrorCode } from '../../../base/errors.js';
import type { StorageType } from '../../../base/constants.js';
import { shortReason } from '../../../base/short-reason.js';
import type { FindingKind } from '../../../maintenance/files/finding.js';
import { currentFacts } from '../../../maintenance/files/image-facts.js';
import { surveyImage } from '../../../maintenance/files/image-survey.js';
import { meansAbsent } from '../../../maintenance/record-exists.js';
import type { Invocation } from '../command.js';
import { openFiles, type OpenFiles } from '../files/open-files.js';
import type { ServerData } from '../offline/server-data.js';
import { imageOfRecord, type CheckedFile, type CheckedImage } from './checked-image.js';
import { BadFile } from '../bad-file.js';
import type { CheckSource } from './check-source.js';

/** What the system says of a file that cannot be read by anybody. */
const BROKEN = new Set(['EIO', 'ELOOP', 'EBADMSG', 'EUCLEAN', 'ENXIO', 'EINVAL', 'ENAMETOOLONG']);
/** What it says of one that the user of this process may not read. */
const REFUSED = new Set(['EACCES', 'EPERM']);
/** How the object store's client begins when the bytes of an object are not those that were stored. */
const WRONG_BYTES = /^Content-MD5 is /;
/** What `repair` makes good without another server. */
const REPAIRABLE: ReadonlySet<FindingKind> = new Set<FindingKind>(['recoverable', 'misplaced', 'manifest']);

/** Whether this process is the user whose files these are, so that what it may not read the server may not either. */
async function isServersUser(base: string): Promise<boolean> {
    return (await stat(base)).uid === process.getuid?.();
}

function explainer(isServer: boolean): CheckSource['explain'] {
    return (error) => {
        const code = systemErrorCode(error);
        const isOfFile = code !== undefined && (BROKEN.has(code) || (isServer && REFUSED.has(code)));
        const isOfObject = error instanceof ApiError && WRONG_BYTES.test(error.message);
        return isOfFile || isOfObject ? new BadFile(shortReason(error), { cause: error }) : error;
    };
}

function pathFinder({ images, directories, config }: ServerData): CheckSource['pathOf'] {
    return (uuid, { name, stor }: CheckedFile) => {
        const below = join(uuidPrefix(uuid), uuid, name);
        if (stor !== 'manta') {
            return join(directories.images, below);
        }
        return images.exports?.pathOf(uuid, name) ?? `${config.manta?.rootDir ?? ''}/images/${below}`;
    };
}

async function* imagesOf({ records }: OpenFiles): AsyncIterable<CheckedImage> {
    for await (const { raw } of records.all()) {
        yield imageOfRecord(raw);
    }
}

/** Looks at everything that storages have for an image that is not good. */
function curesIn({ areas, records }: OpenFiles): CheckSource['cures'] {
    return async ({ uuid }, isReadAgain, signal) => {
        const image = await currentFacts(records, uuid);
        const depth = isReadAgain ? 'all' : 'copies';
        const findings = await surveyImage(uuid, image, { areas, depth, signal });
        const misplaced = findings.filter(({ kind }) => kind === 'misplaced');
        return {
            misplaced: new Map(misplaced.map(({ file = '', stor }) => [file, stor])),
            repairable: findings.some(({ kind }) => REPAIRABLE.has(kind)),
            commands: findings.flatMap(({ commands = [] }) => commands),
        };
    };
}

/** Opens the data of a server, which may be running. @throws Error for what cannot be used */
export async function openOffline(invocation: Invocation): Promise<CheckSource> {
    const files = await openFiles(invocation, 'reading');
    const { data, records } = files;
    const { images, directories, config } = data;
    return {
        adminTool: config.mode === 'dc' ? 'sdc-imgadm' : 'imgapi-cli',
        runDirectory: directories.run,
        unreadable: files.unreadable().length,
        all: () => imagesOf(files),
        current: async (uuid) => {
            try {
                return imageOfRecord((await records.current(uuid)).raw);
            } catch (error) {
                if (meansAbsent(error, uuid)) {
                    return undefined;
                }
                throw error;
            }
        },
        storage: (stor) => images.storages.get(stor as StorageType),
        pathOf: pathFinder(data),
        explain: explainer(await isServersUser(directories.base)),
        cures: curesIn(files),
        close: () => files.close(),
    };
}
