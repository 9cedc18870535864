import { UUID_RE } from '../../../base/uuid.js';
import { isObject } from '../../../manifest/coerce.js';
import { textOf, type Fields, type HeadnodeTools } from './tools.js';

/** Where images of the datacenter's own services come from. */
const UPDATES_URL = 'https://updates.tritondatacenter.com';

/** What images of this server are named. */
const IMAGE_NAME = 'imgapi';

/** Which image to use. */
export interface ImageWish {
    /** A UUID, or `latest`. */
    readonly image: string;
    /** Of the updates server; absent: that of the datacenter. */
    readonly channel: string | undefined;
    /** Account that is to use it. */
    readonly owner: string;
    readonly say: (line: string) => void;
}

async function channelOf(tools: HeadnodeTools, { channel }: ImageWish): Promise<string> {
    return channel ?? (await tools.run('sdcadm', ['channel', 'get'])).trim();
}

async function latest(tools: HeadnodeTools, channel: string): Promise<string> {
    const images = await tools.json('updates-imgadm', [
        ...['-C', channel, 'list', `name=${IMAGE_NAME}`],
        ...['--latest', '-j'],
    ]);
    const published = (image: Fields): string =>
        textOf(image, 'published_at', 'an image of the updates server');
    const [newest] = (Array.isArray(images) ? images.filter(isObject) : []).sort((a, b) =>
        published(b).localeCompare(published(a)),
    );
    if (newest === undefined) {
        throw new Error(`channel "${channel}" of the updates server has no image named "${IMAGE_NAME}"`);
    }
    return textOf(newest, 'uuid', 'the newest image');
}

function mayUse(image: Fields, owner: string): boolean {
    const { acl } = image;
    return (
        image['public'] === true || image['owner'] === owner || (Array.isArray(acl) && acl.includes(owner))
    );
}

/** Gets ready an image of this server for an account: brings it here if need be, and shares it. @returns its uuid */
export async function readyImage(tools: HeadnodeTools, wish: ImageWish): Promise<string> {
    const { owner, say } = wish;
    if (wish.image !== 'latest' && !UUID_RE.test(wish.image)) {
        throw new Error(`no image: "${wish.image}"; give a UUID, or "latest"`);
    }
    const uuid = wish.image === 'latest' ? await latest(tools, await channelOf(tools, wish)) : wish.image;
    const path = `/images/${uuid}`;
    let image = await tools.find('imgapi', path);
    if (image === undefined) {
        const channel = await channelOf(tools, wish);
        say(`Importing image ${uuid} from channel "${channel}" of the updates server`);
        await tools.run('sdc-imgadm', ['import', uuid, '-S', `${UPDATES_URL}?channel=${channel}`]);
        image = await tools.find('imgapi', path);
    }
    if (image === undefined || image['name'] !== IMAGE_NAME) {
        throw new Error(`image ${uuid} is not one named "${IMAGE_NAME}"`);
    }
    if (!mayUse(image, owner)) {
        say(`Sharing image ${uuid} with account ${owner}`);
        await tools.run('sdc-imgadm', ['add-acl', uuid, owner]);
    }
    return uuid;
}
