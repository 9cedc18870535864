import pg from 'pg';
import { databaseRefused, MorayError, noDatabasePeers, uniqueAttribute } from './moray-error.js';

const UNIQUE_VIOLATION = '23505';
const PRIMARY_KEY = /_pkey$/;
const DUPLICATE = /^Key \("?([^")]+)"?\)=\((.*)\) already exists\.$/s;
/** Codes that mean "no database": connection, shutdown, starting up, too many clients. */
const NO_DATABASE = /^(08|57P|53300)/;
/** What Node and the driver say of a connection that could not be made or was lost; it has no code. */
const NO_CONNECTION = /ECONN|EPIPE|ETIMEDOUT|terminated|timeout exceeded|not queryable|is closed|pool after/i;

function isDatabaseError(error: unknown): error is pg.DatabaseError {
    return error instanceof pg.DatabaseError;
}

/** Whether two transactions inserted one key at once; the later one finds the row when run again. */
export function isInsertRace(error: unknown): boolean {
    return (
        isDatabaseError(error) && error.code === UNIQUE_VIOLATION && PRIMARY_KEY.test(error.constraint ?? '')
    );
}

/** What Moray answers for an error of PostgreSQL or of the connection to it. */
export function asMorayError(error: unknown, bucket?: string, key?: string): MorayError {
    if (error instanceof MorayError) return error;
    if (!isDatabaseError(error)) {
        const reason = String(error);
        return NO_CONNECTION.test(reason) ? noDatabasePeers() : databaseRefused(reason);
    }
    if (NO_DATABASE.test(error.code ?? '')) return noDatabasePeers();
    const [, attribute, value] = DUPLICATE.exec(error.detail ?? '') ?? [];
    if (error.code === UNIQUE_VIOLATION && attribute !== undefined && value !== undefined) {
        return uniqueAttribute(bucket ?? error.table ?? '', key ?? '', attribute, value);
    }
    return databaseRefused(error.message);
}
