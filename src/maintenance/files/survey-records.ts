import type { Database, StoredImage } from '../../database/database.js';
import { publishedTime } from '../../manifest/published.js';
import type { SurveyRecords } from './image-facts.js';

/** Records of one call of a database that holds none in memory. */
const PAGE_SIZE = 1000;

async function* pages(database: Pick<Database, 'search'>): AsyncIterable<StoredImage> {
    let last: StoredImage | undefined;
    for (;;) {
        const marker = last && { time: publishedTime(last.raw), uuid: last.raw.uuid };
        const page = await database.search({
            anyOf: [{}],
            order: 'asc',
            limit: PAGE_SIZE,
            ...(marker === undefined ? {} : { marker }),
        });
        // A page begins with what the one before has ended with.
        yield* page.filter(({ raw }) => raw.uuid !== last?.raw.uuid);
        if (page.length < PAGE_SIZE) {
            return;
        }
        last = page.at(-1);
    }
}

async function* held(records: Iterable<StoredImage>): AsyncIterable<StoredImage> {
    yield* records;
    await Promise.resolve();
}

/** What a survey reads records from: what is in memory anyway, or else page after page. */
export function surveyRecords(database: {
    readonly database: Pick<Database, 'search'>;
    readonly held?: { snapshot(): Iterable<StoredImage> };
    current(uuid: string): Promise<StoredImage>;
}): SurveyRecords {
    return {
        all: () => (database.held === undefined ? pages(database.database) : held(database.held.snapshot())),
        current: (uuid) => database.current(uuid),
    };
}
