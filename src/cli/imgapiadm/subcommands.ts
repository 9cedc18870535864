import type { Subcommand } from './command.js';

/** Everything `imgapiadm` can do. Most of it needs half of the server, which takes a while to load. */
const LOADERS: Readonly<Record<string, () => Promise<Subcommand>>> = {
    backup: async () => (await import('./backup.js')).backupCommand,
    'check-config': async () => (await import('./check-config.js')).checkConfigCommand,
    'check-files': async () => (await import('./check-files.js')).checkFilesCommand,
    config: async () => (await import('./config.js')).configCommand,
    'dataset-guid': async () => (await import('./dataset-guid.js')).datasetGuid,
    diff: async () => (await import('./diff.js')).diffCommand,
    'export-manifests': async () => (await import('./export-manifests.js')).exportManifests,
    fsck: async () => (await import('./fsck.js')).fsckCommand,
    gc: async () => (await import('./gc.js')).gc,
    'import-manifests': async () => (await import('./import-manifests.js')).importManifests,
    'migrate-stor': async () => (await import('./migrate-stor.js')).migrateStor,
    mirror: async () => (await import('./mirror.js')).mirrorCommand,
    orphans: async () => (await import('./orphans.js')).orphans,
    reindex: async () => (await import('./reindex.js')).reindexCommand,
    repair: async () => (await import('./repair.js')).repair,
    restore: async () => (await import('./restore.js')).restoreCommand,
    'rotate-key': async () => (await import('./rotate-key.js')).rotateKeyCommand,
    status: async () => (await import('./status.js')).statusCommand,
    stats: async () => (await import('./stats.js')).statsCommand,
    unlock: async () => (await import('./unlock.js')).unlockCommand,
    'upload-logs': async () => (await import('./upload-logs.js')).uploadLogsCommand,
};

/** All subcommands, in order. */
export function allSubcommands(): Promise<readonly Subcommand[]> {
    return Promise.all(Object.values(LOADERS).map((load) => load()));
}

/** The subcommand that a command line is about; all of them where it is about the tool. */
export async function subcommandsFor(argv: readonly string[]): Promise<readonly Subcommand[]> {
    const isWord = (arg: string): boolean => !arg.startsWith('-');
    const [first = '', second = ''] = argv.filter(isWord);
    const isHelp = first === 'help';
    const name = isHelp ? second : first;
    // Of the tool's own options, which have no values, only this one leaves it the subcommand's turn.
    const own = isHelp ? argv.filter((arg) => !isWord(arg)) : argv.slice(0, argv.indexOf(first));
    const isNamed = Object.hasOwn(LOADERS, name) && own.every((arg) => ['-v', '--verbose'].includes(arg));
    const load = isNamed ? LOADERS[name] : undefined;
    return load === undefined ? allSubcommands() : [await load()];
}
