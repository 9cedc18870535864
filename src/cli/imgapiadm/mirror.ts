import { HttpClient } from '../../base/http-client.js';
import { VERSION } from '../../base/constants.js';
import { ImageServerClient } from '../../remotes/imgapi/image-server-client.js';
import { parseSourceAddress, withoutUserInfo } from '../../remotes/source-address.js';
import { BATCH_OPTIONS, batchOrder, countOption } from './batch/batch-options.js';
import { BatchRun } from './batch/batch-run.js';
import { UsageError, type Invocation, type Subcommand } from './command.js';
import { mirror } from './mirroring/mirror.js';

const MAX_LATEST = 1000;
/** Parameters that say how a list is sent, not what is in it. */
const RESERVED: ReadonlySet<string> = new Set(['account', 'channel', 'limit', 'marker', 'sort']);
/** Connections to the source: one that lists. */
const SOURCE_CALLS = 1;

function sourceOf(text: string | undefined): string {
    if (text === undefined) {
        throw new UsageError('from where? Give --from URL.');
    }
    if (parseSourceAddress(text, 'operator') === undefined) {
        throw new UsageError(`no http or https URL: "${withoutUserInfo(text)}"`);
    }
    return text;
}

function filtersOf(given: readonly string[]): Readonly<Record<string, string>> {
    const pairs = given.map((text): readonly [string, string] => {
        const [, key = '', value = ''] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
        if (key === '' || RESERVED.has(key)) {
            throw new UsageError(`--filter must be a field and a value, e.g. name=base-64: "${text}"`);
        }
        return [key, value];
    });
    const twice = pairs.find(([key], index) => pairs.findIndex(([other]) => other === key) !== index);
    if (twice !== undefined) {
        throw new UsageError(`--filter ${twice[0]}: given twice`);
    }
    return Object.fromEntries(pairs);
}

/** Proxies as command lines know them; `NO_PROXY` is the client's own business. */
function proxyOf(url: string, environment: NodeJS.ProcessEnv): { readonly httpProxy?: string } {
    const scheme = url.startsWith('https:') ? 'https_proxy' : 'http_proxy';
    const proxy = environment[scheme] || environment[scheme.toUpperCase()];
    return proxy === undefined || proxy === '' ? {} : { httpProxy: proxy };
}

async function start(invocation: Invocation): Promise<number> {
    const { parsed, environment } = invocation;
    const sourceText = sourceOf(parsed.values.get('from'));
    const filters = filtersOf(parsed.lists.get('filter') ?? []);
    const latest = countOption(parsed, 'latest', MAX_LATEST);
    if (parsed.positionals.length > 0) {
        throw new UsageError(`too many arguments: ${parsed.positionals.join(' ')}`);
    }
    const order = batchOrder(invocation);
    const address = parseSourceAddress(sourceText, 'operator');
    if (address === undefined) {
        throw new TypeError('a URL that was one is none');
    }
    const http = new HttpClient({
        config: {
            current: {
                maxSockets: SOURCE_CALLS,
                serverName: `imgapiadm/${VERSION}`,
                allowInsecure: order.access.insecure,
                ...proxyOf(address.url, environment),
            },
        },
    });
    const { url, channel } = address;
    const source = new ImageServerClient({ http, url, ...(channel === undefined ? {} : { channel }) });
    const kind = mirror({
        source,
        address,
        sourceText,
        filters,
        latest,
        deletes: parsed.counts.has('delete'),
        skipOwnerCheck: parsed.counts.has('skip-owner-check'),
        channel: order.access.channel,
        parallel: order.parallel,
    });
    return new BatchRun(order, kind, invocation).execute().finally(() => http.close());
}

/** `imgapiadm mirror` (operations 3.3). */
export const mirrorCommand: Subcommand = {
    name: 'mirror',
    summary: 'Make a server have the images of another one.',
    usage: '--from URL [OPTIONS]',
    description: [
        'Lists the active images of another image server, and has a running server of yours copy those it',
        'lacks: manifest as it is, owner as imports set it, files verified, what an image is based on',
        'first. Images that are there already get the fields that have changed at the source, all but',
        '"acl". To go on with a run that was broken off, or try again what failed, run it again: transfers',
        'go on where they were. New images go into the channel that --channel names, else into the default',
        'one of the server.',
        '',
        'With --delete, images go that were copied from this very source and are not there any more, or',
        'are none of the --latest any more. Images that came from elsewhere are never deleted.',
        '',
        'Prints a line for each image and one about the whole. Ctrl-C lets running copies end.',
    ],
    options: [
        {
            name: 'from',
            argument: 'URL',
            help: [
                'The source, e.g. https://images.example.com?channel=dev; the server must',
                'reach it, too.',
            ],
        },
        {
            name: 'filter',
            argument: 'FIELD=VALUE',
            help: ['Only images its list gives for this, e.g. os=smartos, name=~base; may be', 'repeated.'],
        },
        { name: 'latest', argument: 'N', help: ['Only the newest N of each name.'] },
        { name: 'delete', help: ['Delete what is not at the source any more.'] },
        {
            name: 'skip-owner-check',
            help: ['In a datacenter: owners of the source need not exist here.'],
        },
        ...BATCH_OPTIONS,
    ],
    examples: [
        'imgapiadm mirror --from https://images.example.com --filter os=smartos --latest 2 -n',
        'imgapiadm mirror --from https://images.example.com?channel=dev --delete --yes --json',
    ],
    run: start,
};
