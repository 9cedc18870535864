import t from 'tap';
import { readWorkflow, WORKFLOWS } from '#lib/jobs/wfapi/workflow-files.js';
import {
    type Answer,
    type Asked,
    call,
    clientModule,
    QUICK,
    requests,
    runJob,
} from '../helpers/workflow-runs.js';

const IMAGE = '10000000-0000-4000-8000-000000000001';
const BASE = '10000000-0000-4000-8000-000000000002';
const MIDDLE = '10000000-0000-4000-8000-000000000003';
const ACCOUNT = '10000000-0000-4000-8000-000000000004';
const IMPORT_ID = '10000000-0000-4000-8000-000000000005';

const table = WORKFLOWS.find(({ task }) => task === 'import-remote-image')!;
const importRemote = await readWorkflow(table);

/** An image server in a few lines: what the tasks ask IMGAPI for. */
class Images {
    readonly states = new Map<string, string>();
    /** Which imports have made the records. */
    readonly importIds = new Map<string, string>();
    readonly origins = new Map<string, string>([
        [IMAGE, MIDDLE],
        [MIDDLE, BASE],
    ]);
    isCanceled = false;
    /** Answers instead, where it says something. */
    before: (asked: Asked) => Answer | 'never' | 'go on' = () => 'go on';

    answer = (asked: Asked): Answer | 'never' => {
        const before = this.before(asked);
        if (before !== 'go on') return before;
        const { method, url } = asked;
        const [, top, uuid = '', file] = url.pathname.split('/');
        if (top === 'jobs')
            return { status: 200, body: { execution: this.isCanceled ? 'canceled' : 'running' } };
        const action = file ?? url.searchParams.get('action') ?? method;
        const state = this.states.get(uuid);
        const image = { uuid, state, ...(this.origins.has(uuid) ? { origin: this.origins.get(uuid) } : {}) };
        if (action === 'import') {
            const isOurs = this.importIds.get(uuid) === url.searchParams.get('import_id');
            if (state !== undefined && state !== 'creating' && !(state === 'unactivated' && isOurs)) {
                return { status: 409, body: { code: 'ImageUuidAlreadyExists', message: 'it exists' } };
            }
            this.states.set(uuid, 'unactivated');
            this.importIds.set(uuid, String(url.searchParams.get('import_id')));
            return { status: 200, body: image };
        }
        if (state === undefined) return { status: 404, body: { code: 'ResourceNotFound', message: 'no' } };
        if (action === 'activate') this.states.set(uuid, 'active');
        if (action === 'update') this.states.set(uuid, 'failed');
        if (action === 'DELETE') this.states.delete(uuid);
        return { status: action === 'DELETE' ? 204 : 200, body: image };
    };
}

const PARAMS = {
    image_uuid: IMAGE,
    origins: [BASE, MIDDLE],
    source: 'http://source/a?channel=x',
    skip_owner_check: false,
    import_id: IMPORT_ID,
};

/** The same for an image without origins. */
const { origins, ...ALONE } = PARAMS;

void t.test('an import', async (t) => {
    const images = new Images();
    images.states.set(BASE, 'disabled');
    const params = { ...PARAMS, channel: 'dev', datacenter: 'east', account: ACCOUNT };
    const { job, asked } = await runJob(importRemote, params, images.answer);
    t.equal(job.execution, 'succeeded');
    t.same(
        job.chain_results.map(({ result }) => result),
        [
            'Image origins have been imported',
            `Image ${IMAGE} created`,
            `Image ${IMAGE} file added`,
            `Image ${IMAGE} activated`,
        ],
    );
    t.same(job.created_images, [MIDDLE, IMAGE]);
    t.same(origins, [BASE, MIDDLE]);
    const importQuery =
        'action=import&skip_owner_check=false&source=http://source/a?channel=x' +
        `&channel=dev&import_id=${IMPORT_ID}&datacenter=east`;
    t.same(requests(asked), [
        `GET /images/${BASE}?channel=*`,
        `GET /images/${MIDDLE}?channel=*`,
        ...[MIDDLE, IMAGE].flatMap((uuid) => [
            `POST /images/${uuid}?${importQuery}`,
            `GET /images/${uuid === IMAGE ? MIDDLE : BASE}?channel=*`,
            `PUT /images/${uuid}/file?source=http://source/a?channel=x&channel=dev`,
            `POST /images/${uuid}?action=activate&channel=dev`,
        ]),
    ]);
    t.ok(asked.every(({ headers }) => headers['x-request-id'] === 'the-request'));
});

void t.test('without origins and channels', async (t) => {
    const images = new Images();
    images.origins.clear();
    const { job, asked } = await runJob(importRemote, ALONE, images.answer);
    t.equal(job.chain_results[0]?.result, 'No origins (skipping import of origins)');
    t.same(
        requests(asked).map((one) => one.split('&source')[0]),
        [
            `POST /images/${IMAGE}?action=import&skip_owner_check=false`,
            `PUT /images/${IMAGE}/file?source=http://source/a?channel=x`,
            `POST /images/${IMAGE}?action=activate`,
        ],
    );
});

