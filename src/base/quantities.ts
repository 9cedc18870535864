const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A number of bytes for people. @example bytesText(1536) === '1.5 KiB' */
export function bytesText(bytes: number): string {
    let value = bytes;
    let unit = '';
    for (const next of UNITS) {
        // What would be shown as 1024.0 belongs to the next unit.
        if (value < 1023.95) {
            break;
        }
        value /= 1024;
        unit = next;
    }
    return unit === '' ? `${Math.round(value)} B` : `${value.toFixed(1)} ${unit}`;
}

/** A duration for people. @example durationText(192_000) === '3m12s' */
export function durationText(ms: number): string {
    const seconds = Math.round(ms / 1000);
    if (seconds < 60) {
        return `${seconds}s`;
    }
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) {
        return `${minutes}m${String(seconds % 60).padStart(2, '0')}s`;
    }
    return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}

/** A number and what it counts. @example countText(1, 'image') === '1 image' */
export function countText(count: number, noun: string): string {
    return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
