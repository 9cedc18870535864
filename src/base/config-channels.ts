import { isSettings, type Settings } from './config-rules.js';

const NAME_RE = /^[a-z][a-z0-9_-]*$/;

function* entryProblems(channel: Settings, index: number): Generator<string> {
    const { name } = channel;
    if (typeof name !== 'string') {
        yield `config.channels[${index}].name (string) is required`;
    } else if (!NAME_RE.test(name)) {
        yield `invalid channel name: "${name}", must match ${NAME_RE.toString()}`;
    }
    if (typeof channel['description'] !== 'string') {
        yield `config.channels[${index}].description (string) is required`;
    }
    if (Object.hasOwn(channel, 'default') && typeof channel['default'] !== 'boolean') {
        yield `config.channels[${index}].default (bool) is required`;
    }
}

/** Problems between entries: two defaults, two of a name. Only `default: true` counts (backends 13). */
function* pairProblems(channels: readonly Settings[]): Generator<string> {
    const names = new Set<unknown>();
    let chosen: Settings | undefined;
    for (const channel of channels) {
        if (channel['default'] === true) {
            if (chosen !== undefined) {
                yield `cannot have multiple *default* channels: ${JSON.stringify(chosen)} and ${JSON.stringify(channel)}`;
            }
            chosen ??= channel;
        }
        if (typeof channel['name'] === 'string' && names.has(channel['name'])) {
            yield `duplicate channel name: "${channel['name']}"`;
        }
        names.add(channel['name']);
    }
}

/**
 * What is wrong with `config.channels`, the first problem first; the first one stops the start
 * (backends 13). A falsy value means that the server has no channels.
 */
export function channelProblems(channels: unknown): string[] {
    if (!channels) {
        return [];
    }
    if (!Array.isArray(channels) || !channels.every(isSettings)) {
        return ['config.channels ([object]) is required'];
    }
    if (channels.length === 0) {
        return ['empty "config.channels" array'];
    }
    return [
        ...channels.flatMap((channel, index) => [...entryProblems(channel, index)]),
        ...pairProblems(channels),
    ];
}
