/* Says of an error what the server said, as a plain object: only that is kept with a job. */
function problemOf(err) {
    var body = err.body || {};
    return {
        name: err.name || 'Error',
        message: err.message || String(err),
        code: body.code || err.restCode || err.code,
        restCode: body.code || err.restCode,
        statusCode: err.statusCode
    };
}

/*
 * Sends a request to a service and reads the JSON it answers. Without an answer when the time is up it is
 * cut. A connection that cannot be made is tried again, unless the request is to be sent once.
 * Returns something to cut it with: close().
 */
function send(job, request, next) {
    var leftMs = request.deadline - Date.now();
    var requestId = job.params.req_id;
    var isOver = false;
    var client;
    var timer;

    function answered(err, req, res, body) {
        if (isOver) {
            return;
        }
        isOver = true;
        clearTimeout(timer);
        client.close();
        next(err ? problemOf(err) : null, body);
    }

    if (job.timeToDie || leftMs <= 0) {
        next({ name: 'TaskTimeoutError', message: 'task timeout error' });
        return { close: function () {} };
    }
    client = restify.createJsonClient({
        url: request.url,
        log: job.log,
        version: '*',
        connectTimeout: 10000,
        retry: request.once ? false : { retries: 4, minTimeout: 1000, maxTimeout: 8000 },
        headers: requestId ? { 'x-request-id': requestId } : {}
    });
    timer = setTimeout(function () {
        answered({ name: 'RequestTimeoutError', message: 'no answer in time' });
    }, leftMs);
    if (request.method === 'get' || request.method === 'del') {
        client[request.method](request.path, answered);
    } else {
        client[request.method](request.path, request.body || {}, answered);
    }
    return client;
}
