/** A moment as names of files hold it. @example timeStamp(0) === '19700101T000000Z' */
export function timeStamp(time: number): string {
    return new Date(time)
        .toISOString()
        .replace(/\.\d+Z$/, 'Z')
        .replace(/[-:]/g, '');
}
