import { censor } from '../base/censor.js';
import { loadConfig } from '../base/config.js';
import { printedValue, propertyAt } from './print-value.js';

/** What to print of a configuration. */
export interface ConfigQuestion {
    readonly path: string;
    /** A dotted path; absent: everything. */
    readonly key: string | undefined;
    /** Whether secrets are shown in clear. */
    readonly secrets: boolean;
}

/**
 * The configuration as the server sees it, or one value of it, as scripts read it (backends 1.6).
 *
 * @throws Error for a file that is not good, and for a key that is not there
 */
export function configText({ path, key, secrets }: ConfigQuestion): string {
    const config = loadConfig(path);
    const shown = secrets ? config : censor(config);
    return printedValue(key === undefined ? shown : propertyAt(shown, key));
}
