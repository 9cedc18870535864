import type { CheckedImage } from './checked-image.js';

/** An image as others are told of it. */
export interface FamilyMember {
    readonly uuid: string;
    readonly name: string;
    readonly version: string;
}

/** Who is based on whom, of all images. */
export class Family {
    readonly #children = new Map<string, FamilyMember[]>();

    add({ uuid, name, version, origin }: CheckedImage): void {
        if (origin !== undefined) {
            const children = this.#children.get(origin) ?? [];
            children.push({ uuid, name, version });
            this.#children.set(origin, children);
        }
    }

    /** An image and what is based on it, over others too: the image first, then by generation. */
    generations({ uuid, name, version }: FamilyMember): readonly (readonly FamilyMember[])[] {
        const seen = new Set([uuid]);
        const found: FamilyMember[][] = [];
        let next: FamilyMember[] = [{ uuid, name, version }];
        while (next.length > 0) {
            found.push(next);
            const children = next.flatMap((member) => this.#children.get(member.uuid) ?? []);
            next = children.filter((child) => !seen.has(child.uuid));
            // Origins may go round in a circle.
            next.forEach((child) => seen.add(child.uuid));
        }
        return found;
    }
}
