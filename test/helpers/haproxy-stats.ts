import { HttpClient } from './http-client.js';

/** One line of HAProxy's statistics: a frontend, a backend, or a server of a backend. */
export type StatsLine = Readonly<Record<string, string>>;

/** Columns that count what goes wrong: towards servers, from servers, and what clients get to see of it. */
const FAILURES = ['econ', 'eresp', 'ereq', 'hrsp_5xx', 'srv_abrt', 'cli_abrt', 'dresp'] as const;

/** What HAProxy counts, as its page for programs tells it. */
export class HaproxyStats {
    readonly #client: HttpClient;

    constructor(statsPort: number) {
        this.#client = new HttpClient(statsPort);
    }

    async lines(): Promise<StatsLine[]> {
        const [head = '', ...rows] = (await this.#client.get('/;csv')).text.replace(/^# /, '').split('\n');
        const names = head.split(',');
        return rows
            .filter((row) => row !== '')
            .map((row) => {
                const values = row.split(',');
                return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
            });
    }

    /** Whether a server of a backend passes its check. */
    async isUp(backend: string, server: string): Promise<boolean> {
        const lines = await this.lines();
        const line = lines.find(({ pxname, svname }) => pxname === backend && svname === server);
        // Until it has been checked as often as needed, the state has two numbers behind it.
        return line?.['status'] === 'UP' && line['check_status'] !== '';
    }

    /** All that has gone wrong with requests so far; empty: nothing. */
    async failures(): Promise<Record<string, string>> {
        const lines = await this.lines();
        return Object.fromEntries(
            lines.flatMap((line) =>
                FAILURES.filter((name) => Number(line[name] ?? 0) > 0).map((name) => [
                    `${line['pxname']} ${line['svname']} ${name}`,
                    line[name] ?? '',
                ]),
            ),
        );
    }
}