void t.test('an import that fails deletes what it has made, the last first', async (t) => {
    const images = new Images();
    images.states.set(BASE, 'active');
    images.before = ({ method, url }) =>
        method === 'PUT' && url.pathname.includes(IMAGE)
            ? { status: 400, body: { code: 'Download', message: 'the wrong bytes' } }
            : 'go on';
    const { job, asked } = await runJob(importRemote, PARAMS, images.answer);
    t.match(job.chain_results.at(-1)?.error, {
        name: 'DownloadError',
        message: 'the wrong bytes',
        code: 'Download',
        statusCode: 400,
    });
    t.same(
        job.onerror_results.map(({ name, result, error }) => [name, result, error]),
        [
            ['delete_image', `Image ${IMAGE} deleted`, ''],
            ['origin_delete_images', 'Origin images have been deleted', ''],
            ['On error', '', 'Error executing job'],
        ],
    );
    t.same([...images.states], [[BASE, 'active']]);
    t.same(
        requests(asked).filter((one) => one.startsWith('DELETE')),
        [`DELETE /images/${IMAGE}`, `DELETE /images/${MIDDLE}`],
    );
});

void t.test(
    'an answer that is lost is asked for again, and what it told of is deleted after a failure',
    async (t) => {
        const images = new Images();
        images.states.set(BASE, 'active');
        const lost = new Set([MIDDLE, IMAGE]);
        images.before = ({ method, url }) => {
            const uuid = url.pathname.split('/')[2] ?? '';
            if (url.searchParams.get('action') === 'import' && lost.delete(uuid)) {
                images.states.set(uuid, 'unactivated');
                images.importIds.set(uuid, IMPORT_ID);
                return undefined;
            }
            return method === 'PUT' && uuid === IMAGE
                ? { status: 400, body: { code: 'Download', message: 'the wrong bytes' } }
                : 'go on';
        };
        const { job, asked } = await runJob(importRemote, PARAMS, images.answer);
        t.match(job.chain_results.at(-1), { name: 'add_image_file', error: { code: 'Download' } });
        t.same([...images.states], [[BASE, 'active']]);
        const imports = requests(asked).filter((one) => one.includes('action=import'));
        t.same(
            imports.map((one) => one.slice('POST /images/'.length).split('?')[0]),
            [MIDDLE, MIDDLE, IMAGE, IMAGE],
        );
    },
);

void t.test('what others have made stays', async (t) => {
    const images = new Images();
    for (const uuid of [BASE, MIDDLE, IMAGE]) images.states.set(uuid, 'active');
    const { job, asked } = await runJob(importRemote, PARAMS, images.answer);
    t.match(job.chain_results.at(-1), { name: 'import_image', error: { code: 'ImageUuidAlreadyExists' } });
    t.same(
        job.onerror_results.map(({ result }) => result),
        [`Image ${IMAGE} was not created by this job`, 'No origin images to delete', ''],
    );
    t.notOk(requests(asked).some((one) => one.startsWith('DELETE')));
    t.equal(images.states.size, 3);
});

void t.test('an origin that others have made images on meanwhile stays', async (t) => {
    const images = new Images();
    images.before = ({ method, url }) => {
        if (method === 'PUT' && url.pathname.includes(IMAGE)) return undefined;
        return method === 'DELETE' && url.pathname.includes(BASE)
            ? { status: 422, body: { code: 'ImageHasDependentImages', message: 'in use' } }
            : 'go on';
    };
    const { job } = await runJob(importRemote, PARAMS, images.answer);
    t.same(job.onerror_results[1], {
        name: 'origin_delete_images',
        result: 'Origin images have been deleted',
        error: '',
    });
    t.same([...images.states], [[BASE, 'active']]);
});

