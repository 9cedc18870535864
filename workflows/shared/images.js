/* Path of a request about an image; what has no value is left out of the query. */
function imagePath(uuid, rest, query) {
    var pairs = Object.keys(query)
        .filter(function (key) {
            return query[key] !== undefined && query[key] !== null;
        })
        .map(function (key) {
            return key + '=' + encodeURIComponent(query[key]);
        });
    return '/images/' + uuid + rest + (pairs.length > 0 ? '?' + pairs.join('&') : '');
}

/* The image, in whatever channel and state; nothing if there is none. */
function findImage(job, uuid, deadline, next) {
    var query = { channel: job.params.channel ? '*' : undefined };
    var request = { url: imgapiUrl, method: 'get', path: imagePath(uuid, '', query), deadline: deadline };
    send(job, request, function (err, image) {
        if (err && err.statusCode === 404) {
            next(null);
        } else {
            next(err, image);
        }
    });
}

/* Says of an image that it is being made no more, and why. */
function failImage(job, uuid, error, deadline, next) {
    var query = { action: 'update', channel: job.params.channel };
    var request = {
        url: imgapiUrl,
        method: 'post',
        path: imagePath(uuid, '', query),
        body: { state: 'failed', error: error },
        deadline: deadline
    };
    send(job, request, next);
}

/* Why the job fails, as an image shows it. */
function reasonOf(job) {
    var results = job.chain_results || [];
    var last = results.length > 0 ? results[results.length - 1].error : '';
    var error = job.error || last || 'job failed';
    if (typeof error === 'string') {
        return { message: error, code: 'InternalError' };
    }
    return {
        message: String(error.message),
        code: error.code || error.restCode || 'InternalError',
        stack: error.stack
    };
}
