import { REQUEST_ID, type Told, type WholeImage } from './push-bench.js';

export function shortId(image: WholeImage, at: number): string {
    return image.layers[at]?.digest.slice(7, 19) ?? '';
}

/** What has become of a layer. */
export function layerLine(image: WholeImage, at: number, status: string): Told {
    return {
        type: 'progress',
        payload: { id: shortId(image, at), progressDetail: {}, status },
        id: REQUEST_ID,
    };
}

/** How a push ends well. */
export function closingLines(image: WholeImage, reference: string, digest = image.digest): readonly Told[] {
    const size = image.bytes.length;
    return [
        {
            type: 'progress',
            payload: { status: `${reference}: digest: ${digest} size: ${size}` },
            id: REQUEST_ID,
        },
        {
            type: 'progress',
            payload: { progressDetail: {}, aux: { Tag: reference, Digest: digest, Size: size } },
            id: REQUEST_ID,
        },
    ];
}

/** How it ends otherwise. */
export function errorLine(code: string, message: string): Told {
    return { type: 'error', error: { code, message }, id: REQUEST_ID };
}

/** What the lines say of one layer. */
export function statuses(lines: readonly Told[], id: string): readonly unknown[] {
    return lines
        .map(({ payload }) => payload as Record<string, unknown> | undefined)
        .filter((payload) => payload?.['id'] === id)
        .map((payload) => payload?.['status']);
}