void t.test('an origin that another job is making is waited for', async (t) => {
    void t.test('to its end', async (t) => {
        const images = new Images();
        images.states.set(BASE, 'unactivated');
        let looks = 0;
        images.before = ({ method, url }) => {
            if (method === 'GET' && url.pathname.includes(BASE) && (looks += 1) === 4) {
                images.states.set(BASE, 'active');
            }
            return 'go on';
        };
        const { job } = await runJob(importRemote, PARAMS, images.answer);
        t.equal(job.execution, 'succeeded');
        t.same(job.created_images, [MIDDLE, IMAGE]);
    });
    void t.test('until it gives up', async (t) => {
        const images = new Images();
        let looks = 0;
        images.before = ({ method, url }) => {
            if (url.pathname.includes(BASE) && method === 'GET') {
                looks += 1;
                // Not there, then made by another job, then gone.
                if (looks === 1) return { status: 404, body: { code: 'ResourceNotFound' } };
                if (looks === 3) images.states.delete(BASE);
            }
            return 'go on';
        };
        images.states.set(BASE, 'unactivated');
        const { job } = await runJob(importRemote, PARAMS, images.answer);
        t.equal(job.execution, 'succeeded');
        t.same(job.created_images, [BASE, MIDDLE, IMAGE]);
    });
    void t.test('but not when it has failed', async (t) => {
        const images = new Images();
        images.states.set(BASE, 'failed');
        const { job } = await runJob(importRemote, PARAMS, images.answer);
        t.match(job.chain_results, [{ error: { code: 'OriginIsNotActive' } }]);
    });
    void t.test('nor after a cancel', async (t) => {
        const images = new Images();
        images.states.set(BASE, 'unactivated');
        images.isCanceled = true;
        const { job } = await runJob(importRemote, PARAMS, images.answer);
        t.equal(job.execution, 'canceled');
        t.same([...images.states], [[BASE, 'unactivated']]);
    });
    t.end();
});

void t.test('an origin that goes away at the last moment', async (t) => {
    const images = new Images();
    images.states.set(BASE, 'active');
    images.states.set(MIDDLE, 'active');
    images.before = ({ url }) => {
        if (url.searchParams.get('action') === 'import') images.states.delete(MIDDLE);
        return 'go on';
    };
    const { job } = await runJob(importRemote, PARAMS, images.answer);
    t.match(job.chain_results.at(-1)?.error, {
        code: 'OriginDoesNotExist',
        message: `origin image "${MIDDLE}" does not exist`,
    });
    t.same([...images.states], [[BASE, 'active']], 'no record names a missing origin');
});

void t.test('a cancel', async (t) => {
    void t.test('ends a transfer', async (t) => {
        const images = new Images();
        images.before = ({ method, url }) => {
            if (method !== 'PUT' || !url.pathname.includes(IMAGE)) return 'go on';
            images.isCanceled = true;
            return 'never';
        };
        const { job } = await runJob(importRemote, PARAMS, images.answer);
        t.equal(job.execution, 'canceled');
        t.same(
            job.oncancel_results.map(({ result }) => result),
            [`Image ${IMAGE} deleted`, 'Origin images have been deleted'],
        );
        t.equal(images.states.size, 0);
    });
    void t.test('before anything is made', async (t) => {
        const images = new Images();
        images.isCanceled = true;
        const { job } = await runJob(importRemote, ALONE, images.answer);
        t.equal(job.execution, 'canceled');
        t.same(
            job.oncancel_results.map(({ result }) => result),
            [`Image ${IMAGE} was not created by this job`, 'No origin images to delete'],
        );
    });
    void t.test('takes a placeholder away', async (t) => {
        const images = new Images();
        images.states.set(IMAGE, 'creating');
        images.isCanceled = true;
        await runJob(importRemote, { ...ALONE, placeholder: true }, images.answer);
        t.equal(images.states.size, 0);
    });
    t.end();
});

void t.test('a placeholder stays when the import fails, and tells why', async (t) => {
    for (const at of ['import', 'file']) {
        const images = new Images();
        images.origins.clear();
        images.states.set(IMAGE, 'creating');
        const bodies: unknown[] = [];
        images.before = ({ method, url, body }) => {
            const action = url.searchParams.get('action');
            if (action === 'update') bodies.push(body);
            return (at === 'file' && method === 'PUT') || (at === 'import' && action === 'import')
                ? { status: 503, body: { code: 'RemoteSourceError', message: 'it is away' } }
                : 'go on';
        };
        await runJob(importRemote, { ...ALONE, placeholder: true }, images.answer);
        t.same([...images.states], [[IMAGE, 'failed']], at);
        t.match(bodies, [{ state: 'failed', error: { message: 'it is away', code: 'RemoteSourceError' } }]);
    }
});

void t.test('a clean-up outlives a moment without an answer', async (t) => {
    const images = new Images();
    images.origins.clear();
    let tries = 0;
    images.before = ({ method }) => {
        if (method === 'PUT') return undefined;
        return method === 'DELETE' && (tries += 1) < 4 ? undefined : 'go on';
    };
    const { job } = await runJob(importRemote, ALONE, images.answer);
    t.match(job.chain_results.at(-1)?.error, { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' });
    t.equal(tries, 4);
    t.equal(images.states.size, 0);
});

void t.test('nothing is sent when the time is up', async (t) => {
    const images = new Images();
    const asked: Asked[] = [];
    const globals = { ...QUICK, restify: clientModule(images.answer, asked), imgapiUrl: 'http://imgapi' };
    for (const task of importRemote.chain.slice(1)) {
        const job = { uuid: 'j', params: PARAMS, timeToDie: true };
        const [error] = await call(task.body, globals, [job]);
        t.match(error, { name: 'TaskTimeoutError', message: 'task timeout error' });
    }
    t.same(asked, []);
});
