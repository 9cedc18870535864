/**
 * Takes down how far a job is (jobs-and-imports 8.3). Written to by the steps, read by whoever shows the
 * progress; cheap enough to be told of every chunk.
 */
export interface ProgressMeter {
    /**
     * What there is to do in all; may be told again, e.g. when an origin turns out to be here.
     *
     * @param bytes of all images to transfer; -1: unknown
     */
    plan(images: number, bytes: number): void;
    /** An image's transfer begins. @param bytes of its files; -1: unknown */
    beginImage(imageUuid: string, bytes: number): void;
    /** The transfer of the image at hand goes on behind bytes that were there already. */
    resumedAt(bytes: number): void;
    /** More bytes of the image at hand have come. */
    received(bytes: number): void;
    /** The transfer of the image at hand starts over from zero: what it had counts no more. */
    startedOver(): void;
    /** The image at hand is there; its bytes count as done. @param bytes what its files have in all */
    endImage(bytes: number): void;
}
