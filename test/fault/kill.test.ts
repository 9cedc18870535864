import { readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { ImageUnderCrashes } from './crash-model.js';
import { filesBelow, runKillCycles } from './kill-cycles.js';

const CYCLES = Number(process.env['KILL_CYCLES'] ?? 12);
const WRITERS = 8;

/** Records are replaced as a whole: at no time is there half of one. */
function unparsableRecords(baseDir: string): string[] {
    const records = filesBelow(join(baseDir, 'manifests')).filter((path) => path.endsWith('.raw'));
    return records.flatMap((path) => {
        try {
            JSON.parse(readFileSync(path, 'utf8'));
            return [];
        } catch (error) {
            return [`${basename(path)}: ${String(error)}`];
        }
    });
}

void t.test(
    `no acknowledged write is lost over ${CYCLES} kills under concurrent writes`,
    { timeout: 7_200_000 },
    async (t) => {
        const baseDir = temporaryDirectory();
        t.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
        const config = { mode: 'public', authType: 'none', logLevel: 'info' };
        const place = { isPublic: true, settlesAtStart: true };
        const report = await runKillCycles({
            baseDir,
            cycles: CYCLES,
            servers: 1,
            start: () => ServerProcess.start({ baseDir, config }),
            images: Array.from({ length: WRITERS }, () => new ImageUnderCrashes(place)),
            inspect: () => unparsableRecords(baseDir),
            progress: (done) => {
                if (done % 100 === 0) t.comment(`${done} kills`);
            },
        });
        t.comment(`${report.acknowledged} acknowledged writes over ${report.cycles} kills`);
        t.same(report.problems, []);
        t.ok(report.acknowledged > CYCLES, 'writes were going on');
    },
);
