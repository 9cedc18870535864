import type { Endpoint } from './endpoint.js';
import { toRoute } from './endpoint.js';
import { reloadAuthKeysEndpoint } from './endpoints/auth-keys.js';
import { changeAclEndpoint } from './endpoints/change-acl.js';
import { changeImageEndpoint } from './endpoints/change-image.js';
import { listChannelsEndpoint } from './endpoints/channels.js';
import { cloneImageEndpoint } from './endpoints/clone-image.js';
import { createImageEndpoint } from './endpoints/create-image.js';
import { deleteImageEndpoint } from './endpoints/delete-image.js';
import { docsEndpoints } from './endpoints/docs.js';
import { fileFromUrlEndpoint } from './endpoints/file-from-url.js';
import { getImageEndpoint } from './endpoints/get-image.js';
import { healthEndpoint } from './endpoints/health.js';
import { imageFileEndpoints } from './endpoints/image-file.js';
import { imageIconEndpoints } from './endpoints/image-icon.js';
import { listImageJobsEndpoint } from './endpoints/image-jobs.js';
import { imageSharingEndpoints } from './endpoints/image-sharing.js';
import { jobProgressEndpoints } from './endpoints/job-progress.js';
import { jobEndpoints } from './endpoints/jobs.js';
import { lineageEndpoints } from './endpoints/lineage.js';
import { listImagesEndpoint } from './endpoints/list-images.js';
import { pingEndpoint } from './endpoints/ping.js';
import { pushImageEndpoint } from './endpoints/push-image.js';
import { redirectEndpoints } from './endpoints/redirects.js';
import { stateEndpoints } from './endpoints/state.js';
import { webPageEndpoints } from './endpoints/web-pages.js';
import type { Route } from './route.js';
import type { ApiServices } from './services.js';

/** Every endpoint, in the order of http-api 2; `Allow` headers and the reference keep this order. */
export const ENDPOINTS: readonly Endpoint[] = [
    listImagesEndpoint,
    createImageEndpoint,
    getImageEndpoint,
    changeImageEndpoint,
    deleteImageEndpoint,
    ...imageFileEndpoints,
    fileFromUrlEndpoint,
    ...imageIconEndpoints,
    changeAclEndpoint,
    pushImageEndpoint,
    listImageJobsEndpoint,
    ...lineageEndpoints,
    cloneImageEndpoint,
    ...imageSharingEndpoints,
    ...jobEndpoints,
    ...jobProgressEndpoints,
    listChannelsEndpoint,
    pingEndpoint,
    healthEndpoint,
    ...stateEndpoints,
    reloadAuthKeysEndpoint,
    ...redirectEndpoints,
    ...docsEndpoints,
    ...webPageEndpoints,
];

/** The route table of a server. */
export function createRoutes(services: ApiServices): readonly Route[] {
    return ENDPOINTS.map((endpoint) => toRoute(endpoint, services));
}
