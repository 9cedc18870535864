/** A failure to read that tells of the file, not of those who read it. */
export class BadFile extends Error {
    override readonly name = 'BadFile';
}
