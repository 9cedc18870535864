import type { HeldLayer, StagedLayer } from './layer.js';

interface Hold {
    count: number;
    /** Whether somebody has found a place for the layer. */
    isPlaced: boolean;
}

/** Counts who needs which staged layer in this process. */
export class HeldLayers {
    readonly #holds = new Map<string, Hold>();
    readonly #remove: (uuid: string) => Promise<void>;
    readonly #onFree: () => void;

    /**
     * @param remove removes a layer that has found its place
     * @param onFree told when nobody needs a layer any more that stays
     */
    constructor(remove: (uuid: string) => Promise<void>, onFree: () => void) {
        this.#remove = remove;
        this.#onFree = onFree;
    }

    isHeld(uuid: string): boolean {
        return this.#holds.has(uuid);
    }

    take(layer: StagedLayer): HeldLayer {
        const { uuid } = layer;
        const hold = this.#holds.get(uuid) ?? { count: 0, isPlaced: false };
        hold.count += 1;
        this.#holds.set(uuid, hold);
        let isOver = false;
        const letGo = async (isPlaced: boolean): Promise<void> => {
            if (isOver) {
                return;
            }
            isOver = true;
            hold.count -= 1;
            hold.isPlaced ||= isPlaced;
            if (hold.count > 0) {
                return;
            }
            this.#holds.delete(uuid);
            if (hold.isPlaced) {
                await this.#remove(uuid);
            } else {
                this.#onFree();
            }
        };
        return {
            layer,
            release: () => {
                letGo(false).catch(() => undefined);
            },
            discard: () => letGo(true),
        };
    }
}
