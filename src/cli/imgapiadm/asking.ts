import { UsageError, type Invocation } from './command.js';

type Asked = Pick<Invocation, 'parsed' | 'terminal'>;

/** Makes sure that the operator has agreed to changes, can be asked, or wants none. @throws UsageError */
export function requireWayToAsk({ parsed: { counts }, terminal }: Asked): void {
    if (!counts.has('yes') && !counts.has('dry-run') && !terminal.canAsk) {
        throw new UsageError('there is no terminal to ask on: give --yes, or --dry-run');
    }
}

/**
 * Whether the operator agrees to changes, by `--yes` or when asked.
 *
 * @param signal takes the question back: no
 */
export async function isAgreed(
    { parsed, terminal }: Asked,
    question: string,
    signal: AbortSignal,
): Promise<boolean> {
    return parsed.counts.has('yes') || (await terminal.confirm(question, signal));
}
