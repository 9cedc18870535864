/** What a systemd unit says, as far as tests follow it. */
export interface Unit {
    /** Commands that must succeed first. */
    readonly before: readonly (readonly string[])[];
    readonly command: readonly string[];
    readonly user: string | undefined;
    readonly directory: string;
    readonly stopSignal: NodeJS.Signals;
    /** Files without which it is not started. */
    readonly needs: readonly string[];
}

/**
 * Reads a unit.
 *
 * @param instance what `%i` means
 */
export function parseUnit(
    text: string,
    instance: string,
    environment: Readonly<Record<string, string>> = {},
): Unit {
    const values = (name: string): string[] =>
        [...text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) =>
            (value ?? '')
                .replaceAll('%i', instance)
                .replace(/\$([A-Z_]+)/g, (_, variable: string) => environment[variable] ?? ''),
        );
    const words = (line: string): string[] => line.split(' ').filter((word) => word !== '');
    const [command] = values('ExecStart');
    if (command === undefined) throw new Error('a unit without ExecStart');
    return {
        before: values('ExecStartPre').map(words),
        command: words(command),
        user: values('User')[0],
        directory: values('WorkingDirectory')[0] ?? '/',
        stopSignal: (values('KillSignal')[0] ?? 'SIGTERM') as NodeJS.Signals,
        needs: values('ConditionPathExists'),
    };
}
