/* Deletes the origins that this job has made, the last first. What other images are made on stays. */
function originDeleteImages(job, cb) {
    var deadline = Date.now() + 55000;
    var origins = (job.params.origins || [])
        .filter(function (uuid) {
            return hasCreated(job, uuid);
        })
        .reverse();

    function removeNext(err) {
        if (err && err.code !== 'ImageHasDependentImages') {
            cb(err);
        } else if (origins.length === 0) {
            cb(null, 'Origin images have been deleted');
        } else {
            removeImage(job, origins.shift(), deadline, removeNext);
        }
    }

    if (origins.length === 0) {
        cb(null, 'No origin images to delete');
    } else {
        removeNext(null);
    }
}
