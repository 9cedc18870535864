/** How far a transfer is. */
export interface TransferNumbers {
    /** Bytes; the total is -1 when it is unknown. */
    readonly bytesDone: number;
    readonly bytesTotal: number;
    /** Grows when the transfer starts over from zero; the first is 1. */
    readonly attempt: number;
    /** Milliseconds since the epoch. */
    readonly startedAt: number;
}

/** One transfer under way. */
export interface BoardEntry {
    received(bytes: number): void;
    startedOver(): void;
    /** It is over, however it ended. */
    end(): void;
}

/**
 * The transfers this process makes from other image servers in requests, by image: a workflow service has
 * us make them and knows nothing of their bytes (jobs-and-imports 8.3).
 */
export class TransferBoard {
    readonly #running = new Map<string, TransferNumbers>();

    /** Notes a transfer; of two for one image the later is shown. @param bytesTotal -1: unknown */
    begin(imageUuid: string, bytesTotal: number, now: number): BoardEntry {
        let numbers: TransferNumbers = { bytesDone: 0, bytesTotal, attempt: 1, startedAt: now };
        const show = (next: TransferNumbers): void => {
            if (this.#running.get(imageUuid) === numbers) {
                this.#running.set(imageUuid, next);
            }
            numbers = next;
        };
        this.#running.set(imageUuid, numbers);
        return {
            received: (bytes) => show({ ...numbers, bytesDone: numbers.bytesDone + bytes }),
            startedOver: () => show({ ...numbers, bytesDone: 0, attempt: numbers.attempt + 1 }),
            end: () => {
                if (this.#running.get(imageUuid) === numbers) {
                    this.#running.delete(imageUuid);
                }
            },
        };
    }

    /** `undefined`: this process transfers nothing to the image. */
    of(imageUuid: string): TransferNumbers | undefined {
        return this.#running.get(imageUuid);
    }
}
