import type { Route } from './route.js';

const labels = new WeakMap<Route, string>();

/** Name of a route in the audit record and the metrics: lower case, letters and digits only (operations 1.3). */
export function routeLabel(route: Route | undefined): string | undefined {
    if (route === undefined) {
        return undefined;
    }
    let label = labels.get(route);
    if (label === undefined) {
        label = route.name.toLowerCase().replace(/[^a-z0-9]/g, '');
        labels.set(route, label);
    }
    return label;
}
