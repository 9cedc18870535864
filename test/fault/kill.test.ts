import { rmSync } from 'node:fs';
import t from 'tap';
import { temporaryDirectory } from '../helpers/server-process.js';
import { runKillCycles } from './kill-cycles.js';

const CYCLES = Number(process.env['KILL_CYCLES'] ?? 20);

void t.test(
    `no acknowledged write is lost over ${CYCLES} kills under concurrent writes`,
    { timeout: 7_200_000 },
    async (t) => {
        const baseDir = temporaryDirectory();
        t.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
        const report = await runKillCycles(baseDir, CYCLES, (done) => {
            if (done % 100 === 0) t.comment(`${done} kills`);
        });
        t.comment(`${report.acknowledged} acknowledged writes over ${report.cycles} kills`);
        t.same(report.problems, []);
        t.ok(report.acknowledged > CYCLES, 'writes were going on');
    },
);
