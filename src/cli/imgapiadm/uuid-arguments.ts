import { isUuid } from '../../base/uuid.js';
import { UsageError } from './command.js';

/** The images that a command line names, each once. @throws UsageError */
export function uuidArguments(positionals: readonly string[]): readonly string[] {
    const wrong = positionals.find((text): boolean => !isUuid(text));
    if (wrong !== undefined) {
        throw new UsageError(`not a UUID: "${wrong}"`);
    }
    return [...new Set(positionals)];
}
