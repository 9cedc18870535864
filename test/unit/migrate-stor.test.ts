import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { Gate } from '../doubles/gate.js';
import {
    sendJson,
    type HttpService,
    type HttpServiceOptions,
    type ServedRequest,
    type ServiceHandler,
} from '../doubles/http-service.js';
import { AdminTool, parseReport, runTool } from '../helpers/admin-tool.js';
import { serve } from '../helpers/outgoing.js';
import { selfSigned } from '../helpers/self-signed.js';

const PAGE = 100;

/** Requests for a whole list: each page begins with the end of the one before, the last has nothing else. */
const pagesOf = (count: number): number => 2 + Math.ceil((count - PAGE) / (PAGE - 1));

interface FakeImage {
    readonly uuid: string;
    stor: string;
}

/** A server made of an array, to see what it is asked. */
interface FakeServer {
    readonly service: HttpService;
    readonly images: FakeImage[];
    /** Moves under way now, and at most so far. */
    readonly moves: { now: number; most: number };
    /** Moves an image and says with which status. */
    onMove: (image: FakeImage) => Promise<number>;
    /** Called before a page is answered. */
    onPage: (marker: string | null) => void;
    readonly pages: () => number;
}

const NOT_FOUND = { code: 'ResourceNotFound', message: 'not found' };

function documentOf({ uuid, stor }: FakeImage): Record<string, unknown> {
    return { v: 2, uuid, name: 'n', version: '1', state: 'active', files: [{ sha1: 'x', size: 10, stor }] };
}

async function fakeServer(
    t: Test,
    count: number,
    { role = 'writer', tls }: { role?: string; tls?: HttpServiceOptions['tls'] } = {},
): Promise<FakeServer> {
    const images = Array.from({ length: count }, () => ({ uuid: newUuid(), stor: 'local' }));
    const moves = { now: 0, most: 0 };
    const listed = (query: URLSearchParams): FakeImage[] | undefined => {
        const marker = query.get('marker');
        fake.onPage(marker);
        const start = marker === null ? 0 : images.findIndex(({ uuid }) => uuid === marker);
        return start === -1 ? undefined : images.slice(start, start + Number(query.get('limit')));
    };
    const moved = async (image: FakeImage): Promise<number> => {
        moves.now += 1;
        moves.most = Math.max(moves.most, moves.now);
        const status = await fake.onMove(image);
        moves.now -= 1;
        return status;
    };
    const answer = async ({ path, method, query }: ServedRequest): Promise<[number, unknown]> => {
        if (path === '/state') {
            return [200, { version: '5.0.0', storageTypes: ['local', 'manta'], channels: [], role }];
        }
        if (path === '/images') {
            const page = listed(query);
            return page === undefined ? [404, NOT_FOUND] : [200, page.map(documentOf)];
        }
        const image = images.find(({ uuid }) => path === `/images/${uuid}`);
        if (image === undefined) return [404, NOT_FOUND];
        const status = method === 'POST' ? await moved(image) : 200;
        return [status, status === 200 ? documentOf(image) : NOT_FOUND];
    };
    const handle: ServiceHandler = (request, response) => {
        void answer(request).then(([status, body]) => sendJson(response, status, body));
    };
    const service = await serve(t, handle, tls === undefined ? {} : { tls });
    const fake: FakeServer = {
        service,
        images,
        moves,
        onMove: (image) => {
            image.stor = 'manta';
            return Promise.resolve(200);
        },
        onPage: () => undefined,
        pages: () => service.requests.filter(({ path }) => path === '/images').length,
    };
    return fake;
}

const argsFor = ({ service }: FakeServer, ...args: string[]): string[] => [
    'migrate-stor',
    '--to',
    'manta',
    '--url',
    service.url,
    '-y',
    '-j',
    ...args,
];

