import { DEFAULT_CONFIG_PATH } from '../base/config.js';
import { parseOptions, type CommandOption, type ParsedOptions } from './options.js';
import { TableCommand } from './table-command.js';

/** The server's switches (operations 1.1). */
export const SERVER_OPTIONS: readonly CommandOption[] = [
    { name: 'help', short: 'h', help: ['Print this help and exit.'] },
    { name: 'version', help: ['Print the version and exit.'] },
    {
        name: 'debug',
        short: 'd',
        help: [
            'Log at level debug, whatever the configuration says; twice: level trace;',
            'three times: with source locations too.',
        ],
    },
    {
        name: 'file',
        short: 'f',
        argument: 'PATH',
        help: [`Configuration file; default:`, DEFAULT_CONFIG_PATH],
    },
    {
        name: 'check',
        help: [
            'Check the configuration, then the certificate and keys it names, print',
            'the problems, one a line, and exit: 0 if there are none, else 2.',
        ],
    },
    {
        name: 'port',
        argument: 'N',
        help: ['Listen on this port; the metrics and TLS ports move by as much.'],
    },
    { name: 'address', argument: 'A', help: ['Listen on this address.'] },
    { name: 'metrics-port', argument: 'N', help: ['Port of the metrics listener; 0: none.'] },
    { name: 'migrate', help: ['Bring the data to the form of this version and exit.'] },
];

/** What the server does. */
export const SERVER_DESCRIPTION = [
    'Runs the image server until it gets SIGTERM. The log goes to stdout, one JSON record a line.',
] as const;

/** What the server was asked to do. */
export type ServerOptions =
    | { readonly kind: 'help' }
    | { readonly kind: 'version' }
    /** For stderr, with the help text on stdout and exit status 1. */
    | { readonly kind: 'usage-error'; readonly message: string }
    | {
          readonly kind: 'run';
          readonly configPath: string;
          /** How often `-d` was given, at most 3; 0: the configuration decides about the log. */
          readonly debug: 0 | 1 | 2 | 3;
          readonly check: boolean;
          readonly migrate: boolean;
          readonly port?: number;
          readonly address?: string;
          readonly metricsPort?: number;
      };

/** The help text, with a line feed at its end. */
export function serverHelp(): string {
    return new TableCommand('node main.js', SERVER_OPTIONS)
        .describe({ usage: '[OPTIONS]', description: SERVER_DESCRIPTION })
        .helpInformation();
}

const PORT_OPTIONS = ['port', 'metrics-port'] as const;

/** What stops a run before the configuration is read; `undefined` when nothing does. */
function usageProblem(parsed: ParsedOptions): string | undefined {
    if (parsed.unknown.length > 0) {
        return `unknown option(s): ${parsed.unknown.join(', ')}`;
    }
    if (parsed.misused.length > 0) {
        return parsed.misused.join('; ');
    }
    if (parsed.positionals.length > 0) {
        return `unexpected argument(s): ${parsed.positionals.join(' ')}`;
    }
    const empty = ['file', 'address'].find((name) => parsed.values.get(name) === '');
    if (empty !== undefined) {
        return `option requires an argument: --${empty}`;
    }
    const wrong = PORT_OPTIONS.find((name) => {
        const value = parsed.values.get(name);
        return value !== undefined && !(/^\d{1,5}$/.test(value) && Number(value) <= 65535);
    });
    return wrong === undefined
        ? undefined
        : `--${wrong} must be integer 0..65535: "${parsed.values.get(wrong) ?? ''}"`;
}

function debugLevel(count: number): 0 | 1 | 2 | 3 {
    return count >= 3 ? 3 : count === 2 ? 2 : count === 1 ? 1 : 0;
}

/**
 * Reads the server's command line (operations 1.1).
 *
 * @param argv what follows the script's name
 */
export function parseServerOptions(argv: readonly string[]): ServerOptions {
    const parsed = parseOptions(SERVER_OPTIONS, argv);
    const problem = usageProblem(parsed);
    if (problem !== undefined) {
        return { kind: 'usage-error', message: problem };
    }
    if (parsed.counts.has('help')) {
        return { kind: 'help' };
    }
    if (parsed.counts.has('version')) {
        return { kind: 'version' };
    }
    const port = parsed.values.get('port');
    const address = parsed.values.get('address');
    const metricsPort = parsed.values.get('metrics-port');
    return {
        kind: 'run',
        configPath: parsed.values.get('file') ?? DEFAULT_CONFIG_PATH,
        debug: debugLevel(parsed.counts.get('debug') ?? 0),
        check: parsed.counts.has('check'),
        migrate: parsed.counts.has('migrate'),
        ...(port === undefined ? {} : { port: Number(port) }),
        ...(address === undefined ? {} : { address }),
        ...(metricsPort === undefined ? {} : { metricsPort: Number(metricsPort) }),
    };
}
