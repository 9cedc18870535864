import { SCRIPTS } from '../../scripts/all-scripts.js';
import { roffPage } from './roff.js';
import { scriptManual } from './script-manual.js';
import { serverManual } from './server-manual.js';
import { toolManual } from './tool-manual.js';

/** The pages for `man`, by the names of their files. */
export function manPages(): ReadonlyMap<string, string> {
    const manuals = [serverManual(), toolManual(), ...SCRIPTS.map(scriptManual)];
    return new Map(manuals.map((manual) => [`${manual.name}.8`, roffPage(manual)]));
}
