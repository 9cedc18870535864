import { readFileSync } from 'node:fs';
import { fillSample, type SampleValue } from './fill-sample.js';

/** A user and a group that a program works as. */
export interface RunAs {
    readonly user: string;
    readonly group: string;
}

/** What the HAProxy sample depends on; what is absent has its usual value (operations 4.6). */
export interface HaproxySettings {
    /** Certificate chain and private key in one file. */
    readonly pem: string;
    /** Ports on which imgapi processes listen on this machine: one or more. */
    readonly serverPorts: readonly number[];
    /** Port for TLS; `null`: hitch has it. */
    readonly httpsPort?: number | null;
    /** Port for hitch; `null`: there is none. */
    readonly proxyPort?: number | null;
    readonly statsPort?: number;
    /** `null`: whoever starts it, who needs to be nobody then. */
    readonly runAs?: RunAs | null;
}

/** What the hitch sample depends on. */
export interface HitchSettings {
    readonly pem: string;
    readonly port?: number;
    /** Port of HAProxy's listener for the PROXY protocol, or of an imgapi with `proxyProtocol`. */
    readonly proxyPort?: number;
    /** False when imgapi itself is behind it, which speaks HTTP/1.1 only. */
    readonly h2?: boolean;
    readonly workers?: number;
    readonly runAs?: RunAs | null;
}

const HTTPS_PORT = 443;
/** Also the default of `tls.port`: with both, one of them has to move. */
const PROXY_PORT = 8443;
const STATS_PORT = 8404;
/** With one, nobody would listen for a moment when the certificate changes. */
const WORKERS = 4;

const HAPROXY: RunAs = { user: 'haproxy', group: 'haproxy' };
const HITCH: RunAs = { user: '_hitch', group: '_hitch' };

function sample(name: string): string {
    return readFileSync(new URL(`../../../etc/${name}`, import.meta.url), 'utf8');
}

function orDefault<T>(value: T | null | undefined, otherwise: T): T | null {
    return value === undefined ? otherwise : value;
}

/** The text of a haproxy.cfg. @throws Error when a value cannot stand in it */
export function haproxyConfig(settings: HaproxySettings): string {
    const { serverPorts, statsPort = STATS_PORT } = settings;
    const servers = serverPorts.map((port, index) => `    server be${index} 127.0.0.1:${port}`);
    const runAs = orDefault(settings.runAs, HAPROXY);
    const values: Record<string, SampleValue> = {
        PEM: settings.pem,
        HTTPS_PORT: orDefault(settings.httpsPort, HTTPS_PORT),
        PROXY_PORT: orDefault(settings.proxyPort, PROXY_PORT),
        STATS_PORT: statsPort,
        HAPROXY_USER: runAs && runAs.user,
        HAPROXY_GROUP: runAs && runAs.group,
        READ_SERVERS: servers,
        WRITE_SERVERS: servers,
    };
    return fillSample(sample('haproxy.cfg.in'), values);
}

/** The text of a hitch.conf. @throws Error when a value cannot stand in it */
export function hitchConfig(settings: HitchSettings): string {
    const { pem, port = HTTPS_PORT, proxyPort = PROXY_PORT, h2 = true, workers = WORKERS } = settings;
    const runAs = orDefault(settings.runAs, HITCH);
    return fillSample(sample('hitch.conf.in'), {
        PEM: pem,
        HITCH_PORT: port,
        PROXY_PORT: proxyPort,
        ALPN: h2 ? 'h2,http/1.1' : 'http/1.1',
        WORKERS: workers,
        HITCH_USER: runAs && runAs.user,
        HITCH_GROUP: runAs && runAs.group,
    });
}
