/* Whether this job has made the record of an image. */
function hasCreated(job, uuid) {
    return (job.created_images || []).indexOf(uuid) !== -1;
}

/* Deletes an image, again while nobody answers; one that is not there is fine. Tells whether it was. */
function removeImage(job, uuid, deadline, next) {
    var path = imagePath(uuid, '', { channel: job.params.channel });
    var request = { url: imgapiUrl, method: 'del', path: path, deadline: deadline };
    send(job, request, function (err) {
        if (!err || err.statusCode === 404) {
            next(null, !err);
        } else if ((!err.statusCode || err.statusCode === 503) && Date.now() + 1000 < deadline) {
            setTimeout(function () {
                removeImage(job, uuid, deadline, next);
            }, 1000);
        } else {
            next(err);
        }
    });
}
