/** A part of a set-up that can be done again and again. */
export interface SetupStep {
    /** What there is once it is done. */
    readonly what: string;
    /** Whether it is done already. */
    readonly isDone: () => Promise<boolean>;
    /** Does it. @returns facts to tell, if there are any */
    readonly run: () => Promise<string | undefined>;
}

/**
 * Does what is not done yet, in order.
 *
 * @param say told about each step
 * @throws what the first failing step throws; those before it are done
 */
export async function runSteps(
    steps: readonly SetupStep[],
    dryRun: boolean,
    say: (text: string) => void,
): Promise<void> {
    for (const { what, isDone, run } of steps) {
        if (await isDone()) {
            say(`already done: ${what}`);
        } else if (dryRun) {
            say(`to do:        ${what}`);
        } else {
            const facts = await run();
            say(`done:         ${what}${facts === undefined ? '' : ` (${facts})`}`);
        }
    }
}
