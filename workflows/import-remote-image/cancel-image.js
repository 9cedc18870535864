/* Deletes the image if this job has made it, or the placeholder that stands for it. */
function cancelImage(job, cb) {
    var uuid = job.params.image_uuid;
    var deadline = Date.now() + 9000;

    function remove() {
        removeImage(job, uuid, deadline, function (err, existed) {
            cb(err, 'Image ' + uuid + (existed ? ' deleted' : ' did not exist to be deleted'));
        });
    }

    if (hasCreated(job, uuid)) {
        remove();
    } else if (job.params.placeholder) {
        findImage(job, uuid, deadline, function (err, image) {
            if (!err && image && image.state === 'creating') {
                remove();
            } else {
                cb(err, 'Image ' + uuid + ' was not created by this job');
            }
        });
    } else {
        cb(null, 'Image ' + uuid + ' was not created by this job');
    }
}
