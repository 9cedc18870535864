'use strict';

const MICROSECONDS = 1000000;

/** Microseconds since 1970. */
function now() {
    return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

module.exports = {
    now,
    nowDouble: () => now() / MICROSECONDS,
    nowStruct: () => [Math.floor(now() / MICROSECONDS), now() % MICROSECONDS],
};
