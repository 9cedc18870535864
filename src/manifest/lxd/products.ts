import { ApiError } from '../../base/errors.js';
import { isObject } from '../coerce.js';
import type { LxdImage, LxdProduct } from './lxd-image.js';
import { invalidResponse, type Members, objectIn, textIn } from './members.js';
import { newestVersion } from './version-files.js';

function hasAlias(product: Members, name: string): boolean {
    return textIn(product, 'aliases')?.split(',').includes(name) === true;
}

function productFacts(key: string, product: Members): LxdProduct {
    const [pubname, arch, os, release, releaseTitle] = [
        'pubname',
        'arch',
        'os',
        'release',
        'release_title',
    ].map((member) => textIn(product, member));
    return {
        key,
        aliases: textIn(product, 'aliases') ?? '',
        ...(pubname === undefined ? {} : { pubname }),
        ...(arch === undefined ? {} : { arch }),
        ...(os === undefined ? {} : { os }),
        ...(release === undefined ? {} : { release }),
        ...(releaseTitle === undefined ? {} : { releaseTitle }),
    };
}

/**
 * The image with an alias, in its newest version (jobs-and-imports 6).
 *
 * @param document the products of a server, of whatever form
 * @throws 400 `InvalidContent`, 404 `NotFound`
 */
export function findLxdImage(document: unknown, name: string): LxdImage {
    const products = objectIn(document, 'products');
    if (products === undefined) {
        throw invalidResponse('no products found');
    }
    for (const [key, product] of Object.entries(products)) {
        if (isObject(product) && hasAlias(product, name)) {
            const versions = objectIn(product, 'versions') ?? {};
            return { product: productFacts(key, product), version: newestVersion(versions, key) };
        }
    }
    throw new ApiError('NotFound', `Image ${name} was not found`);
}
