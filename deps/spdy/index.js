'use strict';

/*
 * restify loads spdy unconditionally, although it calls it only when its `spdy` option is set.
 * The real package patches Node's internals and warns at start-up, so this stands in its place.
 */
exports.createServer = function createServer() {
    throw new Error('SPDY is not supported');
};
