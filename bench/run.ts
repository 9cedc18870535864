import { benchCheckFiles } from './check-files.js';
import { benchDatacenter } from './datacenter.js';
import { benchDocker } from './docker.js';
import { benchManyImages } from './many-images.js';
import { benchManta } from './manta.js';
import { benchTransfers } from './transfers.js';

/** All measurements by name; `make bench` runs them all, `make bench BENCH=name` one. */
const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
    'check-files': () => benchCheckFiles(),
    datacenter: () => benchDatacenter(),
    docker: () => benchDocker(),
    'many-images': () => benchManyImages(),
    manta: () => benchManta(),
    transfers: () => benchTransfers(),
};

const wanted = process.argv.slice(2);
for (const name of wanted.length === 0 ? Object.keys(BENCHES) : wanted) {
    const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
    if (bench === undefined) {
        process.stderr.write(`no such measurement: ${name}; there are ${Object.keys(BENCHES).join(', ')}\n`);
        process.exitCode = 1;
        break;
    }
    process.stdout.write(`--- ${name}\n`);
    await bench();
}
