import type { Data } from '../records/stored-records.js';
import type { Place, RecordCheck } from './check.js';

/** The channel that images get when none is asked for; `undefined`: there is none. */
export function defaultChannel(channels: Place['channels']): { readonly name: string } | undefined {
    return channels?.find((channel) => channel.default === true);
}

/** Channels of a record, whatever they are. */
export function channelsOf({ channels }: Data): readonly unknown[] {
    return Array.isArray(channels) ? channels : [];
}

/** Not part of `--fix-safe`: where an image is shown is for the operator to decide. */
export const CHANNELS: RecordCheck = {
    name: 'channels',
    severity: 'error',
    finds: 'channels that are not configured; on a server with channels, an image in none of them, which nobody sees',
    shown: { only: 'channels that are not configured' },
    covers: ({ field, code }) => field === 'channels' && code === 'MissingParameter',
    look: ({ record: { current }, place }) => {
        const { channels } = place;
        if (
            channels === undefined ||
            (current['channels'] !== undefined && !Array.isArray(current['channels']))
        ) {
            // The rules say the rest.
            return [];
        }
        const given = channelsOf(current);
        const unknown = given.filter((name) => !channels.some((channel) => channel.name === name));
        const strange = unknown.map((name) => ({
            message: `channel ${JSON.stringify(name)} is not configured`,
            final: true,
        }));
        return unknown.length < given.length
            ? strange
            : [...strange, { message: 'in no channel of this server, so nobody sees it' }];
    },
};

/** Puts a record that is in no channel of the server into the default one. */
export function withDefaultChannel(
    current: Data,
    channels: NonNullable<Place['channels']>,
): Data | undefined {
    const chosen = defaultChannel(channels);
    const given = channelsOf(current);
    const isSeen = given.some((name) => channels.some((channel) => channel.name === name));
    return chosen === undefined || isSeen ? undefined : { ...current, channels: [...given, chosen.name] };
}
