/*
 * Deletes the image if this job has made it. One that a placeholder stood for stays, and says why it
 * failed.
 */
function deleteImage(job, cb) {
    var uuid = job.params.image_uuid;
    var deadline = Date.now() + 55000;

    function remove() {
        removeImage(job, uuid, deadline, function (err, existed) {
            cb(err, 'Image ' + uuid + (existed ? ' deleted' : ' did not exist to be deleted'));
        });
    }

    function fail() {
        failImage(job, uuid, reasonOf(job), deadline, function (err) {
            if (err && hasCreated(job, uuid)) {
                remove();
            } else {
                cb(err, 'Image ' + uuid + ' updated with import error');
            }
        });
    }

    function isUnfinished(image) {
        return image.state === 'creating' || (image.state === 'unactivated' && hasCreated(job, uuid));
    }

    if (job.params.placeholder) {
        findImage(job, uuid, deadline, function (err, image) {
            if (!err && image && isUnfinished(image)) {
                fail();
            } else {
                cb(err, 'Image ' + uuid + ' was not created by this job');
            }
        });
    } else if (hasCreated(job, uuid)) {
        remove();
    } else {
        cb(null, 'Image ' + uuid + ' was not created by this job');
    }
}