void t.test('what is asked of the server', async (t) => {
    const fake = await fakeServer(t, 3);
    const { code, stderr } = await runTool(argsFor(fake));
    t.equal(code, 0, stderr);
    t.equal(stderr, '', 'nothing to say without a screen');
    const [state, ...others] = fake.service.requests;
    t.equal(state?.target, '/state?db=false');
    const list = 'state=all&channel=*&inclAdminFields=true&limit=100';
    const last = fake.images.at(-1)?.uuid;
    const pages = [`/images?${list}`, `/images?${list}&marker=${last}`];
    const targets = others.map(({ target }) =>
        decodeURIComponent(target).replace('channel=%2A', 'channel=*'),
    );
    t.same(targets.slice(0, 3), [...pages, pages[0]], 'a survey, and the run');
    const posts = fake.service.requests.filter(({ method }) => method === 'POST');
    t.same(
        posts.map(({ target }) => target).sort(),
        fake.images.map(({ uuid }) => `/images/${uuid}?action=change-stor&stor=manta&all=true`).sort(),
    );
    t.match(posts[0]?.headers, { 'accept-version': '~2', 'user-agent': /^imgapiadm\// });
    t.notOk(posts[0]?.headers.authorization);
});

void t.test('never more at the same time than asked for, nor read before they are needed', async (t) => {
    const fake = await fakeServer(t, 5 * PAGE);
    const gate = new Gate();
    const move = fake.onMove;
    fake.onMove = async (image) => {
        await gate.pass();
        return move(image);
    };
    const tool = new AdminTool(argsFor(fake, '-p', '3'));
    await gate.arrived(3);
    t.equal(fake.pages(), pagesOf(5 * PAGE) + 1, 'one page is enough to begin');
    gate.resume();
    const { code, stdout } = await tool.exited;
    t.equal(code, 0);
    t.equal(fake.moves.most, 3);
    const { images, summary } = parseReport(stdout);
    t.equal(images.size, 500, 'each image once');
    t.match(summary, { moved: 500, images: 500, bytes: 5000 });
});

void t.test('images that go meanwhile', async (t) => {
    const fake = await fakeServer(t, 2 * PAGE);
    const [, second] = fake.images;
    const lastOfPage = fake.images[PAGE - 1];
    const move = fake.onMove;
    fake.onMove = async (image) => {
        if (image !== second) return move(image);
        fake.images.splice(fake.images.indexOf(image), 1);
        return 404;
    };
    let asked = 0;
    fake.onPage = (marker) => {
        // Once in the survey, once in the run: then it is no marker any more.
        if (marker === lastOfPage?.uuid && ++asked === 2) {
            fake.images.splice(fake.images.indexOf(lastOfPage), 1);
        }
    };
    const { code, stdout, stderr } = await runTool(argsFor(fake, '-p', '1'));
    t.equal(code, 0, stderr);
    const { images, summary } = parseReport(stdout);
    t.equal(images.size, 200, 'the list goes on');
    t.match(summary, { moved: 199, gone: 1, failed: 0 });
    t.match(images.get(second?.uuid ?? ''), { result: 'gone', bytes: 0 });
});

void t.test('what the server says is looked at', async (t) => {
    const fake = await fakeServer(t, 3, { role: 'reader' });
    const [bad] = fake.images;
    const move = fake.onMove;
    fake.onMove = (image) => (image === bad ? Promise.resolve(200) : move(image));
    const { code, stdout, stderr } = await runTool(argsFor(fake));
    t.equal(code, 1);
    t.match(stderr, /this process of the server only reads/);
    const { images, summary } = parseReport(stdout);
    t.match(summary, { moved: 2, failed: 1, bytes: 20 });
    t.match(images.get(bad?.uuid ?? ''), {
        result: 'failed',
        error: { message: 'the server has done it, but file 0 is in local' },
    });

    fake.service.fault = 'garbage';
    const garbage = await runTool(argsFor(fake));
    t.equal(garbage.code, 252);
    t.match(garbage.stderr, /error: http.*: the body is not JSON/);
});

void t.test('a list that breaks off', async (t) => {
    const fake = await fakeServer(t, 2 * PAGE);
    let pages = 0;
    fake.onPage = () => {
        pages += 1;
        // In the run, the second one.
        if (pages === pagesOf(2 * PAGE) + 2) fake.images.length = 0;
    };
    const { code, stdout, stderr } = await runTool(argsFor(fake));
    t.equal(code, 1);
    t.match(stderr, /error: the list of images cannot be continued/);
    const { images, summary } = parseReport(stdout);
    t.equal(images.size, PAGE, 'what was listed is dealt with');
    t.match(summary, { complete: false, interrupted: false, error: { message: /cannot be continued/ } });
});

void t.test('TLS', async (t) => {
    const fake = await fakeServer(t, 1, { tls: selfSigned('127.0.0.1') });
    const strict = await runTool(argsFor(fake));
    t.equal(strict.code, 252);
    t.match(strict.stderr, /self.signed certificate/);
    t.equal((await runTool(argsFor(fake, '--insecure'))).code, 0);
});
