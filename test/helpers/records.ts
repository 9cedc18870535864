import { randomUUID } from 'node:crypto';
import type { Config, ConfigSource } from '#lib/base/config-types.js';
import type { RawImage } from '#lib/manifest/types.js';

/** An owner that many records share. */
export const OWNER = '86055c40-2547-11e2-8a6b-4bb37edc84ba';

/** A record that is valid in mode dc with channels, but for what is put in its place. */
export function record(changes: Readonly<Record<string, unknown>> = {}): RawImage {
    const made = {
        v: 2,
        owner: OWNER,
        name: 'base',
        version: '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        public: false,
        disabled: false,
        activated: true,
        state: 'active',
        acl: [],
        channels: ['dev'],
        uuid: randomUUID(),
        published_at: '2020-01-01T00:00:00.000Z',
        files: [
            {
                sha1: '97f20b32c2016782257176fb58a35e5044f05840',
                size: 46271847,
                contentMD5: 'jH3ZIq1HSU/ALDiOEsAOrA==',
                mtime: '2019-10-01T12:03:00.123Z',
                stor: 'local',
                compression: 'gzip',
            },
        ],
        ...changes,
    };
    // Keys given as undefined are left out, as they are in JSON.
    return JSON.parse(JSON.stringify(made)) as RawImage;
}

/** A record that was never activated, so has no time of publication. */
export function unpublished(changes: Readonly<Record<string, unknown>> = {}): RawImage {
    return record({
        activated: false,
        state: 'unactivated',
        published_at: undefined,
        files: undefined,
        ...changes,
    });
}

/** Tags as a record holds them: for the search and for clients. */
export function tagged(tags: Readonly<Record<string, string>>): Record<string, unknown> {
    return { tags: Object.entries(tags).map(([key, value]) => `${key}=${value}`), tagsObj: tags };
}

/** A configuration source whose configuration can be replaced. */
export function configSource(config: Partial<Config> = {}): { current: Config } & ConfigSource {
    const channels = ['dev', 'release'].map((name) => ({ name, description: name }));
    return { current: { mode: 'dc', channels, ...config } as Config };
}
