import { parseArgs } from 'node:util';
import { controlsOf, type ControlAnswer, type ControlRequest } from './controls.js';
import { MantaDouble, type MantaDoubleOptions } from './manta-double.js';

/*
 * A Manta double as a process of its own:
 *
 *     main --options JSON
 *
 * Takes the options of the double, says `{"port":PORT}` when it takes connections, and ends on SIGTERM.
 * With a channel for messages it does what it is told there, and ends with the channel.
 */
const { values } = parseArgs({ options: { options: { type: 'string' } } });

const double = await MantaDouble.start(JSON.parse(values.options ?? '{}') as MantaDoubleOptions);
const controls = controlsOf(double);

function answer(reply: ControlAnswer): void {
    if (process.connected) process.send?.(reply);
}

async function obey({ id, name, args }: ControlRequest): Promise<void> {
    try {
        const control = controls[name] as (...all: readonly unknown[]) => unknown;
        answer({ id, result: await control(...args) });
    } catch (error) {
        answer({ id, error: error instanceof Error ? error.message : String(error) });
    }
}

process.on('message', (message) => void obey(message as ControlRequest));
process.once('disconnect', () => process.exit());
process.once('SIGTERM', () => void double.close().then(() => process.exit()));
process.stdout.write(`${JSON.stringify({ port: double.port })}\n`);
